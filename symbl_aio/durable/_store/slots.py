"""The account's slots: count them, give free ones to ready items, pass one on.

The limit counts slots in our own table, since a job outlives the process that follows it. All
of it blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import ceil
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.dml import ReturningUpdate

from symbl_aio._log import Log
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.notifications import notify_ready
from symbl_aio.durable._database.schema import mark_heads
from symbl_aio.durable._database.tables import Row
from symbl_aio.durable.items import Attempt

_LOG = Log("symbl_aio.durable")


class Slots:
    """The slots of one queue, as one worker gives them to ready items.

    Statements are built once: to build one takes longer than to execute it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def fill(self, running: int = 0, has_freed: bool = False) -> list[Row]:
        """Fill free slots in one transaction; return the items that got one, in their order.

        Each as ``AttemptRecords.read`` returns it, but for the times. ``running``: attempts
        that run here. ``has_freed``: some ended since the last time.
        """
        with self._database.read() as connection:
            seen = connection.execute(self._overview).one()
        share = ceil(seen.cap / max(1, seen.alive))
        is_free, is_ours = seen.waits and seen.used < seen.cap, running < share
        if is_free and not is_ours and has_freed:
            with self._database.begin() as connection:
                notify_ready(self._database, connection)
        if not (seen.unmarked or seen.under_way or (is_free and is_ours)):
            return []
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
            room = share - running - len(given)
            if room > 0:
                given += connection.execute(self._give, {"cap": cap, "room": room})
        return sorted(given, key=lambda row: (-row.priority, row.id))

    def pass_on(self, connection: sa.Connection, running: int) -> Row | None:
        """Pass the slot that this transaction freed on to the next ready item; return that item.

        ``None`` if no item is ready, the limit was lowered, or this worker, where so many
        attempts run, has more than its share. Without the lock of ``fill``, since the
        transaction leaves the number of used slots as it was.
        """
        return connection.execute(self._pass_on, {"running": running}).first()

    def release(self, slots: Mapping[Attempt, float]) -> int:
        """Free slots whose attempts were not started; return how many were still held.

        Each with its time: since then the item may have got another slot, and use it.
        """
        table = self._database.items
        given = [(attempt.key, attempt.number, at) for attempt, at in slots.items()]
        held = sa.tuple_(table.c.key, table.c.attempt, table.c.slot_at)
        with self._database.begin() as connection:
            released = connection.execute(
                sa.update(table).where(held.in_(given)).values(slot_at=None)
            )
            if released.rowcount:
                notify_ready(self._database, connection)
            return released.rowcount

    @cached_property
    def _overview(self) -> sa.Select[*tuple[Any, ...]]:
        """The numbers that decide whether a slot can be given. Takes no lock."""
        table = self._database.items
        unmarked = sa.exists().where(table.c.ready.is_(None), self._database.unfinished(table))
        return sa.select(
            self._cap().scalar_subquery().label("cap"),
            self._used.label("used"),
            self._alive.label("alive"),
            sa.exists().where(self._waits()).label("waits"),
            self._under_way_waits().label("under_way"),
            unmarked.label("unmarked"),
        )

    @cached_property
    def _lock_cap(self) -> sa.Select[Any]:
        return self._cap().with_for_update(of=self._database.queue)

    @cached_property
    def _used(self) -> sa.ScalarSelect[int]:
        items = self._database.items
        used = sa.select(sa.func.count()).select_from(items).where(self._database.holds_slot())
        return used.correlate(None).scalar_subquery()

    @cached_property
    def _alive(self) -> sa.ScalarSelect[int]:
        """Return the number of live workers that share the slots: those that drain do not."""
        workers = self._database.workers
        alive = sa.select(sa.func.count()).select_from(workers).where(~workers.c.draining)
        alive = alive.where(self._database.is_alive(), self._database.in_queue(workers))
        return alive.scalar_subquery()

    @cached_property
    def _give(self) -> ReturningUpdate[*tuple[Any, ...]]:
        least, most = ("min", "max") if self._database.is_sqlite else ("least", "greatest")
        free = sa.bindparam("cap", type_=sa.Integer) - self._used
        room = sa.bindparam("room", type_=sa.Integer)
        number = getattr(sa.func, most)(0, getattr(sa.func, least)(free, room))
        return self._give_slots(self._is_first(number))

    @cached_property
    def _pass_on(self) -> ReturningUpdate[*tuple[Any, ...]]:
        running = sa.bindparam("running", type_=sa.Integer)
        cap = self._cap().scalar_subquery()
        return self._give_slots(
            self._is_first(
                1,
                self._used < cap,
                (running - 1) * self._alive < cap,
                # Their jobs run already: the free slot is theirs, when it is dispatched.
                ~self._under_way_waits(),
            )
        )

    @cached_property
    def _give_under_way(self) -> ReturningUpdate[*tuple[Any, ...]]:
        return self._give_slots(self._under_way)

    def _is_first(
        self, number: int | sa.ColumnElement[int], *conditions: sa.ColumnElement[bool]
    ) -> sa.ColumnElement[bool]:
        """Return the condition for the first ``number`` items that wait for a slot."""
        table = self._database.items
        first = (
            sa.select(table.c.id)
            .where(self._waits(), *conditions)
            .order_by(table.c.priority.desc(), table.c.id)
            .limit(number)
            # The lock also makes PostgreSQL evaluate it once, and not again for each row, which
            # would give more slots than there are.
            .with_for_update(skip_locked=True)
            .cte("first")
        )
        return table.c.id.in_(sa.select(first.c.id))

    def _give_slots(self, which: sa.ColumnElement[bool]) -> ReturningUpdate[*tuple[Any, ...]]:
        table, conversations = self._database.items, self._database.conversations
        # Without the cast SQLite reads all conversations: a column that is returned has no type.
        of_item = conversations.c.name == sa.cast(table.c.conversation, sa.Text)
        target = sa.select(conversations.c.conversation_id).where(of_item)
        halted_by = sa.select(conversations.c.halted_by).where(of_item)
        return (
            sa.update(table)
            .where(which)
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

    def _under_way_waits(self) -> sa.ColumnElement[bool]:
        """Return the condition that an item waits whose job runs already, or may run."""
        return sa.select(sa.literal(1)).where(self._under_way).correlate(None).exists()

    @property
    def _under_way(self) -> sa.ColumnElement[bool]:
        """The condition for those items."""
        table = self._database.items
        waits = sa.and_(table.c.ready, table.c.slot_at.is_(None))
        return sa.and_(
            waits, self._database.is_under_way(table), self._database.in_queue_by_scan(table)
        )

    def _cap(self) -> sa.Select[Any]:
        """Return the account's limit: 0 while the queue is paused."""
        queue = self._database.queue
        cap = sa.case((queue.c.paused, 0), else_=queue.c.cap)
        return sa.select(cap).where(queue.c.name == self._database.queue_name)
