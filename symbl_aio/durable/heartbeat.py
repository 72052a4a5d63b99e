"""Say that this worker lives, notice those that do not, and take over what they had.

A worker whose row is gone was declared dead, and must not send: each send is noted in a
transaction that holds the row (``Records.note``), so that a worker which was paused and
wakes up finds out before its last byte.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from symbl_aio import ConfigurationError, OutboxUnavailableError
from symbl_aio.durable._database import schema
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.dbos import Rounds
from symbl_aio.durable._database.faults import is_misfit, passes
from symbl_aio.durable.items import ItemState, Turn

_LOG = logging.getLogger("symbl_aio.durable")
_FRESH: Final = 0.6
"""Share of the worker timeout after which a worker that could not say so sends nothing more."""
CUT_OFF: Final = 4.0
"""Times to live without a heartbeat after which a worker ends: another start may find a way."""
_RESIGNED: Final = 0.0
"""The beat of a worker that has handed over what it had. Below that it is known to be dead:
since when, is the beat's opposite."""
_LONG_DEAD: Final = -1.0


class Liveness:
    """The heartbeat of one worker, and its watch over the others.

    ``beat`` and ``worker_timeout`` are seconds. ``alone``: no other worker can be alive.
    """

    def __init__(
        self,
        database: Database,
        rounds: Rounds,
        worker: str,
        *,
        beat: float,
        worker_timeout: float,
        alone: bool,
    ) -> None:
        self._database = database
        self._rounds = rounds
        self._worker = worker
        self._beat_every = beat
        self._worker_timeout = worker_timeout
        self._alone = alone
        self._last_beat = self._well_since = monotonic()
        self._fit = asyncio.Event()
        self._leaving = False
        self.declared_dead = asyncio.Event()
        """Set when this worker must end, and come back anew: others took it for dead, or there
        is a ``failure``."""
        self.failure: ConfigurationError | OutboxUnavailableError | None = None
        """Why this worker must end, unless it was taken for dead."""

    def is_fresh(self) -> bool:
        """Say whether this worker could say just now that it lives."""
        return monotonic() - self._last_beat <= _FRESH * self._worker_timeout

    def is_fit(self) -> bool:
        """Return whether this worker may send: it does not leave, and its heartbeat is fresh."""
        return self.is_fresh() and not self._leaving

    def is_ready(self) -> bool:
        """Return whether this worker stays, and nobody may take it for dead yet."""
        is_known = not (self._leaving or self.declared_dead.is_set())
        return is_known and monotonic() - self._last_beat <= self._worker_timeout

    async def wait_until_fit(self) -> None:
        """Wait while this worker must not send: it leaves, or could not say that it lives."""
        while not self.is_fit():
            self._fit.clear()
            await self._fit.wait()

    def leave(self) -> None:
        """Begin to send nothing more."""
        self._leaving = True

    async def begin(self) -> None:
        """Enter the row of this worker, before it takes anything on."""
        await self._database.call(self._enter)
        self._last_beat = self._well_since = monotonic()

    def _enter(self) -> None:
        table = self._database.workers
        with self._database.begin() as connection:
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

    async def end(self) -> None:
        """Let the others go on at once, now that nothing happens here any more."""
        await self._put_back(await self._mine())
        await self._database.call(self._resign)

    def _resign(self) -> None:
        table = self._database.workers
        with self._database.begin() as connection:
            connection.execute(
                sa.update(table).where(table.c.id == self._worker).values(beat=_RESIGNED)
            )

    # The heart

    async def beat(self) -> None:
        """Say again and again that this worker lives, until cancelled."""
        while True:
            began = monotonic()
            try:
                async with asyncio.timeout(self._worker_timeout / 3):
                    known = await self._database.call(self._renew)
            except Exception as error:  # an outage: the gate shuts by itself, nobody leaves yet
                _LOG.warning("the database cannot be reached (%s)", type(error).__name__)
                await self.end_if_misfit(error)
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
                if not known:
                    _LOG.warning("worker %s was taken for dead", self._worker)
                    self.leave()
                    self.declared_dead.set()
                    return
                if not self.is_fresh():
                    self._well_since = monotonic()
                self._last_beat = began
                self._fit.set()
            await asyncio.sleep(self._beat_every)

    async def end_if_misfit(self, error: BaseException) -> None:
        """End this worker if its database is none that this release knows; else return.

        Then it does not return: whoever called has nothing more to do here, and what this
        worker has goes to one that fits.
        """
        if not is_misfit(error):
            return
        try:
            async with asyncio.timeout(self._worker_timeout):
                found = await self._database.call(partial(schema.explain, self._database, error))
        except TimeoutError:
            return
        self._fail(found)
        await asyncio.Event().wait()

    def _fail(self, failure: ConfigurationError | OutboxUnavailableError) -> None:
        if self.failure is None:
            _LOG.error("worker %s ends: %s", self._worker, failure)
            self.failure = failure
        self.leave()
        self.declared_dead.set()

    async def is_answered(self, within: float) -> bool:
        """Return whether the database answers this worker now."""
        try:
            async with asyncio.timeout(within):
                await self._database.call(self._renew)
        except Exception as error:
            return not passes(error)
        return True

    def _renew(self) -> bool:
        table = self._database.workers
        with self._database.begin() as connection:
            renewed = connection.execute(
                sa.update(table)
                .where(table.c.id == self._worker)
                .where(table.c.beat > 0.0)
                .values(beat=self._database.now)
            )
            return renewed.rowcount == 1

    # The watch

    async def watch(self, active: Collection[Turn]) -> None:
        """Take over what the dead had, and what was lost between database and worker.

        ``active``: the turns that really run here.
        """
        suspects: set[Turn] = set()
        while True:
            try:
                if self.is_fresh():
                    suspects = await self._look(suspects, active)
            except Exception as error:
                _LOG.warning("looking after the others failed (%s)", type(error).__name__)
                await self.end_if_misfit(error)
            await asyncio.sleep(self._beat_every)

    async def _look(self, suspects: set[Turn], active: Collection[Turn]) -> set[Turn]:
        held = await self._database.call(self._slots)
        begun = await self._database.call(self._rounds.begun) if held else {}
        # After an outage, or when all come up at once, each has the time to say that it lives.
        patient = monotonic() - self._well_since < self._worker_timeout
        living, dead = await self._database.call(partial(self._roll, patient))
        working = {worker for turn in held if (worker := begun.get(turn)) is not None}
        for worker in (dead | working) - living - {self._worker}:
            await self._bury(worker, patient)
        # A claim whose reply got lost is mine by the row alone; and whoever gives a slot may
        # die before its turn is begun. Twice in a row, or it was new.
        stranded = held - begun.keys()
        stranded |= {t for t in held if begun.get(t) == self._worker and t not in active}
        lost = stranded & suspects
        if claimed := lost & begun.keys():
            _LOG.warning("%d items that were never begun are queued again", len(claimed))
            await self._put_back(claimed)
        if unbegun := lost - begun.keys():
            _LOG.warning("%d slots whose turn was never begun are given anew", len(unbegun))
            await self._database.call(partial(self._take_slots, unbegun))
        return stranded - lost

    def _slots(self) -> set[Turn]:
        table = self._database.items
        with self._database.read() as connection:
            rows = connection.execute(
                sa.select(table.c.key, table.c.attempt)
                .where(table.c.slot_at.is_not(None))
                .where(table.c.queue == self._database.queue_name)
            ).all()
        return {Turn(row.key, row.attempt) for row in rows}

    def _take_slots(self, turns: Collection[Turn]) -> None:
        table = self._database.items
        pairs = [(turn.key, turn.attempt) for turn in turns]
        with self._database.begin() as connection:
            connection.execute(
                sa.update(table)
                .where(sa.tuple_(table.c.key, table.c.attempt).in_(pairs))
                .where(table.c.slot_at.is_not(None))
                .values(slot_at=None)
            )

    async def _bury(self, worker: str, patient: bool) -> None:
        beat = await self._database.call(partial(self._claim, worker, patient))
        if beat is None:
            return
        # Only now, since what was listed before may be somebody else's by now.
        left = await self._database.call(partial(self._rounds.under_way, worker))
        if not left:
            return
        _LOG.warning("%d items of worker %s are taken over", len(left), worker)
        if beat != _RESIGNED:
            await self._database.call(partial(self._count_death, left))
        await self._put_back(left)

    async def put_back(self, turn: Turn) -> None:
        """Put back into the queue what this worker has, unless it is another's by now."""
        if turn in await self._mine():
            await self._put_back([turn])

    async def _mine(self) -> Collection[Turn]:
        return await self._database.call(partial(self._rounds.under_way, self._worker))

    async def _put_back(self, turns: Collection[Turn]) -> None:
        await self._database.call(partial(self._rounds.put_back, turns))

    def _may_be_claimed(self, patient: bool) -> sa.ColumnElement[bool]:
        beat = self._database.workers.c.beat
        silent = sa.func.abs(beat) <= self._database.now - self._worker_timeout
        return sa.and_(silent, beat <= _RESIGNED) if patient else silent

    def _roll(self, patient: bool) -> tuple[set[str], set[str]]:
        """Give the workers that are known, those that live and those that do not."""
        table = self._database.workers
        with self._database.read() as connection:
            known = sa.select(table.c.id, self._may_be_claimed(patient).label("dead"))
            known = known.where(table.c.queue == self._database.queue_name)
            rows = connection.execute(known).all()
        return {row.id for row in rows if not row.dead}, {row.id for row in rows if row.dead}

    def _claim(self, worker: str, patient: bool) -> float | None:
        """Declare a worker dead, and give its last beat; only one of those who do wins."""
        table = self._database.workers
        with self._database.begin() as connection:
            beat: float | None = connection.execute(
                sa.delete(table)
                .where(table.c.id == worker)
                .where(self._may_be_claimed(patient))
                .returning(table.c.beat)
            ).scalar()
        if beat is None:
            # Should who declared it dead die before taking over, there is a next time.
            with suppress(IntegrityError), self._database.begin() as connection:
                connection.execute(
                    sa.insert(table).values(
                        id=worker, beat=-self._database.now, queue=self._database.queue_name
                    )
                )
        return beat

    def _count_death(self, turns: Collection[Turn]) -> None:
        """Note for what was not accepted yet that a worker died with it."""
        table = self._database.items
        keys = [turn.key for turn in turns]
        with self._database.begin() as connection:
            connection.execute(
                sa.update(table)
                .where(table.c.key.in_(keys))
                .where(table.c.state == ItemState.QUEUED.value)
                .values(deaths=table.c.deaths + 1)
            )


class SoleWorker:
    """The one worker of an SQLite file, as long as it lives."""

    def __init__(self, file: Path) -> None:
        path = file.with_name(file.name + ".worker")
        self._lock = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        try:
            self._lock.execute("pragma locking_mode = exclusive")
            self._lock.execute("begin exclusive")
        except sqlite3.OperationalError as error:
            self._lock.close()
            if error.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            raise ConfigurationError(
                f"another worker works on {str(file)!r}, and an SQLite file has one; "
                "use PostgreSQL for several"
            ) from None

    def release(self) -> None:
        """Let another one in."""
        self._lock.close()
