"""What the commands of the outbox do. Imported when one of them runs: it needs ``durable``."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from symbl_aio import ConfigurationError, NotFoundError, OutboxUnavailableError, durable
from symbl_aio.cli.endings import CUT_OFF, OK, TAKEN_FOR_DEAD, UNWRITTEN, code_of, gravest
from symbl_aio.cli.running import config, stop_signals
from symbl_aio.cli.show import Show

SECRET: Final = "SYMBL_WEBHOOK_SECRET"


async def work(
    database: str,
    show: Show,
    *,
    schema: str,
    concurrency: int,
    after_doubt: durable.AfterDoubt,
    doubt_for: float,
    time_to_live: float,
    webhook_base_url: str | None,
    base_url: str | None,
    allow_http: bool,
) -> int:
    """Run a worker until SIGINT or SIGTERM, or until it was taken for dead or cut off."""
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
        concurrency=concurrency,
        after_doubt=after_doubt,
        doubt_for=doubt_for,
        heartbeat=time_to_live / 4,
        time_to_live=time_to_live,
    )
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    ending = (signal.SIGINT, *stop_signals())
    for number in ending:
        loop.add_signal_handler(number, stopped.set)
    quieten()
    await worker.start()
    show.working(worker.id, named(database))
    asked, dead = (
        loop.create_task(waited) for waited in (stopped.wait(), worker.wait_until_dead())
    )
    try:
        await asyncio.wait([asked, dead], return_when=asyncio.FIRST_COMPLETED)
        if asked.done():
            return OK
    finally:
        for number in ending:
            loop.remove_signal_handler(number)  # whoever asks twice does not want to wait
        for task in (asked, dead):
            task.cancel()
        await asyncio.gather(asked, dead, return_exceptions=True)
        await worker.aclose()
    try:
        await dead
    except OutboxUnavailableError as error:
        show.error(f"{error}; start the worker again")
        return CUT_OFF
    show.error(
        f"worker {worker.id} was silent for {time_to_live:g} s, so the others took it for dead, "
        "and have its work; start it again"
    )
    return TAKEN_FOR_DEAD


async def list_items(
    database: str, show: Show, schema: str, state: str | None, conversation: str | None
) -> int:
    """Show the items, and count all that is there."""
    async with opened(database, schema) as outbox:
        wanted = None if state is None else durable.ItemState(state)
        async for item in outbox.jobs(state=wanted, conversation=conversation):
            show.item(item)
        show.stock(await outbox.stats())
    return OK if show.written else UNWRITTEN


async def retry(database: str, show: Show, schema: str, keys: Sequence[str]) -> int:
    """Send items again; what is wrong with one of them stops no other."""
    async with opened(database, schema) as outbox:
        return await _each(show, outbox.retry, keys)


async def discard(database: str, show: Show, schema: str, keys: Sequence[str]) -> int:
    """Take items back; what is wrong with one of them stops no other."""
    async with opened(database, schema) as outbox:
        return await _each(show, outbox.discard, keys)


async def _each(
    show: Show, decide: Callable[[str], Awaitable[durable.Item]], keys: Sequence[str]
) -> int:
    codes = []
    for key in keys:
        try:
            with known(key):
                show.item(await decide(key))
        except ConfigurationError as error:
            show.error(str(error))
            codes.append(code_of(error))
    return gravest(codes)


async def resolve(
    database: str,
    show: Show,
    schema: str,
    key: str,
    *,
    accepted: bool,
    conversation_id: str | None,
    job_id: str | None,
) -> int:
    """Say what became of an ambiguous item."""
    async with opened(database, schema) as outbox:
        with known(key):
            show.item(
                await outbox.resolve(
                    key, accepted=accepted, conversation_id=conversation_id, job_id=job_id
                )
            )
    return OK


async def migrate(database: str, show: Show, schema: str, role: str | None) -> int:
    """Make the tables, or bring them up to date."""
    quieten()
    await durable.migrate(database, schema=schema, role=role)
    show.migrated(named(database))
    return OK


@asynccontextmanager
async def opened(database: str, schema: str) -> AsyncIterator[durable.Outbox]:
    """Open an outbox that is there: a mistyped name makes no new one."""
    outbox = durable.Outbox(database, schema=schema)
    _check_file(database)
    quieten()
    async with outbox:
        yield outbox


def _check_file(database: str) -> None:
    if database.startswith("sqlite") and not Path(named(database)).exists():
        raise ConfigurationError(f"there is no database {named(database)!r}")


@contextmanager
def known(key: str) -> Iterator[None]:
    """Take a wrong key for wrong usage, and not for an answer of the server."""
    try:
        yield
    except NotFoundError:
        raise ConfigurationError(f"there is no item {key!r}") from None


def quieten() -> None:
    """Let the engine not tell once more what is told here."""
    logging.getLogger("dbos").setLevel(logging.CRITICAL)


def named(database: str) -> str:
    """Name a database for people: no user, no password, no parameters."""
    parts = urlsplit(database)
    if parts.scheme.startswith("sqlite"):
        return database.partition(":///")[2]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
