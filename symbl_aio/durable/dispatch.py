"""Dispatch: free slots of the account go to the items that are ready, oldest first.

The cap counts slots in our own table, since a job outlives the task that follows it: an item
holds its slot from before its request until its job ends, whatever becomes of the worker.
The engine is given an item only then. So its queue has no backlog, and what one worker hands
over, or a dead one leaves behind, is claimed at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cached_property, partial
from math import ceil
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.sql.dml import ReturningUpdate

from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.notifications import tell_ready
from symbl_aio.durable._store.heads import mark_heads
from symbl_aio.durable.items import Turn
from symbl_aio.durable.stats import is_alive

_LOG = logging.getLogger("symbl_aio.durable")


class _Seen(NamedTuple):
    """What a look has found. ``share``: slots that one worker may take."""

    cap: int
    used: int
    share: int
    waits: bool
    under_way: bool
    unmarked: bool


class Dispatcher:
    """Gives slots to items: each worker to its share, one worker at a time, by a row's lock.

    ``begin`` begins a turn in this process. ``taken``: how many turns go on here; the share
    of a worker is the same part of the cap for all that live. ``poll_interval``: seconds between
    two looks when nothing wakes it.
    """

    def __init__(
        self,
        database: Database,
        begin: Callable[[Turn], Awaitable[None]],
        *,
        taken: Callable[[], int],
        poll_interval: float,
    ) -> None:
        self._database = database
        self._begin = begin
        self._taken = taken
        self._poll_interval = poll_interval
        self._woken = asyncio.Event()
        self._has_freed = False

    def wake(self) -> None:
        """Look soon: a slot is free, or an item is ready. On the loop that ``run`` runs on."""
        self._woken.set()

    def freed(self) -> None:
        """Look soon, since a slot is free; tell the others, should it be beyond our share."""
        self._has_freed = True
        self.wake()

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
                    await self.dispatch()
                except Exception as error:
                    _LOG.warning("dispatch failed (%s)", type(error).__name__)
                    await failed(error)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_interval):
                    await self._woken.wait()

    async def dispatch(self) -> None:
        """Fill free slots, and begin the turns of all that got one.

        A turn that is not begun after all, because this process dies or the database goes
        away, is found by its slot (``Liveness``).
        """
        # Taken here, and not in the thread, between whose steps another slot may be freed.
        has_freed, self._has_freed = self._has_freed, False
        turns = await self._database.call(partial(self.fill, self._taken(), has_freed))
        await asyncio.gather(*map(self._begin, turns))

    def fill(self, taken: int = 0, has_freed: bool = False) -> list[Turn]:
        """Fill free slots in one transaction; return the turns that have one now. Blocks.

        ``taken``: turns that go on here. ``has_freed``: some have ended since the last time.
        """
        seen = self._look()
        is_free, is_ours = seen.waits and seen.used < seen.cap, taken < seen.share
        if is_free and not is_ours and has_freed:
            with self._database.begin() as connection:
                tell_ready(self._database, connection)
        if not (seen.unmarked or seen.under_way or (is_free and is_ours)):
            return []
        with self._database.begin() as connection:
            # Held by whoever gives slots, so that the count of those in use stays true.
            cap: int = connection.execute(self._holding).scalar_one()
            if seen.unmarked:
                marked = mark_heads(self._database, connection)
                _LOG.info("%d items of an older release are taken on", marked)
            # What was sent or accepted comes first, and beyond the cap: its job runs already.
            chosen: list[Turn] = []
            if seen.unmarked or seen.under_way:
                chosen += _turns(connection.execute(self._giving_under_way))
            used: int = connection.execute(self._used).scalar_one()
            if (free := min(cap - used, seen.share - taken - len(chosen))) > 0:
                # By a statement of its own: as part of the update PostgreSQL may choose it
                # again for each row, and give more slots than there are.
                ids = connection.execute(self._first, {"free": free}).scalars().all()
                if ids:
                    chosen += _turns(connection.execute(self._giving, {"ids": ids}))
        return chosen

    def _look(self) -> _Seen:
        """Look whether a slot can be given. One statement that locks nothing: most end here."""
        with self._database.read() as connection:
            found = connection.execute(self._looking).one()
        share = ceil(found.cap / max(1, found.alive))
        return _Seen(found.cap, found.used, share, found.waits, found.under_way, found.unmarked)

    # Statements, each built once: that takes longer than to execute it

    @cached_property
    def _looking(self) -> sa.Select[*tuple[Any, ...]]:
        table, workers = self._database.items, self._database.workers
        alive = (
            sa.select(sa.func.count())
            .select_from(workers)
            .where(is_alive(self._database), workers.c.queue == self._database.queue_name)
        )
        under_way = sa.exists().where(self._waits(), self._is_under_way())
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
    def _holding(self) -> sa.Select[Any]:
        return self._cap().with_for_update(of=self._database.queue)

    @cached_property
    def _used(self) -> sa.Select[Any]:
        table = self._database.items
        held = sa.and_(table.c.slot_at.is_not(None), table.c.queue == self._database.queue_name)
        return sa.select(sa.func.count()).select_from(table).where(held)

    @cached_property
    def _first(self) -> sa.Select[Any]:
        table = self._database.items
        return (
            sa.select(table.c.id)
            .where(self._waits())
            .order_by(table.c.priority.desc(), table.c.id)
            .limit(sa.bindparam("free", type_=sa.Integer))
            .with_for_update(skip_locked=True)
        )

    @cached_property
    def _giving(self) -> ReturningUpdate[*tuple[Any, ...]]:
        ids: sa.BindParameter[int] = sa.bindparam("ids", expanding=True)
        return self._give_slots(self._database.items.c.id.in_(ids))

    @cached_property
    def _giving_under_way(self) -> ReturningUpdate[*tuple[Any, ...]]:
        return self._give_slots(self._is_under_way())

    def _give_slots(self, which: sa.ColumnElement[bool]) -> ReturningUpdate[*tuple[Any, ...]]:
        table = self._database.items
        return (
            sa.update(table)
            .where(self._waits(), which)
            .values(slot_at=self._database.now)
            .returning(table.c.id, table.c.key, table.c.attempt, table.c.priority)
        )

    def _waits(self) -> sa.ColumnElement[bool]:
        table = self._database.items
        of_queue = table.c.queue == self._database.queue_name
        return sa.and_(of_queue, table.c.ready, table.c.slot_at.is_(None))

    def _is_under_way(self) -> sa.ColumnElement[bool]:
        table = self._database.items
        return sa.or_(table.c.job_id.is_not(None), table.c.sent_by.is_not(None))

    def _cap(self) -> sa.Select[Any]:
        """Return the account's limit: none of it while the queue is paused (``control``)."""
        queue = self._database.queue
        cap = sa.case((queue.c.paused, 0), else_=queue.c.cap)
        return sa.select(cap).where(queue.c.name == self._database.queue_name)


def _turns(given: sa.CursorResult[*tuple[Any, ...]]) -> list[Turn]:
    """Return the turns of the items that got a slot, in the order in which they wait."""
    ordered = sorted(given, key=lambda row: (-row.priority, row.id))
    return [Turn(row.key, row.attempt) for row in ordered]
