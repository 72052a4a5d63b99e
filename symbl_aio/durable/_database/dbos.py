"""Every use of DBOS, the workflow engine underneath: it could be exchanged in this module.

One workflow is one attempt of an item, from its slot to its end. DBOS records nothing else:
after a crash the worker that takes over runs it from the beginning, and reads from our own
tables how far it has come (``attempt_workflow``). So a slot costs DBOS two transactions.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final, NoReturn

from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer, SetWorkflowID, WorkflowStatus
from dbos._migration import get_migration_versions
from dbos._serialization import DefaultSerializer

from symbl_aio import ConfigurationError
from symbl_aio._fields import require_word
from symbl_aio._private_files import make_file, make_folder
from symbl_aio._threads import in_a_thread
from symbl_aio.durable._database import schema as versions
from symbl_aio.durable._database.database import SCHEMA, Database
from symbl_aio.durable._database.tables import QUEUE_NAME
from symbl_aio.durable.items import Attempt

QUEUE: Final = "symbl.slots"
"""Holds only workflows that one worker hands over to another: their items hold slots already."""
_WORKFLOW: Final = "symbl.item"
_FAILED: Final = ("ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
_APPLICATION: Final = "symbl-aio"
_VERSION: Final = "symbl_aio.1"
"""A constant, not a hash of the source: a newer release continues workflows of an older one."""
_ENDING_TIMEOUT: Final = 30.0
"""Seconds for which a start waits for the end of the worker before it: three times as long as DBOS
waits for one of its threads."""

_run: Callable[[Attempt], Awaitable[str]]


@DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=1000)
async def _item(key: str) -> str:
    workflow_id = DBOS.workflow_id
    assert workflow_id is not None
    return await _run(Attempt.parse(workflow_id))


# For any process


def queue_of(database: Database) -> str:
    """Return the queue in DBOS for the account of a database; a worker reads no other."""
    name = database.queue_name
    return QUEUE if name == QUEUE_NAME else f"{QUEUE}.{name}"


async def migrate(database: str, *, schema: str = SCHEMA, role: str | None = None) -> None:
    """Create or migrate the tables of an outbox. Safe in many processes at once.

    ``Outbox`` and ``Worker`` do it when they start; if their database user may not, run it
    before as a user who may. ``role`` (PostgreSQL) gets the right to use all of the tables,
    those of later releases too. Cancelling stops the wait, not the migration. Raises
    ``OutboxUnavailableError`` when the database cannot be used.
    """
    if role is not None:
        require_word("role", role)
    found = Database(database, schema, connections=1)
    try:
        if found.is_sqlite and role is not None:
            raise ConfigurationError("role is for PostgreSQL; a file has its own permissions")
        with found.translate_errors():
            await found.call(partial(create_tables, found, role))
    finally:
        await in_a_thread(found.close)


def create_tables(database: Database, role: str | None = None) -> None:
    """Create or migrate the tables of DBOS and ours. Safe in many processes at once.

    ``role`` (PostgreSQL) gets the right to use them, and all later tables of the schema.
    """
    found = versions.check(database)  # before anything is changed
    if role is None and found == versions.VERSION and _is_current(database):
        return
    if database.is_pooled:  # DBOS takes a session lock for it
        raise ConfigurationError(
            f"database {database.name!r} is reached through a pooler (PgBouncer), and its tables "
            "are to be made or changed; run symbl-aio db migrate with the address of PostgreSQL "
            "itself"
        )
    if database.file is not None:
        make_folder(database.file.parent)
        make_file(database.file)
    DBOS.migrate(database.url, schema=database.schema, application_role=role)
    versions.migrate(database)


def _is_current(database: Database) -> bool:
    if database.is_sqlite:
        return False  # the check costs as much as the migration
    found, latest = get_migration_versions(database.engine, database.schema, True)
    return found >= latest


def purge(database: Database, attempts: Iterable[Attempt]) -> None:
    """Delete the workflows of finished attempts."""
    _client(database).delete_workflows([attempt.id for attempt in attempts])


def _client(database: Database) -> DBOSClient:
    """Return a client of DBOS, without a thread or a connection of its own.

    Each call raises during an outage: DBOS itself would wait in a thread, for ever.
    """
    return DBOSClient(
        system_database_engine=database.engine,
        dbos_system_schema=database.schema,
        serializer=DBOSPortableJSONSerializer(),
        application_name=_APPLICATION,
        retry_connection_errors=False,
        lazy=True,
    )


# For a worker: only on the loop of its own thread


async def launch(
    database: Database,
    run: Callable[[Attempt], Awaitable[str]],
    *,
    worker: str,
    interval: float,
) -> None:
    """Launch DBOS. ``run`` is called with each attempt, and runs it to its end.

    ``interval``: seconds between two polls for workflows that another worker handed over.

    DBOS replaces the default executor of the running loop, and exists once in a process. Until
    ``shut_down`` it unpickles nothing there.
    """
    global _run
    _run = run
    # DBOS unpickles a row that is marked so, with any serializer: who can write to the database
    # would run code here. We write JSON alone.
    DefaultSerializer.deserialize = _refuse  # type: ignore[method-assign, assignment]
    DBOS(
        config={
            "name": _APPLICATION,
            "system_database_url": database.url,
            "dbos_system_schema": database.schema,
            "executor_id": worker,
            "application_version": _VERSION,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "CRITICAL",
            "max_executor_threads": 4,
            # For a file DBOS makes its own, for its own kind of transaction.
            "system_database_engine": None if database.is_sqlite else database.engine,
            # Its messages are not used (see notifications): no connection for them. The thread
            # that polls for them instead polls often, so that it stops soon.
            "use_listen_notify": False,
            "notification_listener_polling_interval_sec": 0.1,
            "run_migrations": False,
        }
    )
    DBOS.listen_queues([queue_of(database)])
    # DBOS makes an event loop in a thread, and waits for ever if that fails for want of handles.
    asyncio.new_event_loop().close()
    DBOS.launch()
    # A thread that looks each second for delays and deadlines, which we do not use.
    if (unused := getattr(_instance(), "_background_jobs_stop_event", None)) is not None:
        unused.set()
    await DBOS.register_queue_async(
        queue_of(database),
        polling_interval_sec=interval,
        on_conflict="always_update",
    )
    database.retry_connecting()


class PickleRefusedError(Exception):
    """A row of DBOS holds a pickle, which may run any code: it is not read."""


_unpickle: Final = DefaultSerializer.deserialize


def _refuse(_serializer: object, _pickled: str) -> NoReturn:
    raise PickleRefusedError("no row of an outbox is pickled; this one is not read")


async def start(attempt: Attempt) -> None:
    """Start the workflow of an item that got a slot, in this process, unless it exists."""
    with SetWorkflowID(attempt.id):
        await DBOS.start_workflow_async(_item, attempt.key)


def stop_dequeuing() -> None:
    """Stop dequeuing workflows in this process; running ones continue."""
    for stop in getattr(_instance(), "background_thread_stop_events", ()):
        stop.set()


def _instance() -> Any:
    """Return the one DBOS instance of this process, ``None`` without one."""
    import dbos._dbos

    return getattr(dbos._dbos, "_dbos_global_instance", None)


class Workflows:
    """The workflows of an account, as workers inspect and requeue them. All of it blocks."""

    def __init__(self, database: Database) -> None:
        self._client = _client(database)
        self._queue = queue_of(database)

    def of_worker(self, worker: str) -> list[Attempt]:
        """Return the attempts that a worker runs."""
        return [Attempt.parse(one.workflow_id) for one in self._list("PENDING", worker=worker)]

    def started(self) -> dict[Attempt, str | None]:
        """Return the started and unfinished attempts, each with the worker that runs it.

        ``None`` for an attempt that waits between two workers, or failed in DBOS.
        """
        return {
            Attempt.parse(one.workflow_id): one.executor_id if one.status == "PENDING" else None
            for one in self._list("PENDING", "ENQUEUED", *_FAILED)
        }

    def failed(self) -> list[Attempt]:
        """Return the attempts whose workflow failed or was cancelled in DBOS itself."""
        return [Attempt.parse(one.workflow_id) for one in self._list(*_FAILED)]

    def _list(self, *states: str, worker: str | None = None) -> list[WorkflowStatus]:
        return self._client.list_workflows(
            status=list(states),
            name=_WORKFLOW,
            executor_id=worker,
            load_input=False,
            load_output=False,
        )

    def requeue(self, attempts: Iterable[Attempt]) -> None:
        """Put attempts into the queue, for any worker, whichever worker has them now."""
        if given := [attempt.id for attempt in attempts]:
            self._client.resume_workflows(given, queue_name=self._queue)


_process_slot = threading.Lock()
_ending: threading.Thread | None = None
"""The thread in which DBOS was shut down last."""


async def acquire_process_slot() -> bool:
    """Acquire the one DBOS instance that a process may have; false if it is taken.

    Waits for an instance that is being shut down.
    """
    if _ending is not None:
        await in_a_thread(partial(_ending.join, _ENDING_TIMEOUT))
    return _instance() is None and _process_slot.acquire(blocking=False)


def release_process_slot() -> None:
    """Release what ``acquire_process_slot`` acquired."""
    _process_slot.release()


async def shut_down(timeout: float) -> None:
    """Shut DBOS down within ``timeout`` seconds; running workflows stay as they are."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def destroy() -> None:
        DBOS.destroy()
        DefaultSerializer.deserialize = _unpickle  # type: ignore[method-assign]
        with suppress(RuntimeError):  # the loop was closed after the timeout
            loop.call_soon_threadsafe(ended.set)

    # Not in DBOS's own executor: during an outage its threads wait for the database, for ever.
    global _ending
    ending = threading.Thread(target=destroy, name="symbl_aio ending", daemon=True)
    ending.start()
    _ending = ending
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            await ended.wait()
    # Nor must the exit of the program join them, as it does for threads of executors.
    for waiting in threading.enumerate():
        if waiting.daemon and waiting.name.startswith("dbos-executor-"):
            getattr(concurrent.futures.thread, "_threads_queues", {}).pop(waiting, None)
