"""Send the items of an outbox: as one process among many, or inside another program."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import threading
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
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
from symbl_aio._fields import require, require_count, require_number, require_seconds
from symbl_aio._log import Log
from symbl_aio._private_files import make_folder
from symbl_aio._shared_futures import result_of, running_loop
from symbl_aio._threads import in_a_thread
from symbl_aio.durable._database import dbos
from symbl_aio.durable._database.database import SCHEMA, SILENCE, Database
from symbl_aio.durable._database.notifications import Notifications
from symbl_aio.durable._database.tables import QUEUE_NAME
from symbl_aio.durable._store.queue_control import delete_expired, requeue_failed, set_cap
from symbl_aio.durable.attempt_steps import ItemObserver, ItemSteps, OnAmbiguous
from symbl_aio.durable.attempt_workflow import ItemWorkflows, cancel_tasks
from symbl_aio.durable.dispatch import Dispatcher
from symbl_aio.durable.heartbeat import Heartbeat, WorkerLock
from symbl_aio.durable.stats import OutboxStats, read_stats

T = TypeVar("T")

_LOG = Log("symbl_aio.durable")
_CONNECTIONS: Final = 3
"""Connections beside the one that listens: twenty workers fit into a hundred."""
_RETENTION_INTERVAL: Final = 3600.0
_FAILED_INTERVAL: Final = 60.0
_SHUTDOWN_TIMEOUT: Final = 5.0
"""Seconds that DBOS, and the handover, have when the worker stops."""
_CALLS_TIMEOUT: Final = 1.0
"""Seconds that database calls of cancelled tasks have to commit, before the handover."""
_ANSWER_TIMEOUT: Final = 2.5
"""Seconds that a stopping worker waits for an answer of the database."""


class Worker:
    """Sends the items of an outbox, and follows their jobs.

    ``database``, ``schema`` and ``queue`` as for ``Outbox``; ``credentials`` and ``config`` as for
    ``SymblClient``. With ``Config.webhook_base_url`` and ``webhook_secret`` every item
    carries a webhook URL, whose calls go to ``Outbox.webhook`` in any process: they wake
    its worker, and are evidence of acceptance after a crash.

    ``concurrency``: the account's job limit, kept by all workers of the database together;
    give all the same. ``on_ambiguous``: the treatment of an item that was sent whole, if
    ``ambiguity_timeout`` seconds later there is no evidence that it was accepted:
    ``"at_most_once"`` leaves it to an operator, ``"at_least_once"`` sends it again.
    ``worker_timeout``: seconds without a heartbeat after which a worker is dead, and others
    take over its items. ``heartbeat``: seconds between two heartbeats, a third of the timeout
    unless it is given. ``retention``: seconds for which ended items are stored, and their keys
    cannot be used anew. ``poll_interval``: seconds between two polls of the database without a
    notification. ``wait_for_database``: seconds that ``start`` waits for a PostgreSQL that is
    away. ``observers``: plain functions, called in the worker's own loop with each
    event of its client, and with ``ItemEnded``; ``contrib.otel.JobSpans`` is one.

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
        wait_for_database: float = 30.0,
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
            "wait_for_database": wait_for_database,
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
            # The database keeps order and limit, for all workers together.
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
            silence=min(SILENCE, worker_timeout / 3),
        )
        self._concurrency = concurrency
        self._on_ambiguous: OnAmbiguous = on_ambiguous
        self._ambiguity_timeout = ambiguity_timeout
        self._heartbeat_interval = heartbeat
        self._worker_timeout = worker_timeout
        self._retention = retention
        self._poll_interval = poll_interval
        self._wait_for_database = wait_for_database
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._dispatcher: Dispatcher | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._heartbeat: Heartbeat | None = None
        self._workflows: ItemWorkflows | None = None
        self.id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        """New for each worker, never used again."""

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
        """Start to work. Creates the tables if they are missing.

        Raises ``ConfigurationError`` for the second worker of an SQLite file or of a
        process, and ``OutboxUnavailableError`` when the database cannot be used.
        """
        if self._thread is not None:
            raise ConfigurationError("the worker was started already; make a new one")
        running_loop()  # that of the caller, who waits in it for the worker's own
        if not await dbos.acquire_process_slot():
            raise ConfigurationError(
                "this process runs a worker, or DBOS, already; run symbl-aio worker beside it"
            )
        held = ExitStack()
        held.callback(dbos.release_process_slot)
        try:
            # Before the thread: a second worker of a file must not touch the database.
            with self._database.translate_errors():
                if (file := self._database.file) is not None:
                    make_folder(file.parent)
                    held.callback(WorkerLock(file).release)
                self._loop = asyncio.new_event_loop()
            held.callback(self._loop.close)
            thread = threading.Thread(
                target=self._run_loop, args=(held,), name="symbl_aio worker", daemon=True
            )
            thread.start()
        except BaseException:
            held.close()
            raise
        self._thread = thread
        try:
            with self._database.translate_errors():
                await self._inside(self._start())
        except BaseException:
            await self.aclose(0.0)
            raise

    async def aclose(self, timeout: float = 10.0) -> None:
        """Stop: start no more uploads; those that have started get ``timeout`` seconds.

        All items are handed over: another worker follows their jobs at once. Cancelling it
        ends the wait, not the closing.
        """
        require_seconds("timeout", timeout)
        if self._thread is None:
            return
        # One closing for all callers; a cancelled one does not stop it.
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close(timeout))
        await result_of(self._closing)

    async def drain(self, timeout: float | None = None) -> None:
        """Start nothing new, wait until the jobs of this worker have ended, and close.

        Raises ``TimeoutError`` after ``timeout`` seconds; it is closed then, too, and others
        follow the remaining jobs, as they do if the wait is cancelled.
        """
        require_seconds("timeout", timeout, or_none=True)
        self._check_running()
        try:
            async with asyncio.timeout(timeout):
                await self._inside(self._drain())
        finally:
            await self.aclose()

    async def wait_until_dead(self) -> None:
        """Wait until other workers have evicted this one, because it had no heartbeat.

        It has stopped by itself then, and has to be closed; start another one. Raises
        ``OutboxUnavailableError`` when it had no answer from the database for four times
        ``worker_timeout``, and ``ConfigurationError`` when the tables do not fit this release
        any more; it has stopped then, too.
        """
        if self._heartbeat is None:
            raise ConfigurationError("the worker was not started")
        await self._inside(self._heartbeat.evicted.wait())
        if self._heartbeat.failure is not None:
            raise self._heartbeat.failure

    @property
    def is_ready(self) -> bool:
        """Whether it runs, and its heartbeat is younger than ``worker_timeout``. Thread-safe."""
        return self._heartbeat is not None and self._heartbeat.is_ready()

    async def stats(self) -> OutboxStats:
        """Return numbers of items, slots and workers, over this worker's own connections.

        Raises ``ConfigurationError`` before ``start`` and after ``aclose``, and
        ``OutboxUnavailableError`` when the database cannot be used.
        """
        self._check_running()
        with self._database.translate_errors():
            return await self._inside(self._database.call(partial(read_stats, self._database)))

    def _check_running(self) -> None:
        if self._heartbeat is None or self._stopping is not None:
            raise ConfigurationError("the worker does not run; start it before")

    async def _close(self, timeout: float) -> None:
        assert self._thread is not None
        try:
            await self._inside(self._stop(timeout))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            await in_a_thread(self._thread.join)

    async def _inside(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the worker's own loop, for a caller in another one."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    # In the worker's own thread

    def _run_loop(self, held: ExitStack) -> None:
        """Run the loop until it is stopped, then release what this worker alone may hold."""
        with held:
            self._loop.run_forever()
            self._loop.run_until_complete(_cancel_remaining())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    async def _start(self) -> None:
        create_tables = partial(dbos.create_tables, self._database)
        await self._database.call_at_start(create_tables, self._wait_for_database)
        # Of another file this worker would send what it has sent before.
        self._database.keep_file()
        await self._client.start()
        workflows = dbos.Workflows(self._database)
        heartbeat = Heartbeat(
            self._database,
            workflows,
            self.id,
            interval=self._heartbeat_interval,
            worker_timeout=self._worker_timeout,
            alone=self._database.is_sqlite,
        )
        self._heartbeat = heartbeat  # first: a stop in between removes the row again
        await heartbeat.register()  # before it dequeues anything
        self._dispatcher = dispatcher = Dispatcher(
            self._database, heartbeat, poll_interval=self._poll_interval
        )
        steps = ItemSteps(
            self._database,
            self._client,
            heartbeat,
            dispatcher,
            self.id,
            on_ambiguous=self._on_ambiguous,
            reconcile_interval=min(15.0, self._ambiguity_timeout / 4),
            ambiguity_timeout=self._ambiguity_timeout,
            # Webhooks report the end; polls are for those that got lost.
            webhook_timeout=2 * self._config.polls.ceiling,
        )
        self._workflows = here = ItemWorkflows(steps)
        notifications = Notifications(
            self._database,
            ready=dispatcher.woken,
            on_webhook=here.wake,
            poll_interval=self._poll_interval,
        )
        steps.observers = self._observers
        await self._database.call(partial(set_cap, self._database, self._concurrency))
        # Soon enough, since no worker follows a handed-over job until it is dequeued.
        dequeue_interval = min(self._poll_interval, self._worker_timeout / 3)
        if self._database.is_sqlite:  # a poll of a file costs next to nothing
            dequeue_interval = min(dequeue_interval, 1.0)
        await dbos.launch(self._database, here.run, worker=self.id, interval=dequeue_interval)
        self._tasks = [
            self._loop.create_task(work)
            for work in (
                dispatcher.run(here.active),
                heartbeat.run(),
                heartbeat.watch(here.active),
                notifications.run(),
                self._stop_when_evicted(heartbeat),
                self._requeue_failed(heartbeat, workflows),
                self._delete_expired(heartbeat),
            )
        ]

    async def _drain(self) -> None:
        assert self._workflows is not None
        assert self._dispatcher is not None
        assert self._heartbeat is not None
        dbos.stop_dequeuing()
        self._heartbeat.drain()
        self._dispatcher.stop()
        while tasks := {task for tasks in self._workflows.active.values() for task in tasks}:
            await asyncio.wait(tasks)

    async def _stop(self, timeout: float) -> None:
        """Stop, once: later calls wait for the first."""
        if self._stopping is None:
            self._stopping = self._loop.create_task(self._stop_now(timeout))
        await asyncio.shield(self._stopping)

    async def _stop_now(self, timeout: float) -> None:
        answered = True
        if self._heartbeat is not None:
            self._heartbeat.stop_sending()
            if not self._database.is_sqlite:
                answered = await self._heartbeat.is_answered(_ANSWER_TIMEOUT)
        if not answered:  # no intent can be recorded, and nothing handed over
            timeout = 0.0
            self._database.abort()
        try:
            await self._client.aclose(drain="uploads", timeout=timeout)
        finally:
            for task in self._tasks:
                task.cancel()
            # DBOS before the workflows: cancelled ones would count as failed there.
            await dbos.shut_down(_SHUTDOWN_TIMEOUT)
            if self._workflows is not None:
                await self._workflows.cancel_all()
            if self._heartbeat is not None and answered:
                await self._hand_over(self._heartbeat)
            await in_a_thread(self._database.close)

    async def _hand_over(self, heartbeat: Heartbeat) -> None:
        """Hand the items over to the other workers, if the database answers in time."""
        dispatcher = self._dispatcher
        try:
            async with asyncio.timeout(_SHUTDOWN_TIMEOUT):
                await self._database.finish_calls(_CALLS_TIMEOUT)
                await heartbeat.hand_over({} if dispatcher is None else dispatcher.unstarted)
        except Exception as error:
            _LOG.warning(
                "the items of worker %s wait for the worker timeout to pass (%s)",
                self.id,
                self._database.describe(error),
            )

    async def _stop_when_evicted(self, heartbeat: Heartbeat) -> None:
        await heartbeat.evicted.wait()
        # At once: other workers take over all that it would start.
        await self._stop(0.0)

    async def _requeue_failed(self, heartbeat: Heartbeat, workflows: dbos.Workflows) -> None:
        """Requeue the items of workflows that failed in DBOS, at each interval."""
        while True:
            async with heartbeat.outages_pass("requeuing failed workflows"):
                failed = await self._database.call(workflows.failed)
                number = await self._database.call(partial(requeue_failed, self._database, failed))
                if number:
                    _LOG.warning("%d items whose workflow failed are queued again", number)
            await asyncio.sleep(_FAILED_INTERVAL)

    async def _delete_expired(self, heartbeat: Heartbeat) -> None:
        """Delete the items whose retention has passed, at each interval."""
        delete = partial(delete_expired, self._database, self._retention)
        while True:
            async with heartbeat.outages_pass("deleting expired items"):
                while await self._database.call(delete):
                    pass
            await asyncio.sleep(_RETENTION_INTERVAL)


async def _cancel_remaining() -> None:
    here = asyncio.current_task()
    await cancel_tasks({task for task in asyncio.all_tasks() if task is not here})
