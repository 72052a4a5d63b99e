"""Dispatch: free slots of the account go to the items that are ready, oldest first.

The cap counts slots in our own table, since a job outlives the task that follows it: an item
holds its slot from before its request until its job ends, whatever becomes of the worker.
The engine is given an item in the transaction that gives the slot. So its queue has no
backlog, and what one worker hands over, or a dead one leaves behind, is claimed at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from symbl_aio.durable.slots import mark_heads
from symbl_aio.durable.tables import Database

Row: TypeAlias = sa.Row[Any]

_LOG = logging.getLogger("symbl_aio.durable")
_NAME: Final = "symbl"
"""Of the one queue that a schema has."""


class Dispatcher:
    """Gives slots to items, for all workers of a database: one at a time, by a row's lock.

    ``enqueue`` hands an item's attempt to the engine, in the transaction that it is given.
    ``poll_interval``: seconds between two looks when nothing wakes it.
    """

    def __init__(
        self,
        database: Database,
        enqueue: Callable[[sa.Connection, str, int], None],
        *,
        poll_interval: float,
    ) -> None:
        self._database = database
        self._enqueue = enqueue
        self._poll_interval = poll_interval
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look soon: a slot is free, or an item is ready. On the loop that ``run`` runs on."""
        self._woken.set()

    async def run(
        self,
        is_fit: Callable[[], bool],
        failed: Callable[[BaseException], Awaitable[None]],
    ) -> None:
        """Fill free slots until cancelled, while ``is_fit``. An outage only delays it.

        ``failed`` gets each error of the database, and does not return for one that stays.
        """
        while True:
            self._woken.clear()
            if is_fit():
                try:
                    await self._database.call(self.fill)
                except sa.exc.SQLAlchemyError as error:
                    _LOG.warning("dispatch failed (%s)", type(error).__name__)
                    await failed(error)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_interval):
                    await self._woken.wait()

    def set_cap(self, cap: int) -> None:
        """Record the account's limit: that of the worker which started last counts. Blocks."""
        table = self._database.queue
        with self._database.begin() as connection:
            changed = connection.execute(
                sa.update(table).where(table.c.name == _NAME).values(cap=cap)
            )
            if not changed.rowcount:
                with suppress(sa.exc.IntegrityError), connection.begin_nested():
                    connection.execute(sa.insert(table).values(name=_NAME, cap=cap))

    def fill(self) -> int:
        """Fill all free slots in one transaction; return how many items got one. Blocks."""
        needed, unmarked = self._look()
        if not needed and not unmarked:
            return 0
        table, queue = self._database.items, self._database.queue
        with self._database.begin() as connection:
            cap: int = connection.execute(
                sa.select(queue.c.cap).where(queue.c.name == _NAME).with_for_update()
            ).scalar_one()
            if unmarked:
                marked = mark_heads(self._database, connection)
                _LOG.info("%d items of an older release are taken on", marked)
            # What was sent or accepted comes first, and beyond the cap: its job runs already.
            chosen = self._give_slots(connection, self._is_under_way())
            used: int = connection.execute(self._used()).scalar_one()
            if (free := cap - used) > 0:
                first = (
                    sa.select(table.c.id)
                    .where(self._waits())
                    .order_by(table.c.priority.desc(), table.c.id)
                    .limit(free)
                    .with_for_update(skip_locked=True)
                )
                # By a statement of its own: as part of the update PostgreSQL may choose it
                # again for each row, and give more slots than there are.
                ids = connection.execute(first).scalars().all()
                if ids:
                    chosen += self._give_slots(connection, table.c.id.in_(ids))
            for row in chosen:
                self._enqueue(connection, row.key, row.attempt)
        return len(chosen)

    def _give_slots(self, connection: sa.Connection, which: sa.ColumnElement[bool]) -> list[Row]:
        table = self._database.items
        given = connection.execute(
            sa.update(table)
            .where(self._waits(), which)
            .values(slot_at=self._database.now)
            .returning(table.c.id, table.c.key, table.c.attempt, table.c.priority)
        ).all()
        return sorted(given, key=lambda row: (-row.priority, row.id))

    def _look(self) -> tuple[bool, bool]:
        """Return whether a slot can be given, and whether an older release handed something in.

        One statement that locks nothing: most looks end here.
        """
        table, queue = self._database.items, self._database.queue
        cap = sa.select(queue.c.cap).where(queue.c.name == _NAME).scalar_subquery()
        waits = sa.exists().where(self._waits())
        under_way = sa.exists().where(self._waits(), self._is_under_way())
        unmarked = sa.exists().where(table.c.ready.is_(None), self._database.unfinished(table))
        used = self._used().scalar_subquery()
        with self._database.read() as connection:
            found = connection.execute(
                sa.select(sa.or_(sa.and_(waits, used < cap), under_way), unmarked)
            ).one()
        return bool(found[0]), bool(found[1])

    def _waits(self) -> sa.ColumnElement[bool]:
        table = self._database.items
        return sa.and_(table.c.ready, table.c.slot_at.is_(None))

    def _is_under_way(self) -> sa.ColumnElement[bool]:
        table = self._database.items
        return sa.or_(table.c.job_id.is_not(None), table.c.sent_by.is_not(None))

    def _used(self) -> sa.Select[Any]:
        table = self._database.items
        return sa.select(sa.func.count()).select_from(table).where(table.c.slot_at.is_not(None))
