"""Submissions that survive the crash, and an account that many machines share.

An ``Outbox`` takes what is to be sent, in any process; a ``Worker`` sends it, in the order
of its handing in, once, whatever dies meanwhile::

    async with Outbox("sqlite:///outbox.db") as outbox, Worker("sqlite:///outbox.db"):
        await outbox.submit("standup.mp4", key="monday")
        await outbox.append("monday", "standup-part2.mp4", key="monday-2")
        item = await outbox.result("monday-2")
        print(item.state, item.conversation_id)

Needs the extra ``durable``, which brings DBOS: a durable-workflow engine on SQLite or
PostgreSQL.
"""

try:
    from symbl_aio.durable.entries import Entered, Entry
    from symbl_aio.durable.items import CompletedItem, Item, ItemEvent, ItemState, UncompletedItem
    from symbl_aio.durable.migration import migrate
    from symbl_aio.durable.outbox import Outbox
    from symbl_aio.durable.selection import Decided, ItemFilter
    from symbl_aio.durable.stats import OutboxStats, openmetrics
    from symbl_aio.durable.steps import OnAmbiguous
    from symbl_aio.durable.worker import Worker
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("dbos", "sqlalchemy"):
        raise
    raise ModuleNotFoundError(
        f"symbl_aio.durable needs {error.name}, which is not installed; "
        "pip install '.[durable]' in a checkout of symbl-aio",
        name=error.name,
    ) from None

__all__ = [
    "OnAmbiguous",
    "CompletedItem",
    "Decided",
    "Entered",
    "Entry",
    "Item",
    "ItemEvent",
    "ItemFilter",
    "ItemState",
    "Outbox",
    "OutboxStats",
    "UncompletedItem",
    "Worker",
    "migrate",
    "openmetrics",
]
