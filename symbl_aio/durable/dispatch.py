"""Dispatch free slots of the account to ready items: by priority, then oldest first.

An item holds its slot from before its request until its job ends. The limit counts slots in our
own table, since a job outlives the process that follows it. DBOS gets an item only once it
has a slot: its queue has no backlog, and a worker dequeues handed-over items at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cached_property, partial
from math import ceil
from typing import Any, Final, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy.sql.dml import ReturningUpdate

from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.notifications import notify_ready
from symbl_aio.durable._database.schema import mark_heads
from symbl_aio.durable.items import Attempt

Row: TypeAlias = sa.Row[Any]

_LOG = logging.getLogger("symbl_aio.durable")

_GATHER: Final = 0.1
"""Seconds from a slot that is freed to a dispatch: all that are freed meanwhile go with it."""


class _Overview(NamedTuple):
    """The slots and the backlog, read without a lock. ``share``: slots of one worker."""

    cap: int
    used: int
    share: int
    waits: bool
    under_way: bool
    unmarked: bool


class Dispatcher:
    """Dispatches slots: each worker takes its share, one worker at a time, by a row's lock.

    ``start`` starts an attempt in this process, with the item's row. ``running``: returns the
    number of attempts that run here; the share of a worker is the limit divided by the number
    of live workers. ``poll_interval``: seconds between two dispatches without a wake-up.
    """

    def __init__(
        self,
        database: Database,
        start: Callable[[Attempt, Row], Awaitable[None]],
        *,
        running: Callable[[], int],
        poll_interval: float,
    ) -> None:
        self._database = database
        self._start = start
        self._running = running
        self._poll_interval = poll_interval
        self.woken = asyncio.Event()
        """Set it to dispatch soon, when an item may be ready: on the loop of ``run``."""
        self._has_freed = False

    def slot_freed(self) -> None:
        """Dispatch soon: a slot is free. Other workers are notified if it exceeds our share."""
        if not self._has_freed:
            self._has_freed = True
            asyncio.get_running_loop().call_later(_GATHER, self.woken.set)

    async def run(
        self,
        may_send: Callable[[], bool],
        on_error: Callable[[BaseException], Awaitable[None]],
    ) -> None:
        """Fill free slots until cancelled, while ``may_send``. An outage only delays it.

        ``on_error`` gets each database error, and does not return for a permanent one.
        """
        while True:
            self.woken.clear()
            if may_send():
                try:
                    await self.dispatch()
                except Exception as error:
                    _LOG.warning("dispatch failed (%s)", type(error).__name__)
                    await on_error(error)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_interval):
                    await self.woken.wait()

    async def dispatch(self) -> None:
        """Fill free slots, and start the attempts of all items that got one.

        An attempt that is not started after all, after a crash or during an outage, is found
        by its slot (``Heartbeat.watch``).
        """
        # Read here, and not in the thread: there another slot could be freed in between.
        has_freed, self._has_freed = self._has_freed, False
        given = await self._database.call(partial(self.fill, self._running(), has_freed))
        await asyncio.gather(*(self._start(attempt, row) for attempt, row in given.items()))

    def fill(self, running: int = 0, has_freed: bool = False) -> dict[Attempt, Row]:
        """Fill free slots in one transaction; return the attempts that got one. Blocks.

        Each comes with its item, as ``AttemptRecords.read`` returns it, but for the times.
        ``running``: attempts that run here. ``has_freed``: some ended since the last time.
        """
        seen = self._look()
        is_free, is_ours = seen.waits and seen.used < seen.cap, running < seen.share
        if is_free and not is_ours and has_freed:
            with self._database.begin() as connection:
                notify_ready(self._database, connection)
        if not (seen.unmarked or seen.under_way or (is_free and is_ours)):
            return {}
        with self._database.begin() as connection:
            # Locked by each worker that gives slots, so that the count of used ones stays true.
            # Not part of the next statement, which has to count after the wait for the lock.
            cap: int = connection.execute(self._lock_cap).scalar_one()
            if seen.unmarked:
                marked = mark_heads(self._database, connection)
                _LOG.info("%d items of an older release are taken on", marked)
            # Sent and accepted items come first, and beyond the limit: their jobs run already.
            given: list[Row] = []
            if seen.unmarked or seen.under_way:
                given += connection.execute(self._give_under_way)
            room = seen.share - running - len(given)
            if room > 0:
                given += connection.execute(self._give, {"cap": cap, "room": room})
        given.sort(key=lambda row: (-row.priority, row.id))
        return {Attempt(row.key, row.attempt): row for row in given}

    def _look(self) -> _Overview:
        """Return whether a slot can be given. One statement without locks: most end here."""
        with self._database.read() as connection:
            found = connection.execute(self._overview).one()
        share = ceil(found.cap / max(1, found.alive))
        return _Overview(found.cap, found.used, share, found.waits, found.under_way, found.unmarked)

    # Statements, built once: to build one takes longer than to execute it

    @cached_property
    def _overview(self) -> sa.Select[*tuple[Any, ...]]:
        table, workers = self._database.items, self._database.workers
        alive = (
            sa.select(sa.func.count())
            .select_from(workers)
            .where(self._database.is_alive(), self._database.in_queue(workers))
        )
        under_way = sa.exists().where(self._waits(), self._database.is_under_way(table))
        unmarked = sa.exists().where(table.c.ready.is_(None), self._database.unfinished(table))
        return sa.select(
            self._cap().scalar_subquery().label("cap"),
            self._used.scalar_subquery().label("used"),
            alive.scalar_subquery().label("alive"),
            sa.exists().where(self._waits()).label("waits"),
            under_way.label("under_way"),
            unmarked.label("unmarked"),
        )

    @cached_property
    def _lock_cap(self) -> sa.Select[Any]:
        return self._cap().with_for_update(of=self._database.queue)

    @cached_property
    def _used(self) -> sa.Select[Any]:
        items = self._database.items
        return sa.select(sa.func.count()).select_from(items).where(self._database.holds_slot())

    @cached_property
    def _give(self) -> ReturningUpdate[*tuple[Any, ...]]:
        table = self._database.items
        least, most = ("min", "max") if self._database.is_sqlite else ("least", "greatest")
        free = sa.bindparam("cap", type_=sa.Integer) - self._used.scalar_subquery()
        room = sa.bindparam("room", type_=sa.Integer)
        first = (
            sa.select(table.c.id)
            .where(self._waits())
            .order_by(table.c.priority.desc(), table.c.id)
            .limit(getattr(sa.func, most)(0, getattr(sa.func, least)(free, room)))
            # The lock also makes PostgreSQL evaluate it once, and not again for each row, which
            # would give more slots than there are.
            .with_for_update(skip_locked=True)
            .cte("first")
        )
        return self._give_slots(table.c.id.in_(sa.select(first.c.id)))

    @cached_property
    def _give_under_way(self) -> ReturningUpdate[*tuple[Any, ...]]:
        return self._give_slots(self._database.is_under_way(self._database.items))

    def _give_slots(self, which: sa.ColumnElement[bool]) -> ReturningUpdate[*tuple[Any, ...]]:
        table, conversations = self._database.items, self._database.conversations
        of_item = conversations.c.name == table.c.conversation
        target = sa.select(conversations.c.conversation_id).where(of_item)
        halted_by = sa.select(conversations.c.halted_by).where(of_item)
        return (
            sa.update(table)
            .where(self._waits(), which)
            .values(slot_at=self._database.now)
            .returning(
                table,
                target.scalar_subquery().label("target"),
                halted_by.scalar_subquery().label("halted_by"),
            )
        )

    def _waits(self) -> sa.ColumnElement[bool]:
        table = self._database.items
        return sa.and_(self._database.in_queue(table), table.c.ready, table.c.slot_at.is_(None))

    def _cap(self) -> sa.Select[Any]:
        """Return the account's limit: 0 while the queue is paused."""
        queue = self._database.queue
        cap = sa.case((queue.c.paused, 0), else_=queue.c.cap)
        return sa.select(cap).where(queue.c.name == self._database.queue_name)
