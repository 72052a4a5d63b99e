"""Child processes that execute commands, one JSON line each: to kill, stop and query.

A child calls ``serve``, and ends with its standard input, so that it outlives no parent.
A parent has a ``Process``.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import psutil

from tests.forks import Fork

_LONGEST_LINE = 2**26


async def serve(told: Any, obey: Callable[..., Awaitable[Any]]) -> None:
    """Print ``told``, then answer each command with the result of ``obey``."""
    lines = asyncio.StreamReader(limit=_LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    _tell(told)
    while line := await lines.readline():
        _tell(await obey(*json.loads(line)))


def _tell(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


class Process:
    """A child, which runs a module of this package."""

    def __init__(
        self, fork: Fork, answers: asyncio.StreamReader, commands: asyncio.StreamWriter
    ) -> None:
        self.told: Any = None
        self._fork = fork
        self._answers = answers
        self._commands = commands
        self._turn = asyncio.Lock()

    @classmethod
    async def start(cls, module: str, **settings: Any) -> Self:
        """Run ``main`` of ``tests.durable.{module}``, and wait until it reports to be ready."""
        ours, theirs = socket.socketpair()
        with theirs:
            fork = await Fork.start(_main, theirs, module, settings)
        process = cls(fork, *await asyncio.open_connection(sock=ours, limit=_LONGEST_LINE))
        try:
            process.told = await process._line()
        except BaseException:
            await process.kill()
            raise
        return process

    async def ask(self, *command: Any) -> Any:
        """Run a command in the child, and return its result."""
        async with self._turn:
            self._commands.write(json.dumps(command).encode() + b"\n")
            return await self._line()

    async def _line(self) -> Any:
        line = b""
        with suppress(ConnectionError):
            line = await self._answers.readline()
        if not line:
            raise ConnectionError(f"a process ended with {await self.ended()}")
        return json.loads(line)

    @property
    def alive(self) -> bool:
        return self._fork.alive

    def pause(self) -> None:
        """Stop it where it stands (SIGSTOP)."""
        self._fork.send(signal.SIGSTOP)

    def resume(self) -> None:
        self._fork.send(signal.SIGCONT)

    async def paused(self) -> None:
        """Wait until it has stopped itself."""
        process = psutil.Process(self._fork.pid)
        while process.status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """End it at once (SIGKILL)."""
        await self._fork.kill()
        self._commands.close()

    async def stop(self) -> int:
        """Close the child's input, which ends it, and wait for its end."""
        self._commands.write_eof()
        return await self.ended()

    async def ended(self) -> int:
        """Wait for its end."""
        code = await self._fork.ended()
        self._commands.close()
        return code


def _main(connection: socket.socket, module: str, settings: dict[str, Any]) -> None:
    """Run a module with the connection as its standard input and output, in the child."""
    with connection:
        os.dup2(connection.fileno(), 0)
        os.dup2(connection.fileno(), 1)
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    asyncio.run(importlib.import_module(f"tests.durable.{module}").main(**settings))


@asynccontextmanager
async def running(module: str, **settings: Any) -> AsyncIterator[Process]:
    """Run a process beside the block."""
    process = await Process.start(module, **settings)
    try:
        yield process
    finally:
        await process.kill()
