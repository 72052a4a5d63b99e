"""Dispatch ready items to this worker: by priority, then oldest first.

An item holds its slot from before its request until its job ends. A worker passes the slot of
an item that ended here on to the next one, in the same transaction; other free slots are
given by ``Slots.fill``. DBOS gets an item only once it has a slot: its queue has no backlog,
and a worker dequeues handed-over items at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Final

from symbl_aio.durable._database import dbos
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.tables import Row
from symbl_aio.durable._store.slots import Slots
from symbl_aio.durable.heartbeat import Heartbeat
from symbl_aio.durable.items import Attempt

_GATHER: Final = 0.1
"""Seconds from a slot that is freed to a dispatch: all that are freed meanwhile go with it."""


class Dispatcher:
    """Dispatches slots: each worker takes its share, one worker at a time, by a row's lock.

    The share of a worker is the limit divided by the number of live workers, without those that
    drain. Nothing starts while the ``heartbeat`` forbids to send. ``poll_interval``: seconds
    between two dispatches without a wake-up.
    """

    def __init__(self, database: Database, heartbeat: Heartbeat, *, poll_interval: float) -> None:
        self._database = database
        self._slots = Slots(database)
        self._heartbeat = heartbeat
        self._poll_interval = poll_interval
        self.woken = asyncio.Event()
        """Set it to dispatch soon, when an item may be ready: on the loop of ``run``."""
        self._active: Collection[Attempt] | None = None
        """The attempts in this process, while ``run`` runs."""
        self._has_freed = False
        self._starting: set[asyncio.Task[None]] = set()
        self.unstarted: dict[Attempt, float] = {}
        """Times of the slots that were given here, until their attempts have started."""
        self.rows: dict[Attempt, Row] = {}
        """Rows of the attempts that are started here, as they were read with their slots. Each is
        used once."""

    @property
    def running(self) -> int | None:
        """The number of attempts in this process, ``None`` while none may be started."""
        active = self._active
        return None if active is None or not self._heartbeat.may_send() else len(active)

    def stop(self) -> None:
        """Start no more attempts; the slots that were just given are released."""
        self._active = None

    def expect(self, rows: Sequence[Row]) -> None:
        """Keep the slots of items that are to start here. Thread-safe.

        Called in the thread that gave them the slots: a task that waits for it may be
        cancelled.
        """
        self.unstarted.update({Attempt(row.key, row.attempt): row.slot_at for row in rows})

    def slot_passed(self, row: Row) -> None:
        """Start the attempt of an item that got the slot of one that ended here."""
        # Not in the context of the attempt that ended: DBOS would record it as a part of that.
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._start_passed(row), context=Context())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start_passed(self, row: Row) -> None:
        try:
            await self._start_all([row])
        except Exception as error:
            self._database.report(f"starting item {row.key}", error)

    def slot_freed(self) -> None:
        """Dispatch soon: a slot is free. Other workers are notified if it exceeds our share."""
        if not self._has_freed:
            self._has_freed = True
            asyncio.get_running_loop().call_later(_GATHER, self.woken.set)

    async def run(self, active: Collection[Attempt]) -> None:
        """Fill free slots until cancelled. An outage only delays it.

        ``active``: the attempts that run in this process.
        """
        self._active = active
        while True:
            self.woken.clear()
            if (running := self.running) is not None:
                async with self._heartbeat.outages_pass("dispatch"):
                    # Read here, not in the thread: there another slot could be freed in between.
                    has_freed, self._has_freed = self._has_freed, False
                    fill = partial(self._fill, running, has_freed)
                    if rows := await self._database.call(fill):
                        await self._start_all(rows)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_interval):
                    await self.woken.wait()

    def _fill(self, running: int, has_freed: bool) -> list[Row]:
        rows = self._slots.fill(running, has_freed)
        self.expect(rows)
        return rows

    async def _start_all(self, rows: Sequence[Row]) -> None:
        """Start the attempts of items that got a slot, or release the slots after ``stop``.

        One that is not started after all, after a crash or during an outage, is found by its
        slot (``Heartbeat.watch``).
        """
        if self._active is None:
            slots = {Attempt(row.key, row.attempt): row.slot_at for row in rows}
            await self._database.call(partial(self._slots.release, slots))
        else:
            await asyncio.gather(*(self._start_one(row) for row in rows))

    async def _start_one(self, row: Row) -> None:
        attempt = Attempt(row.key, row.attempt)
        self.rows[attempt] = row
        try:
            await dbos.start(attempt)
        except BaseException:
            self.rows.pop(attempt, None)
            raise
        self.unstarted.pop(attempt, None)
