"""Processes that start at once: forked from one that has imported what they run.

An interpreter that imports the package, and the engine of the outbox, takes seconds; a fork of
one that has done so takes milliseconds. Each process of pytest has one to fork from, once a
test needs it, which runs nothing itself: no thread, no event loop.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Any, Self

ROOT = Path(__file__).parents[1]
_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload(
    ["tests.contrib.journal_process", "tests.durable.work", "tests.durable.server"]
)


class Fork:
    """A process that runs a function, which can be paused, killed and waited for."""

    def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
        self._process = process
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(process.sentinel, self._exited)

    @classmethod
    async def start(cls, run: Callable[..., object], *arguments: Any) -> Self:
        """Run ``run(*arguments)``; both are pickled, sockets and pipes among them."""
        process = _FORKSERVER.Process(
            target=_run, args=(dict(os.environ), run, arguments), daemon=True
        )
        await asyncio.to_thread(process.start)
        return cls(process)

    @property
    def alive(self) -> bool:
        return not self._exit.done()

    def send(self, signal: Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._process.pid or 0, signal)

    async def kill(self) -> None:
        """End it at once (SIGKILL), and wait until it has."""
        if self.alive:
            self.send(SIGKILL)
        await self.ended()

    async def ended(self) -> int:
        """Wait for its end; return its exit code, below 0 for a signal."""
        return await asyncio.shield(self._exit)

    def _exited(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._process.join()
        self._exit.set_result(self._process.exitcode or 0)


def _run(
    environment: Mapping[str, str], run: Callable[..., object], arguments: tuple[Any, ...]
) -> None:
    # What was forked from may have started in another test, with its variables.
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    run(*arguments)
