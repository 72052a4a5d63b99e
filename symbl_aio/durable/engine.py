"""All that is asked of DBOS, the engine underneath: so that it can be exchanged in one place.

One workflow brings one item from its turn to its end. It decides by nothing but the
recorded results of its steps, for after a crash it is run again from its beginning, and
each step that was recorded gives what it gave. What the steps do is ``Duty``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, Protocol, TypedDict

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer
from dbos._migration import get_migration_versions

from symbl_aio import ConfigurationError
from symbl_aio.durable import schema
from symbl_aio.durable.tables import Database

QUEUE: Final = "symbl.slots"
"""Has only what holds a slot, and no limit: ours are kept by ``dispatch``."""
_WORKFLOW: Final = "symbl.item"
_TOPIC: Final = "symbl.webhook"
_RESULT: Final = "ended"
_APPLICATION: Final = "symbl-aio"
_LONGEST: Final = 600.0
_VERSION: Final = "symbl_aio.1"
"""Ours, and not a hash of the source: what an older release queued, a newer one goes on with.
A step may be added within it, none removed or moved."""


class Report(TypedDict):
    """What a step found: ``again`` (nothing was sent), ``unknown``, ``accepted``, or an ending.

    ``superseded`` ends an attempt whose item was queued again, or taken back, meanwhile.

    ``hears``: the server was given a webhook URL of ours.
    """

    state: str
    hears: bool


class Duty(Protocol):
    """What the steps of the workflow do. None of them raises; each may be done twice."""

    patience: float
    """Seconds to wait for a webhook that says what became of an item."""
    interval: float
    """Seconds to wait for a webhook of a running job, before the server is asked."""

    def begin(self, workflow_id: str) -> None: ...
    def end(self, workflow_id: str) -> None: ...
    async def attempt(self, key: str, attempt: int) -> Report: ...
    async def settle(self, key: str, attempt: int, job_id: str | None, resent: int) -> Report: ...
    async def follow(self, key: str, attempt: int, hears: bool) -> Report: ...


_duty: Duty


@DBOS.step(name="symbl.attempt")
async def _attempt(key: str, attempt: int) -> Report:
    return await _duty.attempt(key, attempt)


@DBOS.step(name="symbl.settle")
async def _settle(key: str, attempt: int, job_id: str | None, resent: int) -> Report:
    return await _duty.settle(key, attempt, job_id, resent)


@DBOS.step(name="symbl.follow")
async def _follow(key: str, attempt: int, hears: bool) -> Report:
    return await _duty.follow(key, attempt, hears)


@DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=1000)
async def _item(key: str) -> str:
    workflow_id = DBOS.workflow_id
    assert workflow_id is not None
    attempt = attempt_of(workflow_id)[1]
    _duty.begin(workflow_id)
    try:
        report = await _attempt(key, attempt)
        looks, resent, ask = 0, 0, False
        while report["state"] in ("again", "unknown", "accepted"):
            before = report["state"]
            if before == "again":
                report = await _attempt(key, attempt)
                ask = False
            elif before == "unknown":
                told = None
                if looks:  # the first look is at what there is already
                    told = await DBOS.recv_async(_TOPIC, _longer(_duty.patience, looks))
                job_id = None if told is None else told["job_id"]
                report = await _settle(key, attempt, job_id, resent)
                resent += report["state"] == "again"
                ask = True  # the end of the job may be what was told
            elif report["hears"] and not ask:
                told = await DBOS.recv_async(_TOPIC, _longer(_duty.interval, looks))
                ask = told is None or told["ended"]
            else:
                report = await _follow(key, attempt, report["hears"])
                ask = False
            looks = looks + 1 if report["state"] == before else 0
        await DBOS.set_event_async(_RESULT, report["state"])
        return report["state"]
    finally:
        _duty.end(workflow_id)


def _longer(seconds: float, looks: int) -> float:
    """Wait longer each time, after a while: what is looked at for days is to cost few rows."""
    return min(max(seconds, _LONGEST), seconds * 2.0 ** max(0, looks - 8))


# For any process


def workflow_id(key: str, attempt: int) -> str:
    """Name the workflow of an item's attempt: the first, and one each time it is queued again."""
    return f"{key}#{attempt}"


