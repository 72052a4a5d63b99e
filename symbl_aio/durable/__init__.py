"""Submissions that survive a crash, and an account that many machines share.

An ``Outbox`` stores submissions, in any process; a ``Worker`` sends them, in order and once,
whichever process crashes meanwhile::

    async with Outbox("sqlite:///outbox.db") as outbox, Worker("sqlite:///outbox.db"):
        await outbox.submit("standup.mp4", key="monday")
        await outbox.append("monday", "standup-part2.mp4", key="monday-2")
        item = await outbox.result("monday-2")
        print(item.state, item.conversation_id)

Needs the extra ``durable``, which brings DBOS: a durable-workflow engine on SQLite or
PostgreSQL.
"""

from importlib.util import find_spec as _find_spec
from typing import TYPE_CHECKING

from symbl_aio._lazy import export_on_first_use as _export_on_first_use

# Raised by the import itself: at the first use of a name the cause would be harder to see.
for _needed in ("dbos", "sqlalchemy"):
    if _find_spec(_needed) is None:
        raise ModuleNotFoundError(
            f"symbl_aio.durable needs {_needed}, which is not installed; "
            "pip install '.[durable]' in a checkout of symbl-aio",
            name=_needed,
        )

# Each name is imported on first use: states and items need neither DBOS nor SQLAlchemy.
_HOMES = {
    "_database.dbos": "migrate",
    "_store.submit_many": "Entered Entry",
    "items": "CompletedItem Decided Item ItemEvent ItemFilter ItemState UncompletedItem",
    "outbox": "Outbox",
    "stats": "OutboxStats openmetrics",
    "attempt_steps": "OnAmbiguous",
    "worker": "Worker",
}

if TYPE_CHECKING:
    from symbl_aio.durable._database.dbos import migrate as migrate
    from symbl_aio.durable._store.submit_many import Entered as Entered
    from symbl_aio.durable._store.submit_many import Entry as Entry
    from symbl_aio.durable.attempt_steps import OnAmbiguous as OnAmbiguous
    from symbl_aio.durable.items import CompletedItem as CompletedItem
    from symbl_aio.durable.items import Decided as Decided
    from symbl_aio.durable.items import Item as Item
    from symbl_aio.durable.items import ItemEvent as ItemEvent
    from symbl_aio.durable.items import ItemFilter as ItemFilter
    from symbl_aio.durable.items import ItemState as ItemState
    from symbl_aio.durable.items import UncompletedItem as UncompletedItem
    from symbl_aio.durable.outbox import Outbox as Outbox
    from symbl_aio.durable.stats import OutboxStats as OutboxStats
    from symbl_aio.durable.stats import openmetrics as openmetrics
    from symbl_aio.durable.worker import Worker as Worker

if not TYPE_CHECKING:  # type checkers would take a misspelt name for an object
    __getattr__, __dir__, __all__ = _export_on_first_use(__name__, _HOMES)
