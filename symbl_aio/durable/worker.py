"""Send what is in the outbox: one process among many, or inside another program."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import threading
from collections.abc import Coroutine, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, NoReturn, Self, TypeVar

from attrs import evolve

from symbl_aio import (
    Config,
    ConfigurationError,
    CredentialsLike,
    Lanes,
    SymblClient,
)
from symbl_aio._fields import require, require_count, require_number
from symbl_aio._threads import in_a_thread
from symbl_aio._waiting import result_of
from symbl_aio.durable import control
from symbl_aio.durable._database import dbos as engine
from symbl_aio.durable._database.database import QUEUE_NAME, SCHEMA, Database
from symbl_aio.durable._database.notifications import Notices
from symbl_aio.durable._store.maintenance import forget_some
from symbl_aio.durable.broken import queue_again
from symbl_aio.durable.dispatch import Dispatcher
from symbl_aio.durable.heartbeat import Liveness, SoleWorker
from symbl_aio.durable.stats import OutboxStats, stats
from symbl_aio.durable.steps import Duty, OnAmbiguous
from symbl_aio.durable.tracing import ItemObserver
from symbl_aio.durable.workflow import Turns, end_tasks

T = TypeVar("T")

_LOG = logging.getLogger("symbl_aio.durable")
_CONNECTIONS: Final = 3
"""Of the engine's and our own, beside the one that listens: twenty workers fit a hundred."""
_SILENCE: Final = 5.0
_PURGE_EVERY: Final = 3600.0
_LOOK_AFTER_BROKEN_EVERY: Final = 60.0
_ENDING: Final = 5.0
"""Seconds that the engine, and the database, are given at the end."""
_ANSWER: Final = 2.5
"""Seconds after which a database that does not answer is not waited for at the end."""