def attempt_of(workflow_id: str) -> tuple[str, int]:
    """Give the key and the number of the attempt that a workflow was named after."""
    key, _, attempt = workflow_id.rpartition("#")
    return key, int(attempt)


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


def connect(database: Database, *, listens: bool = True) -> DBOSClient:
    """Give what enqueues and waits, without any worker in this process. Blocks.

    ``listens``: on a connection of its own, if it can.
    """
    return DBOSClient(
        system_database_engine=database.engine,
        dbos_system_schema=database.schema,
        serializer=DBOSPortableJSONSerializer(),
        use_listen_notify=listens and database.can_listen,
        application_name=_APPLICATION,
        retry_connection_errors=False,
    )


def tell(client: DBOSClient, workflow_id: str, job_id: str, *, ended: bool) -> None:
    """Wake the workflow of an item, wherever it runs or will run. The same word counts once."""
    said = {"job_id": job_id, "ended": ended}
    client.send(workflow_id, said, _TOPIC, f"{workflow_id}:{job_id}:{ended}")


async def wait(client: DBOSClient, workflow_id: str, seconds: float) -> None:
    """Wait for the end of a workflow, at most so long."""
    await client.get_event_async(workflow_id, _RESULT, seconds)


def purge(client: DBOSClient, workflow_ids: list[str]) -> None:
    """Delete what the engine keeps of ended workflows."""
    client.delete_workflows(workflow_ids)


# For a worker: only on the loop that its own thread runs


async def launch(
    database: Database,
    duty: Duty,
    *,
    worker: str,
    interval: float,
) -> None:
    """Begin to work. ``interval``: seconds between two looks for what was given a slot.

    The engine takes over the default executor of the loop that this is called on, and
    exists once in a process.
    """
    global _duty
    _duty = duty
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
            "use_listen_notify": database.can_listen,
            "notification_listener_polling_interval_sec": min(0.1, interval),
            "run_migrations": False,
        }
    )
    DBOS.launch()
    await DBOS.register_queue_async(
        QUEUE,
        polling_interval_sec=interval,
        on_conflict="always_update",
    )
    database.wait_for_database()


class Rounds:
    """What is under way, for whoever looks after it and takes it over. All of it blocks.

    While the database is away each call raises: the engine itself would wait for it in a
    thread, for ever.
    """

    def __init__(self, database: Database) -> None:
        self._client = DBOSClient(
            system_database_engine=database.engine,
            dbos_system_schema=database.schema,
            serializer=DBOSPortableJSONSerializer(),
            application_name=_APPLICATION,
            retry_connection_errors=False,
            lazy=True,
        )

    def enqueue(self, connection: sa.Connection, key: str, attempt: int) -> None:
        """Queue an item's attempt, in the transaction that gives it a slot."""
        self._client.enqueue_in_transaction(
            connection,
            {
                "workflow_name": _WORKFLOW,
                "workflow_id": workflow_id(key, attempt),
                "queue_name": QUEUE,
                "app_version": _VERSION,
            },
            key,
        )

    def under_way(self, worker: str | None = None) -> dict[str, str]:
        """Give the workflows that somebody works on, and by which worker's id."""
        found = self._client.list_workflows(
            status="PENDING",
            queue_name=QUEUE,
            executor_id=worker,
            load_input=False,
            load_output=False,
        )
        return {one.workflow_id: one.executor_id or "" for one in found}

    def broken_off(self) -> list[str]:
        """Give the workflows that ended in a way that none should end."""
        found = self._client.list_workflows(
            status=["ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
            name=_WORKFLOW,
            load_input=False,
            load_output=False,
        )
        return [one.workflow_id for one in found]

    def put_back(self, workflow_ids: Iterable[str]) -> None:
        """Put workflows back into the queue, whoever was said to work on them."""
        if given := list(workflow_ids):
            self._client.resume_workflows(given, queue_name=QUEUE)


_here = threading.Lock()


def take_place() -> bool:
    """Take the one place that a process has for the engine; false if it is taken."""
    import dbos._dbos

    instance: Any = getattr(dbos._dbos, "_dbos_global_instance", None)
    return instance is None and _here.acquire(blocking=False)


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
