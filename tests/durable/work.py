"""A worker in a process of its own, which may end or stop itself at a point where that hurts."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from symbl_aio import Config, Credentials, Polls, Retries, SymblError
from symbl_aio.durable import Worker
from symbl_aio.durable.sender import CHECKPOINT
from tests.durable.processes import serve

CRASHED = 9
AGAIN = 0.5


def crash() -> None:
    """End this process, without a word."""
    os._exit(CRASHED)


def freeze() -> None:
    """Stop this process where it stands, until a SIGCONT."""
    # Sent to the process, it may reach another thread first, and this one would run on meanwhile.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def call_at(function: Callable[[], None], point: str, number: int) -> None:
    """Call a function when the worker passes a point for the nth time."""
    left = number

    def passed(event: str, given: tuple[Any, ...]) -> None:
        nonlocal left
        if event == CHECKPOINT and given == (point,):
            left -= 1
            if not left:
                function()

    sys.addaudithook(passed)


def config(server: str, hooks: str | None, secret: str | None) -> Config:
    """Settings under which a worker waits for the server, and for little else."""
    return Config(
        base_url=server,
        webhook_base_url=hooks,
        webhook_secret=secret if hooks else None,
        polls=Polls(floor=0.05, ceiling=0.5, per_second=500),
        retries=Retries(base=0.01, cap=0.1),
    )


async def main(
    database: str,
    server: str,
    hooks: str | None,
    secret: str | None,
    crash_at: list[Any] | None = None,
    freeze_at: list[Any] | None = None,
    ahead: float = 0.0,
    **settings: Any,
) -> None:
    if ahead:  # the wall clock of this machine is wrong, by so many seconds
        now = time.time
        time.time = lambda: now() + ahead
    logging.basicConfig(format=f"{os.getpid()} %(message)s", level=os.environ.get("LOG", "ERROR"))
    if crash_at is not None:
        call_at(crash, *crash_at)
    if freeze_at is not None:
        call_at(freeze, *freeze_at)

    def anew() -> Worker:
        given = config(server, hooks, secret)
        return Worker(database, Credentials("app", "secret"), config=given, **settings)

    worker = anew()
    await worker.start()

    async def keep() -> None:
        """Come back after having been taken for dead, as a service does."""
        nonlocal worker
        while True:
            with suppress(SymblError):
                await worker.wait_until_dead()
            await worker.aclose()
            while True:
                worker = anew()
                try:
                    await worker.start()
                except SymblError:  # the database is still away
                    await asyncio.sleep(AGAIN)
                else:
                    break
            back.set()

    async def obey(command: str, *known: str) -> str:
        """Return the worker's id; ``id after`` waits until it is another one than is known."""
        assert command in ("id", "id after")
        while worker.id in known:
            await back.wait()
            back.clear()
        return worker.id

    back = asyncio.Event()

    keeper = asyncio.create_task(keep())
    try:
        await serve(worker.id, obey)
    finally:
        keeper.cancel()
        await asyncio.wait([keeper])
        await worker.aclose()
