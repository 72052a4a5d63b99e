"""What the commands of the outbox do. Imported when one of them runs: it needs ``durable``."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import frozen

from symbl_aio import ConfigurationError, NotFoundError, OutboxUnavailableError, durable
from symbl_aio.cli.endings import CUT_OFF, OK, TAKEN_FOR_DEAD, UNWRITTEN, USAGE
from symbl_aio.cli.health import Observed
from symbl_aio.cli.running import config, stop_signals
from symbl_aio.cli.show import Show

SECRET: Final = "SYMBL_WEBHOOK_SECRET"


async def work(
    database: str,
    show: Show,
    *,
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
    """Run a worker until SIGINT or SIGTERM, until it has drained, was taken for dead or cut off.

    ``settings`` are those of ``Worker`` that nothing here needs.
    """
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
    observed = Observed(worker, health=health, prometheus=prometheus, schema=schema, queue=queue)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    ending = (signal.SIGINT, *stop_signals())
    for number in ending:
        loop.add_signal_handler(number, stopped.set)
    drain = asyncio.Event()
    with suppress(AttributeError):  # Windows has no such signal
        loop.add_signal_handler(signal.SIGUSR1, drain.set)
    quieten()
    async with observed:
        await worker.start()
        show.working(worker.id, named(database))
        asked, dead, drained = tasks = [
            asyncio.ensure_future(waited)
            for waited in (
                stopped.wait(),
                worker.wait_until_dead(),
                _drain(worker, show, drain),
            )
        ]
        try:
            await observed.begin()
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if drain.is_set() and (dead.cancelled() or not dead.done()):
                await asyncio.wait([asked, drained], return_when=asyncio.FIRST_COMPLETED)
                return OK
            if asked.done():
                return OK
        finally:
            for number in ending:
                loop.remove_signal_handler(number)  # whoever asks twice does not want to wait
            for task in tasks:
                task.cancel()
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
    return TAKEN_FOR_DEAD


async def _drain(worker: durable.Worker, show: Show, asked: asyncio.Event) -> bool:
    await asked.wait()
    show.draining(worker.id)
    await worker.drain()
    return True


async def list_items(
    database: str,
    show: Show,
    schema: str,
    queue: str,
    state: str | None,
    conversation: str | None,
) -> int:
    """Show the items, and count all that is there."""
    async with opened(database, schema, queue=queue) as outbox:
        wanted = None if state is None else durable.ItemState(state)
        async for item in outbox.jobs(state=wanted, conversation=conversation):
            show.item(item)
        show.stock(await outbox.stats())
    return OK if show.written else UNWRITTEN


@frozen
class Choice:
    """The items that a decision is about: some keys, or all that meet the conditions."""

    keys: tuple[str, ...]
    every: bool
    states: tuple[str, ...]
    conversation: str | None
    older_than: float | None
    newer_than: float | None

    def which(self) -> list[str] | durable.ItemFilter:
        if self.keys:
            return list(self.keys)
        return durable.ItemFilter(
            state=[durable.ItemState(state) for state in self.states] or None,
            conversation=self.conversation,
            older_than=self.older_than,
            newer_than=self.newer_than,
        )


async def retry(
    database: str, show: Show, schema: str, queue: str, choice: Choice, *, dry_run: bool
) -> int:
    """Send items again; what is wrong with one of them stops no other."""
    async with opened(database, schema, queue=queue) as outbox:
        return _show(show, choice, await outbox.retry(choice.which(), dry_run=dry_run))


async def discard(
    database: str, show: Show, schema: str, queue: str, choice: Choice, *, dry_run: bool
) -> int:
    """Discard items; what is wrong with one of them stops no other."""
    async with opened(database, schema, queue=queue) as outbox:
        return _show(show, choice, await outbox.discard(choice.which(), dry_run=dry_run))


async def resolve(
    database: str,
    show: Show,
    schema: str,
    queue: str,
    choice: Choice,
    *,
    accepted: bool,
    conversation_id: str | None,
    job_id: str | None,
    dry_run: bool,
) -> int:
    """Record what became of ambiguous items."""
    async with opened(database, schema, queue=queue) as outbox:
        if conversation_id is None and job_id is None:
            which = choice.which()
            decided = await outbox.resolve(which, accepted=accepted, dry_run=dry_run)
            return _show(show, choice, decided)
        (key,) = choice.keys
        with known(key):
            show.item(
                await outbox.resolve(
                    key,
                    accepted=accepted,
                    conversation_id=conversation_id,
                    job_id=job_id,
                    dry_run=dry_run,
                )
            )
    return OK


def _show(show: Show, choice: Choice, decided: durable.Decided) -> int:
    for why in decided.refused.values():
        show.error(why)
    for item in decided.items:
        show.item(item)
    if decided.dry_run or not choice.keys:
        show.decided(decided)
    return USAGE if decided.refused else OK


async def hand_in(database: str, show: Show, schema: str, entries: Sequence[durable.Entry]) -> int:
    """Hand in recordings, all or none of a thousand, and show their items."""
    async with opened(database, schema) as outbox:
        await outbox.submit_many(entries)
        for entry in entries:
            show.item(await outbox.item(entry.key))
    return OK


async def migrate(database: str, show: Show, schema: str, role: str | None) -> int:
    """Make the tables, or bring them up to date."""
    quieten()
    await durable.migrate(database, schema=schema, role=role)
    show.migrated(named(database))
    return OK


@asynccontextmanager
async def opened(database: str, schema: str, **settings: str) -> AsyncIterator[durable.Outbox]:
    """Open an outbox that is there: a mistyped name makes no new one."""
    outbox = durable.Outbox(database, schema=schema, **settings)
    _check_file(database)
    quieten()
    async with outbox:
        yield outbox


def _check_file(database: str) -> None:
    if database.startswith("sqlite") and not Path(named(database)).exists():
        raise ConfigurationError(
            f"there is no database {named(database)!r}; symbl-aio db migrate makes one"
        )


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