class Worker:
    """Sends the items of an outbox, and follows their jobs.

    ``database``, ``schema`` and ``queue`` as for ``Outbox``; ``credentials`` and ``config`` as for
    ``SymblClient``. With ``Config.webhook_base_url`` and ``webhook_secret`` every item
    carries a webhook URL, whose calls go to ``Outbox.webhook`` in any process: they wake
    its worker, and tell after a crash what was accepted.

    ``concurrency``: the account's job limit, kept by all workers of the database together;
    give all the same. ``on_ambiguous``: what becomes of an item that was sent whole and of
    which ``ambiguity_timeout`` seconds later no evidence tells whether it was accepted:
    ``"at_most_once"`` leaves it to a person, ``"at_least_once"`` sends it again.
    ``heartbeat`` and ``worker_timeout`` (seconds): a worker that did not say for so long that
    it lives is taken for dead, and others take over what it had; it says so each third of
    that time, if ``heartbeat`` is not given. ``retention``: seconds for
    which ended items are remembered, and their keys are not used anew. ``poll_interval``:
    seconds between two looks for work that nothing has told of: most is told at once.
    ``observers``: plain functions, called in the worker's own loop with each event of its
    client, and with ``ItemEnded``; ``contrib.otel.JobSpans`` is one.

    Everything runs in a thread and an event loop of its own. A process has one worker, an
    SQLite file has one worker, and a program that runs DBOS for itself runs the worker as
    another process (``symbl-aio worker``). Use it as ``async with``, or call ``start`` and
    ``aclose``.
    """

    def __init__(
        self,
        database: str,
        credentials: CredentialsLike | None = None,
        *,
        config: Config | None = None,
        schema: str = SCHEMA,
        queue: str = QUEUE_NAME,
        concurrency: int = 50,
        on_ambiguous: OnAmbiguous = "at_most_once",
        ambiguity_timeout: float = 120.0,
        heartbeat: float | None = None,
        worker_timeout: float = 15.0,
        retention: float = 7 * 86400.0,
        poll_interval: float = 5.0,
        observers: Sequence[ItemObserver] = (),
    ) -> None:
        require_count("concurrency", concurrency)
        require("config", config, (Config, type(None)), "Config(...)")
        times = {
            "ambiguity_timeout": ambiguity_timeout,
            "heartbeat": heartbeat,
            "worker_timeout": worker_timeout,
            "retention": retention,
            "poll_interval": poll_interval,
        }
        for name, seconds in times.items():
            if seconds is not None or name != "heartbeat":
                require_number(name, seconds, "a number of seconds, 0 or more")
        if heartbeat is None:
            heartbeat = worker_timeout / 3
        elif worker_timeout < 3 * heartbeat:
            raise ConfigurationError(
                f"worker_timeout is {worker_timeout}; "
                f"give at least three times heartbeat={heartbeat}"
            )
        if on_ambiguous not in ("at_most_once", "at_least_once"):
            raise ConfigurationError(
                f'on_ambiguous is {on_ambiguous!r}; give "at_most_once" or "at_least_once"'
            )
        config = Config() if config is None else config
        self._config = evolve(
            config,
            # Order and limit are kept by the database, for all workers together.
            limits=evolve(config.limits, jobs=concurrency),
            lanes=Lanes(advance_on="accepted"),
        )
        self._client = SymblClient(credentials, config=self._config, observers=observers)
        self._observers = tuple(observers)
        self._database = Database(
            database,
            schema,
            queue=queue,
            connections=_CONNECTIONS,
            silence=min(_SILENCE, worker_timeout / 3),
        )
        self._concurrency = concurrency
        self._on_ambiguous: OnAmbiguous = on_ambiguous
        self._ambiguity_timeout = ambiguity_timeout
        self._heartbeat = heartbeat
        self._worker_timeout = worker_timeout
        self._retention = retention
        self._poll_interval = poll_interval
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._dispatching: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._sole: SoleWorker | None = None
        self._liveness: Liveness | None = None
        self._turns: Turns | None = None
        self.id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        """New for every start, never used again."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Worker cannot be pickled or copied; make one in each process")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Begin to work. Makes the tables if they are missing.

        Raises ``ConfigurationError`` for the second worker of an SQLite file or of a
        process, and ``OutboxUnavailableError`` when the database cannot be used.
        """
        if self._thread is not None:
            raise ConfigurationError("the worker was started already; make a new one")
        if not engine.take_place():
            raise ConfigurationError(
                "this process runs a worker, or DBOS, already; run symbl-aio worker beside it"
            )
        try:
            if (file := self._database.file) is not None:
                with self._database.telling():
                    file.parent.mkdir(parents=True, exist_ok=True)
                    self._sole = SoleWorker(file)
        except BaseException:
            engine.give_place()
            raise
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name="symbl_aio worker", daemon=True)
        self._thread.start()
        try:
            with self._database.telling():
                await self._inside(self._start())
        except BaseException:
            await self.aclose(0.0)
            raise

    async def aclose(self, timeout: float = 10.0) -> None:
        """Stop: send nothing more, give uploads that have started ``timeout`` seconds.

        Jobs that run on are followed by the next worker, at once; so is all that waits.
        Cancelling it ends the waiting, not the closing.
        """
        if self._thread is None:
            return
        if self._ending is None:
            self._ending = asyncio.ensure_future(self._end(timeout))
        await result_of(self._ending)

    async def drain(self, timeout: float | None = None) -> None:
        """Begin nothing new, wait until the jobs that this worker has have ended, and close.

        Raises ``TimeoutError`` after ``timeout`` seconds; it is closed then, too, and others
        follow what is left, as they do if the wait is cancelled.
        """
        self._check_running()
        try:
            async with asyncio.timeout(timeout):
                await self._inside(self._drain())
        finally:
            await self.aclose()

    async def wait_until_dead(self) -> None:
        """Wait until the other workers took this one for dead, because it was silent for so long.

        It has stopped by itself then, and has to be closed; start another one. The same with
        ``OutboxUnavailableError`` when it had no answer from the database for four times
        ``worker_timeout``, and with ``ConfigurationError`` when the tables are not those of this
        release any more.
        """
        if self._liveness is None:
            raise ConfigurationError("the worker was not started")
        await self._inside(self._liveness.declared_dead.wait())
        if self._liveness.failure is not None:
            raise self._liveness.failure

    @property
    def is_ready(self) -> bool:
        """Whether it runs, and its heartbeat is younger than ``worker_timeout``. Thread-safe."""
        return self._liveness is not None and self._liveness.is_ready()

    async def stats(self) -> OutboxStats:
        """Count what is in the database, over this worker's own connections.

        Raises ``ConfigurationError`` before ``start`` and after ``aclose``, and
        ``OutboxUnavailableError`` when the database cannot be used.
        """
        self._check_running()
        with self._database.telling():
            return await self._inside(self._database.call(partial(stats, self._database)))

    def _check_running(self) -> None:
        if self._liveness is None or self._stopping is not None:
            raise ConfigurationError("the worker does not run; start it before")

    async def _end(self, timeout: float) -> None:
        assert self._thread is not None
        await self._inside(self._stop(timeout))
        self._loop.call_soon_threadsafe(self._loop.stop)
        await in_a_thread(self._thread.join)
        if self._sole is not None:
            self._sole.release()
        engine.give_place()

    async def _inside(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the worker's own loop, for somebody in another one."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    # In the worker's own thread

    def _live(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(_end_the_rest())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _start(self) -> None:
        await self._database.call(partial(engine.migrate, self._database))
        await self._client.start()
        rounds = engine.Rounds(self._database)
        liveness = Liveness(
            self._database,
            rounds,
            self.id,
            beat=self._heartbeat,
            worker_timeout=self._worker_timeout,
            alone=self._sole is not None,
        )
        await liveness.begin()  # before the first claim
        self._liveness = liveness
        duty = Duty(
            self._database,
            self._client,
            liveness,
            self.id,
            on_ambiguous=self._on_ambiguous,
            patience=min(15.0, self._ambiguity_timeout / 4),
            ambiguity_timeout=self._ambiguity_timeout,
            # Webhooks tell the end; to ask is for those that got lost.
            interval=2 * self._config.polls.ceiling,
        )
        self._turns = turns = Turns(duty)
        dispatcher = Dispatcher(
            self._database,
            engine.begin,
            taken=lambda: len(turns.active),
            poll_interval=self._poll_interval,
        )
        notices = Notices(
            self._database,
            ready=dispatcher.wake,
            news=turns.tell,
            poll_interval=self._poll_interval,
        )
        duty.ended = dispatcher.freed
        duty.observers = self._observers
        await self._database.call(partial(control.set_cap, self._database, self._concurrency))
        # Soon enough, since what was handed over is followed by nobody meanwhile.
        claim_every = min(self._poll_interval, self._worker_timeout / 3)
        if self._sole is not None:  # a look at a file costs next to nothing
            claim_every = min(claim_every, 1.0)
        await engine.launch(self._database, turns.bring, worker=self.id, interval=claim_every)
        self._dispatching = self._loop.create_task(
            dispatcher.run(liveness.is_fit, liveness.end_if_misfit)
        )
        self._tasks = [self._dispatching] + [
            self._loop.create_task(work)
            for work in (
                liveness.beat(),
                liveness.watch(turns.active),
                notices.run(),
                self._stop_when_dead(liveness),
                self._begin_anew(liveness, rounds),
                self._purge(liveness),
            )
        ]

    async def _drain(self) -> None:
        assert self._turns is not None
        engine.stop_claiming()
        if self._dispatching is not None:
            self._dispatching.cancel()
        while runs := {run for runs in self._turns.active.values() for run in runs}:
            await asyncio.wait(runs)

    async def _stop(self, timeout: float) -> None:
        """Stop, once: whoever comes later waits for the same end."""
        if self._stopping is None:
            self._stopping = self._loop.create_task(self._stop_now(timeout))
        await asyncio.shield(self._stopping)

    async def _stop_now(self, timeout: float) -> None:
        answered = True
        if self._liveness is not None:
            self._liveness.leave()
            if not self._database.is_sqlite:
                answered = await self._liveness.is_answered(_ANSWER)
        if not answered:  # no upload can be noted, and nothing handed over
            timeout = 0.0
            self._database.end()
        try:
            await self._client.aclose(drain="uploads", timeout=timeout)
        finally:
            for task in self._tasks:
                task.cancel()
            await engine.shut(_ENDING)
            if self._turns is not None:
                await self._turns.leave()
            if self._liveness is not None and answered:
                await self._hand_over(self._liveness)
            await in_a_thread(self._database.close)

    async def _hand_over(self, liveness: Liveness) -> None:
        """Let the others go on at once, now that nothing happens here any more."""
        try:
            async with asyncio.timeout(_ENDING):
                await liveness.end()
        except Exception as error:
            _LOG.warning(
                "what worker %s had waits for the worker timeout to pass (%s)",
                self.id,
                type(error).__name__,
            )

    async def _stop_when_dead(self, liveness: Liveness) -> None:
        await liveness.declared_dead.wait()
        # Whatever it takes on is taken away from it: it must take on nothing more.
        await self._stop(0.0)

    async def _begin_anew(self, liveness: Liveness, rounds: engine.Rounds) -> None:
        """Look after what the engine broke off, now and then."""
        while True:
            try:
                broken = await self._database.call(rounds.broken_off)
                number = await self._database.call(partial(queue_again, self._database, broken))
                if number:
                    _LOG.warning("%d items that were broken off are queued again", number)
            except Exception as error:
                _LOG.warning("looking after broken items failed (%s)", type(error).__name__)
                await liveness.end_if_misfit(error)
            await asyncio.sleep(_LOOK_AFTER_BROKEN_EVERY)

    async def _purge(self, liveness: Liveness) -> None:
        """Forget what ended long ago, now and then."""
        while True:
            try:
                while await self._database.call(
                    partial(forget_some, self._database, self._retention)
                ):
                    pass
            except Exception as error:
                _LOG.warning("forgetting old items failed (%s)", type(error).__name__)
                await liveness.end_if_misfit(error)
            await asyncio.sleep(_PURGE_EVERY)


async def _end_the_rest() -> None:
    here = asyncio.current_task()
    await end_tasks({task for task in asyncio.all_tasks() if task is not here})
