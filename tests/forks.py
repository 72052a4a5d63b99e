"""Processes that start at once: forked by one that has imported what they run."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Self

_FORKSERVER = multiprocessing.get_context("forkserver")
_PRELOADED = ["tests.contrib.journal_process"]


class Fork:
    """A process that runs a function, and sends what it has to report through a pipe.

    The function gets the pipe's end, and the arguments. The processes of one run of pytest are
    forked by one other, so that each costs milliseconds and not the imports.
    """

    def __init__(self, process: multiprocessing.process.BaseProcess, reports: Connection) -> None:
        self._process = process
        self._reports = reports

    @classmethod
    async def start(cls, run: Callable[..., object], *arguments: Any) -> Self:
        _FORKSERVER.set_forkserver_preload(_PRELOADED)
        reports, theirs = _FORKSERVER.Pipe(duplex=False)
        process = _FORKSERVER.Process(target=run, args=(theirs, *arguments), daemon=True)
        await asyncio.to_thread(process.start)
        theirs.close()
        return cls(process, reports)

    async def report(self) -> Any:
        """Return what it reports next; raise ``EOFError`` if it has ended."""
        return await asyncio.to_thread(self._reports.recv)

    async def kill(self) -> None:
        """End it at once (SIGKILL), and wait until it has."""
        self._process.kill()
        await asyncio.to_thread(self._process.join)
        self._reports.close()
