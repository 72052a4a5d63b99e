"""The actions behind the commands of ``outbox``. Each returns an exit code.

Imported when such a command runs, since ``durable`` is an extra and takes a second to import.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from symbl_aio import ConfigurationError, NotFoundError, OutboxUnavailableError, durable
from symbl_aio._stopping import run_unless
from symbl_aio.cli.exit_codes import CUT_OFF, EVICTED, OK, UNREACHABLE, UNWRITTEN, USAGE
from symbl_aio.cli.runner import config, stop_signals
from symbl_aio.cli.show_json import Show
from symbl_aio.cli.worker_probes import WorkerMonitor

SECRET: Final = "SYMBL_WEBHOOK_SECRET"


async def work(
    show: Show,
    *,
    database: str,
    schema: str,
    queue: str,
    worker_timeout: float,
    health: str | None,
    prometheus: str | None,
    webhook_base_url: str | None,
    base_url: str | None,
    allow_http: bool,
    **settings: Any,
) -> int:
    """Run a worker until a stop signal, or until it has drained, was evicted or lost its database.

    ``settings`` go to ``Worker`` unchanged.
    """
    # The warnings of the worker go to stderr, one line each.
    logging.basicConfig(format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    secret = os.environ.get(SECRET)
    if webhook_base_url is not None and not secret:
        raise ConfigurationError(
            f"--webhook-base-url needs the secret of all workers: set {SECRET}"
        )
    worker = durable.Worker(
        database,
        config=config(
            base_url, allow_http, webhook_base_url=webhook_base_url, webhook_secret=secret or None
        ),
        schema=schema,
        queue=queue,
        worker_timeout=worker_timeout,
        **settings,
    )
    monitor = WorkerMonitor(
        worker, health=health, prometheus=prometheus, schema=schema, queue=queue
    )
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, *stop_signals())
    # ``run`` would cancel the task; a worker stops by itself, with exit code 0.
    for number in signals:
        loop.add_signal_handler(number, stopped.set)
    drain = asyncio.Event()
    with suppress(AttributeError):  # Windows has no such signal
        loop.add_signal_handler(signal.SIGUSR1, drain.set)
    quieten()
    # The probes answer before the worker has started: alive, and not ready.
    async with monitor:
        # The start may wait for the database.
        starting = await run_unless(stopped, worker.start())
        if starting.cancelled():
            return OK
        starting.result()
        show.working(worker.id, redacted(database))
        stopping, dead, drained = tasks = [
            asyncio.ensure_future(awaitable)
            for awaitable in (
                stopped.wait(),
                worker.wait_until_dead(),
                _drain(worker, show, drain),
            )
        ]
        try:
            await monitor.start_file()
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if drain.is_set() and (dead.cancelled() or not dead.done()):
                # Draining takes as long as the worker's own jobs; a stop signal cuts it short.
                await asyncio.wait([stopping, drained], return_when=asyncio.FIRST_COMPLETED)
                return OK
            if stopping.done():
                return OK
        finally:
            for number in signals:
                loop.remove_signal_handler(number)  # a second signal ends the process at once
            for task in tasks:
                task.cancel()
            # The error of ``dead`` is raised below, after the worker has closed.
            await asyncio.gather(*tasks, return_exceptions=True)
            await worker.aclose()
    try:
        await dead
    except OutboxUnavailableError as error:
        show.error(f"{error}; start the worker again")
        return CUT_OFF
    show.error(
        f"worker {worker.id} was silent for {worker_timeout:g} s, so the others took it for dead, "
        "and have its work; start it again"
    )
    return EVICTED


async def _drain(worker: durable.Worker, show: Show, requested: asyncio.Event) -> bool:
    await requested.wait()
    show.draining(worker.id)
    await worker.drain()
    return True


def _with_outbox(action: Callable[..., Awaitable[int]]) -> Callable[..., Coroutine[Any, Any, int]]:
    """Open an existing outbox around an action; a mistyped file name creates no new one."""

    async def run(show: Show, *, database: str, schema: str, queue: str, **arguments: Any) -> int:
        # Who called the command sees the error, and calls it again.
        outbox = durable.Outbox(database, schema=schema, queue=queue, wait_for_database=0.0)
        _check_exists(database)
        quieten()
        async with outbox:
            return await action(show, outbox, **arguments)

    return run


def _check_exists(database: str) -> None:
    if database.startswith("sqlite") and not Path(redacted(database)).exists():
        raise ConfigurationError(
            f"there is no database {redacted(database)!r}; "
            f"symbl-aio db migrate --database {database} makes one"
        )


@_with_outbox
async def list_items(
    show: Show, outbox: durable.Outbox, *, state: str | None, conversation: str | None
) -> int:
    """Show the selected items, and the counts of all items by state."""
    selected = None if state is None else durable.ItemState(state)
    async for item in outbox.jobs(state=selected, conversation=conversation):
        show.item(item)
    show.stock(await outbox.stats())
    return OK if show.written else UNWRITTEN


@_with_outbox
async def decide(
    show: Show,
    outbox: durable.Outbox,
    *,
    decision: Literal["retry", "discard", "resolve"],
    keys: Sequence[str],
    conditions: Mapping[str, Any],
    **arguments: Any,
) -> int:
    """Decide about items by this method of the outbox; one that is refused stops no other."""
    if keys:
        which: list[str] | durable.ItemFilter = list(keys)
    else:
        states = [durable.ItemState(state) for state in conditions.get("state", ())]
        which = durable.ItemFilter(**{**conditions, "state": states or None})
    decided: durable.Decided = await getattr(outbox, decision)(which, **arguments)
    for why in decided.refused.values():
        show.error(why)
    for item in decided.items:
        show.item(item)
    if decided.dry_run or not keys:
        show.decided(decided)
    return USAGE if decided.refused else OK


@_with_outbox
async def resolve_one(show: Show, outbox: durable.Outbox, *, key: str, **arguments: Any) -> int:
    """Record what became of one ambiguous item, with the ids that the server gave it."""
    try:
        show.item(await outbox.resolve(key, **arguments))
    except NotFoundError:  # its exit code is that of an error of the server
        raise ConfigurationError(f"there is no item {key!r}") from None
    return OK


@_with_outbox
async def submit(show: Show, outbox: durable.Outbox, *, entries: Sequence[durable.Entry]) -> int:
    """Submit entries to the outbox, each thousand in one transaction, and show their items."""
    await outbox.submit_many(entries)
    for entry in entries:
        show.item(await outbox.item(entry.key))
    return OK


@_with_outbox
async def stats(show: Show, outbox: durable.Outbox) -> int:
    """Show the statistics of an outbox."""
    show.stats(await outbox.stats())
    return OK if show.written else UNWRITTEN


@_with_outbox
async def pause(show: Show, outbox: durable.Outbox, *, wait: bool, timeout: float | None) -> int:
    """Pause the queue; with ``wait``, return when no item is under way or after ``timeout``."""
    try:
        await outbox.pause(wait=wait, timeout=timeout)
    except TimeoutError:
        show.error(f"the queue is paused, and items are still under way after {timeout:g} s")
        return UNREACHABLE
    show.paused(True)
    return OK


@_with_outbox
async def resume(show: Show, outbox: durable.Outbox) -> int:
    """Resume the queue."""
    await outbox.resume()
    show.paused(False)
    return OK


@_with_outbox
async def restored(show: Show, outbox: durable.Outbox) -> int:
    """Mark the items that a restored backup has as unsent: evidence comes before sending."""
    show.restored(await outbox.doubt_unsent())
    return OK


async def migrate(show: Show, *, database: str, schema: str, role: str | None) -> int:
    """Create the tables, or migrate them to the current version."""
    quieten()
    await durable.migrate(database, schema=schema, role=role)
    show.migrated(redacted(database))
    return OK


def quieten() -> None:
    """Silence the log of DBOS, which repeats the errors that the commands print."""
    logging.getLogger("dbos").setLevel(logging.CRITICAL)


def redacted(database: str) -> str:
    """Return the URL of a database without user, password and parameters."""
    parts = urlsplit(database)
    if parts.scheme.startswith("sqlite"):
        return database.partition(":///")[2]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
