"""All that is asked of DBOS, the engine underneath: so that it can be exchanged in one place.

One workflow is one turn of an item, from its slot to its end. It records nothing but that:
after a crash it is run again from its beginning, by whoever takes it over, and what was done
before is read from our own tables (``turns``). So a slot costs the engine two transactions.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer, SetWorkflowID, WorkflowStatus
from dbos._migration import get_migration_versions

from symbl_aio import ConfigurationError
from symbl_aio.durable._database import schema
from symbl_aio.durable._database.database import QUEUE_NAME, Database
from symbl_aio.durable.items import Turn

QUEUE: Final = "symbl.slots"
"""Has only what one worker hands over to another: whatever is in it holds a slot already."""
_WORKFLOW: Final = "symbl.item"
_BROKEN: Final = ("ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
_APPLICATION: Final = "symbl-aio"
_VERSION: Final = "symbl_aio.1"
"""Ours, and not a hash of the source: what an older release queued, a newer one goes on with."""

_bring: Callable[[Turn], Awaitable[str]]


@DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=1000)
async def _item(key: str) -> str:
    workflow_id = DBOS.workflow_id
    assert workflow_id is not None
    return await _bring(Turn.of(workflow_id))


# For any process


def queue_of(database: Database) -> str:
    """Return the engine's queue for the account of a database: each worker has that alone."""
    name = database.queue_name
    return QUEUE if name == QUEUE_NAME else f"{QUEUE}.{name}"


def migrate(database: Database, role: str | None = None) -> None:
    """Make, or bring up to date, the engine's tables and ours. Safe to call at once by many.

    ``role`` (PostgreSQL) may use them then, and what is made later in their schema, too.
    """
    found = schema.check(database)  # before anything is changed
    if role is None and found == schema.VERSION and _is_current(database):
        return
    if database.is_pooled:  # the engine takes a lock of its session meanwhile
        raise ConfigurationError(
            f"database {database.name!r} is reached through a pooler (PgBouncer), and its tables "
            "are to be made or changed; run symbl-aio db migrate with the address of PostgreSQL "
            "itself"
        )
    if database.file is not None:
        database.file.parent.mkdir(parents=True, exist_ok=True)
    DBOS.migrate(database.url, schema=database.schema, application_role=role)
    schema.migrate(database)


def _is_current(database: Database) -> bool:
    if database.is_sqlite:
        return False  # as cheap to ask as to migrate
    found, latest = get_migration_versions(database.engine, database.schema, True)
    return found >= latest


def purge(database: Database, turns: Iterable[Turn]) -> None:
    """Delete what the engine keeps of turns that have ended."""
    _client(database).delete_workflows([turn.id for turn in turns])


def _client(database: Database) -> DBOSClient:
    """Return what asks and tells the engine, without a thread or a connection of its own.

    While the database is away each call raises: the engine itself would wait for it in a
    thread, for ever.
    """
    return DBOSClient(
        system_database_engine=database.engine,
        dbos_system_schema=database.schema,
        serializer=DBOSPortableJSONSerializer(),
        application_name=_APPLICATION,
        retry_connection_errors=False,
        lazy=True,
    )


# For a worker: only on the loop that its own thread runs


async def launch(
    database: Database,
    bring: Callable[[Turn], Awaitable[str]],
    *,
    worker: str,
    interval: float,
) -> None:
    """Begin to work. ``bring`` is called with each turn, and brings it to its end.

    ``interval``: seconds between two looks for what another worker has handed over.

    The engine takes over the default executor of the loop that this is called on, and
    exists once in a process.
    """
    global _bring
    _bring = bring
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
            # Of a file it makes its own, for its own kind of transaction.
            "system_database_engine": None if database.is_sqlite else database.engine,
            # Its messages are not used (see notices): no connection for them, and a thread of
            # its own that looks for nothing, often enough to end soon.
            "use_listen_notify": False,
            "notification_listener_polling_interval_sec": 0.1,
            "run_migrations": False,
        }
    )
    DBOS.listen_queues([queue_of(database)])
    DBOS.launch()
    # Looks each second for workflows with delays and deadlines, of which we have none.
    if (unused := getattr(_instance(), "_background_jobs_stop_event", None)) is not None:
        unused.set()
    await DBOS.register_queue_async(
        queue_of(database),
        polling_interval_sec=interval,
        on_conflict="always_update",
    )
    database.wait_for_database()


async def begin(turn: Turn) -> None:
    """Begin the turn of an item that has got a slot, here, unless it was begun elsewhere."""
    with SetWorkflowID(turn.id):
        await DBOS.start_workflow_async(_item, turn.key)


def stop_claiming() -> None:
    """Stop taking anything out of the queue in this process; what runs here goes on."""
    for stop in getattr(_instance(), "background_thread_stop_events", ()):
        stop.set()


def _instance() -> Any:
    """Return the one engine of this process, ``None`` without one."""
    import dbos._dbos

    return getattr(dbos._dbos, "_dbos_global_instance", None)


class Rounds:
    """What is under way, for whoever looks after it and takes it over. All of it blocks."""

    def __init__(self, database: Database) -> None:
        self._client = _client(database)
        self._queue = queue_of(database)

    def under_way(self, worker: str) -> list[Turn]:
        """Return the turns that a worker has."""
        return [Turn.of(one.workflow_id) for one in self._list("PENDING", worker=worker)]

    def begun(self) -> dict[Turn, str | None]:
        """Return the turns that were begun and have not ended, and who has each.

        ``None`` has what waits between two workers, or was broken off.
        """
        return {
            Turn.of(one.workflow_id): one.executor_id if one.status == "PENDING" else None
            for one in self._list("PENDING", "ENQUEUED", *_BROKEN)
        }

    def broken_off(self) -> list[Turn]:
        """Return the turns that ended in a way that none should end."""
        return [Turn.of(one.workflow_id) for one in self._list(*_BROKEN)]

    def _list(self, *states: str, worker: str | None = None) -> list[WorkflowStatus]:
        return self._client.list_workflows(
            status=list(states),
            name=_WORKFLOW,
            executor_id=worker,
            load_input=False,
            load_output=False,
        )

    def put_back(self, turns: Iterable[Turn]) -> None:
        """Put turns into the queue, for any worker, whoever was said to work on them."""
        if given := [turn.id for turn in turns]:
            self._client.resume_workflows(given, queue_name=self._queue)


_here = threading.Lock()


def take_place() -> bool:
    """Take the one place that a process has for the engine; false if it is taken."""
    return _instance() is None and _here.acquire(blocking=False)


def give_place() -> None:
    """Give back what ``take_place`` took."""
    _here.release()


async def shut(within: float) -> None:
    """End the engine; workflows under way stay as they are.

    Not by its own executor, and not for longer than ``within`` seconds: while the database
    is away its threads wait for it, for ever.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def destroy() -> None:
        DBOS.destroy()
        with suppress(RuntimeError):  # nobody has waited for it
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=destroy, name="symbl_aio ending", daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await ended.wait()
    # Nor is the end of the whole program to wait for them, as it does for executors' threads.
    for waiting in threading.enumerate():
        if waiting.daemon and waiting.name.startswith("dbos-executor-"):
            getattr(concurrent.futures.thread, "_threads_queues", {}).pop(waiting, None)
