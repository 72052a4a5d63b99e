"""Record the webhook calls that came for items: as evidence, and to wake their workers."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import sqlalchemy as sa

from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.notifications import webhook_notification
from symbl_aio.durable.items import ItemState

_MAX_ID_LENGTH: Final = 200


class WebhookRecords:
    """The records of verified calls to the webhook URLs of items.

    Statements are built once: to build one takes longer than to execute it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, nonce: str, job_id: str, *, ended: bool) -> None:
        """Record a call to the webhook URL of the item that has this nonce. Blocks.

        ``ended``: it reports the end of the job, and wakes the worker that follows it. Another
        call is kept as evidence, and wakes only a worker that is in doubt about the item: any
        other gets the job id from the answer to its submission.
        """
        # Both come from the network, and a database may refuse some characters.
        if not (_is_plain(nonce) and _is_plain(job_id)):
            return
        record = self._record_end if ended else self._record_progress
        with self._database.single() as connection:
            connection.execute(record, {"of_nonce": nonce, "job": job_id})

    @cached_property
    def _record_end(self) -> sa.Executable:
        return self._record((ItemState.QUEUED, ItemState.ACCEPTED), sa.true())

    @cached_property
    def _record_progress(self) -> sa.Executable:
        return self._record((ItemState.QUEUED,), self._database.items.c.in_doubt)

    def _record(
        self, states: tuple[ItemState, ...], is_news: sa.ColumnElement[bool]
    ) -> sa.Executable:
        """Return the statement for items in some states, which wakes a worker if it ``is_news``.

        One statement, notification included, which spares three round trips of each call.
        """
        table, job_id = self._database.items, sa.bindparam("job", type_=sa.Text)
        is_queued = table.c.state == ItemState.QUEUED.value
        change = (
            sa.update(table)
            .where(table.c.nonce == sa.bindparam("of_nonce"))
            .where(table.c.state.in_([state.value for state in states]))
            .values(
                heard=sa.case((is_queued, job_id), else_=table.c.heard),
                told_at=sa.case((is_news, self._database.now), else_=table.c.told_at),
            )
        )
        if self._database.is_sqlite:  # whose workers see that the file has changed
            return change
        # Without a slot no worker has it yet, and the one that gets it polls the server.
        wakes = sa.and_(table.c.slot_at.is_not(None), is_news).label("wakes")
        changed = change.returning(table.c.key, table.c.attempt, wakes).cte("changed")
        return sa.select(webhook_notification(self._database, changed)).where(changed.c.wakes)


def _is_plain(text: str) -> bool:
    """Return whether a text may be an id, which every database can store."""
    return text.isascii() and text.isprintable() and len(text) <= _MAX_ID_LENGTH
