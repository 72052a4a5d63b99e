"""Worker heartbeats, failure detection, and takeover of a dead worker's items.

A worker whose row is gone was evicted, and must not send: each intent to send is recorded in
a transaction that locks the row (``AttemptRecords.record_intent``), so a worker that was
paused learns of its eviction before its last byte.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from symbl_aio import ConfigurationError, OutboxUnavailableError
from symbl_aio._log import Log
from symbl_aio._private_files import make_file
from symbl_aio.durable._database import schema
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.dbos import Workflows
from symbl_aio.durable._database.faults import is_incompatible, passes
from symbl_aio.durable._store.slots import Slots
from symbl_aio.durable.items import Attempt, ItemState

T = TypeVar("T")

_LOG = Log("symbl_aio.durable")
_FRESH: Final = 0.6
"""Share of the worker timeout after which a worker without a heartbeat sends nothing more."""
CUT_OFF: Final = 4.0
"""Worker timeouts without a heartbeat after which a worker ends: a new start may reconnect."""
_RESIGNED: Final = 0.0
"""Heartbeat of a worker that has handed over its items. A negative one is that of a dead worker:
its opposite is the time of the eviction."""
_LONG_DEAD: Final = -1.0


class Heartbeat:
    """The heartbeat of one worker, and its watch over the others.

    ``interval``: seconds between two heartbeats. ``worker_timeout``: seconds without one after
    which a worker is dead. ``alone``: no other worker can be alive.
    """

    def __init__(
        self,
        database: Database,
        workflows: Workflows,
        worker: str,
        *,
        interval: float,
        worker_timeout: float,
        alone: bool,
    ) -> None:
        self._database = database
        self._workflows = workflows
        self._slots = Slots(database)
        self._worker = worker
        self._interval = interval
        self._worker_timeout = worker_timeout
        self._alone = alone
        self._last_beat = self._well_since = -inf  # none until it is registered
        self._may_send = asyncio.Event()
        self._leaving = False
        self._draining = False
        self._ahead: dict[tuple[str, float], float] = {}
        """When heartbeats were first seen here that are later than the database's clock."""
        self.evicted = asyncio.Event()
        """Set when this worker must end: others evicted it, or there is a ``failure``."""
        self.failure: ConfigurationError | OutboxUnavailableError | None = None
        """Why this worker must end, unless it was evicted."""

    def is_fresh(self) -> bool:
        """Return whether this worker's last heartbeat is recent."""
        return monotonic() - self._last_beat <= _FRESH * self._worker_timeout

    def may_send(self) -> bool:
        """Return whether this worker may send: it is not stopping, and its heartbeat is fresh."""
        return self.is_fresh() and not self._leaving

    def is_ready(self) -> bool:
        """Return whether this worker runs, and no other may evict it yet."""
        is_running = not (self._leaving or self.evicted.is_set())
        return is_running and monotonic() - self._last_beat <= self._worker_timeout

    async def wait_until_may_send(self) -> None:
        """Wait while this worker must not send."""
        while not self.may_send():
            self._may_send.clear()
            await self._may_send.wait()

    def stop_sending(self) -> None:
        """Start nothing that sends, from now on."""
        self._leaving = True

    def drain(self) -> None:
        """Leave this worker's share of the slots to the others, from the next heartbeat on."""
        self._draining = True

    # This worker

    async def register(self) -> None:
        """Insert the row of this worker, before it starts anything."""
        await self._database.call(self._register)
        self._last_beat = self._well_since = monotonic()

    def _register(self) -> None:
        table = self._database.workers
        with self._database.begin() as connection:
            # Holding the file's lock proves that all earlier workers are dead.
            if self._alone:
                connection.execute(
                    sa.update(table).where(table.c.beat > 0.0).values(beat=_LONG_DEAD)
                )
            connection.execute(
                sa.insert(table).values(
                    id=self._worker,
                    beat=self._database.now,
                    time_to_live=self._worker_timeout,
                    queue=self._database.queue_name,
                )
            )

    async def hand_over(self, unstarted: Mapping[Attempt, float]) -> None:
        """Requeue the items of this worker for the others, once nothing runs here any more.

        ``unstarted``: times of the slots of items that this worker may not have started.
        """
        own = await self._own_attempts()
        await self._requeue(own)
        if never_started := {one: at for one, at in unstarted.items() if one not in own}:
            await self._database.call(partial(self._slots.release, never_started))
        await self._database.call(self._resign)

    def _resign(self) -> None:
        table = self._database.workers
        with self._database.begin() as connection:
            connection.execute(
                sa.update(table).where(table.c.id == self._worker).values(beat=_RESIGNED)
            )

    async def requeue(self, attempt: Attempt) -> None:
        """Requeue an attempt of this worker, unless another worker has it by now."""
        if attempt in await self._own_attempts():
            await self._requeue([attempt])

    async def _own_attempts(self) -> Collection[Attempt]:
        return await self._database.call(partial(self._workflows.of_worker, self._worker))

    async def _requeue(self, attempts: Collection[Attempt]) -> None:
        await self._database.call(partial(self._workflows.requeue, attempts))

    async def run(self) -> None:
        """Write a heartbeat at each interval, until cancelled or evicted."""
        while True:
            began = monotonic()
            try:
                async with asyncio.timeout(self._worker_timeout / 3):
                    registered = await self._database.call(self._beat)
            except Exception as error:
                # An outage: sending stops once the heartbeat is stale; the worker stays.
                self._database.report("the heartbeat", error)
                await self._end_if_incompatible(error)
                silent = monotonic() - self._last_beat
                if silent > CUT_OFF * self._worker_timeout:
                    self._fail(
                        OutboxUnavailableError(
                            f"the database {self._database.name!r} has not answered worker "
                            f"{self._worker} for {silent:.0f} s"
                        )
                    )
                    return
            else:
                self._database.report_answer()
                if not registered:
                    _LOG.warning("worker %s was taken for dead", self._worker)
                    self.stop_sending()
                    self.evicted.set()
                    return
                if not self.is_fresh():
                    self._well_since = monotonic()
                # The start of the call, since the commit may be as early as that.
                self._last_beat = began
                self._may_send.set()
            await asyncio.sleep(self._interval)

    async def is_answered(self, timeout: float) -> bool:
        """Return whether the database answers this worker within ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._database.call(self._beat)
        except Exception as error:
            return not passes(error)
        return True

    def _beat(self) -> bool:
        table = self._database.workers
        with self._database.begin() as connection:
            updated = connection.execute(
                sa.update(table)
                .where(table.c.id == self._worker)
                .where(table.c.beat > 0.0)
                .values(beat=self._database.now, draining=self._draining)
            )
            return updated.rowcount == 1

    async def call(self, work: Callable[[], T]) -> T:
        """Run blocking database work, with retries while the database is away."""
        pause = 0.1
        while True:
            try:
                return await self._database.call(work)
            except Exception as error:
                if not passes(error):
                    await self._end_if_incompatible(error)
                    raise
                self._database.report("a call", error)
                await asyncio.sleep(pause)
                pause = min(5.0, 2 * pause)

    @asynccontextmanager
    async def outages_pass(self, work: str) -> AsyncIterator[None]:
        """Report an error of the block, and end this worker if no retry can help.

        ``work``: the block, for the log.
        """
        try:
            yield
        except Exception as error:
            self._database.report(work, error)
            await self._end_if_incompatible(error)

    async def _end_if_incompatible(self, error: BaseException) -> None:
        """End this worker if the tables or the file are not those it needs; otherwise return.

        Does not return then: the caller must not go on, and a worker that fits gets its items.
        """
        found: ConfigurationError | OutboxUnavailableError
        if isinstance(error, ConfigurationError):  # the file of the database was replaced
            found = error
        elif is_incompatible(error):
            try:
                async with asyncio.timeout(self._worker_timeout):
                    explain = partial(schema.explain, self._database, error)
                    found = await self._database.call(explain)
            except TimeoutError:
                return
        else:
            return
        self._fail(found)
        await asyncio.Event().wait()

    def _fail(self, failure: ConfigurationError | OutboxUnavailableError) -> None:
        if self.failure is None:
            _LOG.error("worker %s ends: %s", self._worker, failure)
            self.failure = failure
        self.stop_sending()
        self.evicted.set()

    # The other workers

    async def watch(self, active: Collection[Attempt]) -> None:
        """Reclaim the items of dead workers, and those lost between database and worker.

        ``active``: the attempts that really run here.
        """
        suspects: set[tuple[Attempt, float]] = set()
        while True:
            async with self.outages_pass("watching the other workers"):
                if self.is_fresh():
                    suspects = await self._check(suspects, active)
            await asyncio.sleep(self._interval)

    async def _check(
        self, suspects: set[tuple[Attempt, float]], active: Collection[Attempt]
    ) -> set[tuple[Attempt, float]]:
        held = await self._database.call(self._slot_holders)
        started = await self._database.call(self._workflows.started) if held else {}
        # After an outage, or a start of all workers, each has the time for a heartbeat.
        patient = monotonic() - self._well_since < self._worker_timeout
        living, dead = await self._worker_states(patient)
        working = {worker for one, _ in held if (worker := started.get(one)) is not None}
        for worker in (dead | working) - living - {self._worker}:
            await self._reclaim(worker, patient)
        # If the reply to a dequeue got lost, an attempt is ours in the database alone; and a
        # worker may die between a slot and the start. Seen twice in a row, else it is new.
        stranded = {
            (one, at)
            for one, at in held
            if one not in started or (started[one] == self._worker and one not in active)
        }
        lost = stranded & suspects
        if never_run := [one for one, _ in lost if one in started]:
            _LOG.warning("%d items that never started are queued again", len(never_run))
            await self._requeue(never_run)
        if never_started := {one: at for one, at in lost if one not in started}:
            # Fewer, since an item that ended between the two lists was in the first alone.
            number = await self._database.call(partial(self._slots.release, never_started))
            if number:
                _LOG.warning("%d slots without a started workflow are dispatched again", number)
        return stranded - lost

    def _slot_holders(self) -> set[tuple[Attempt, float]]:
        """Return the attempts that hold a slot, each with the time of its slot."""
        table = self._database.items
        with self._database.read() as connection:
            rows = connection.execute(
                sa.select(table.c.key, table.c.attempt, table.c.slot_at).where(
                    self._database.holds_slot()
                )
            ).all()
        return {(Attempt(row.key, row.attempt), row.slot_at) for row in rows}

    async def _reclaim(self, worker: str, patient: bool) -> None:
        """Evict a dead worker, and requeue its items, unless another worker does."""
        beat = await self._database.call(partial(self._evict, worker, patient))
        if beat is None:
            return
        # Read only now: attempts that were read before may belong to another worker by now.
        left = await self._database.call(partial(self._workflows.of_worker, worker))
        if not left:
            return
        _LOG.warning("%d items of worker %s are taken over", len(left), worker)
        # A worker that resigned handed its items over, and did not crash.
        if beat != _RESIGNED:
            await self._database.call(partial(self._count_crash, left))
        await self._requeue(left)

    async def _worker_states(self, patient: bool) -> tuple[set[str], set[str]]:
        """Return the ids of the live workers, and of the dead ones.

        A heartbeat of before the clock was set back grows old only when the clock comes there
        again: its age here is what counts.
        """
        now = monotonic()
        rows = await self._database.call(partial(self._heartbeats, patient))
        ahead = [(row.id, row.beat) for row in rows if row.is_ahead]
        self._ahead = {one: self._ahead.get(one, now) for one in ahead}
        dead = {row.id for row in rows if row.is_dead}
        for one, seen_at in self._ahead.items():
            if now - seen_at >= self._worker_timeout:
                await self._database.call(partial(self._bury, *one))
                dead.add(one[0])
        return {row.id for row in rows} - dead, dead

    def _heartbeats(self, patient: bool) -> Sequence[Any]:
        table = self._database.workers
        is_ahead = (table.c.beat > self._database.now).label("is_ahead")
        known = sa.select(
            table.c.id, table.c.beat, is_ahead, self._is_dead(patient).label("is_dead")
        )
        with self._database.read() as connection:
            return connection.execute(known.where(self._database.in_queue(table))).all()

    def _bury(self, worker: str, beat: float) -> None:
        table = self._database.workers
        with self._database.begin() as connection:
            is_unchanged = sa.and_(table.c.id == worker, table.c.beat == beat)
            connection.execute(sa.update(table).where(is_unchanged).values(beat=_LONG_DEAD))

    def _is_dead(self, patient: bool) -> sa.ColumnElement[bool]:
        beat = self._database.workers.c.beat
        silent = sa.func.abs(beat) <= self._database.now - self._worker_timeout
        return sa.and_(silent, beat <= _RESIGNED) if patient else silent

    def _evict(self, worker: str, patient: bool) -> float | None:
        """Delete a dead worker's row, and return its last heartbeat; one evictor alone gets it."""
        table = self._database.workers
        with self._database.begin() as connection:
            beat: float | None = connection.execute(
                sa.delete(table)
                .where(table.c.id == worker)
                .where(self._is_dead(patient))
                .returning(table.c.beat)
            ).scalar()
        if beat is None:
            # If the evictor dies before it takes over, another one evicts the worker again.
            with suppress(IntegrityError), self._database.begin() as connection:
                connection.execute(
                    sa.insert(table).values(
                        id=worker, beat=-self._database.now, queue=self._database.queue_name
                    )
                )
        return beat

    def _count_crash(self, attempts: Collection[Attempt]) -> None:
        """Count a crash for each item that was not accepted yet."""
        table = self._database.items
        keys = [attempt.key for attempt in attempts]
        with self._database.begin() as connection:
            connection.execute(
                sa.update(table)
                .where(table.c.key.in_(keys))
                .where(table.c.state == ItemState.QUEUED.value)
                .values(deaths=table.c.deaths + 1)
            )


class WorkerLock:
    """Lock of an SQLite file's one worker, held as long as its process lives."""

    def __init__(self, file: Path) -> None:
        # Beside the file itself: another path to it, by a link, has the same lock.
        file = file.resolve()
        path = file.with_name(file.name + ".worker")
        make_file(path)
        self._lock = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        try:
            self._lock.execute("pragma locking_mode = exclusive")
            self._lock.execute("begin exclusive")
        except sqlite3.OperationalError as error:
            self._lock.close()
            if error.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            refused = ConfigurationError(
                f"another worker works on {str(file)!r}, and an SQLite file has one; "
                "use PostgreSQL for several"
            )
            refused.has_other_worker = True
            raise refused from None

    def release(self) -> None:
        """Release the lock, for another worker."""
        self._lock.close()
