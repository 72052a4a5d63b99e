"""Child processes that execute commands, one JSON line each: to kill, stop and query.

A child calls ``serve``, and ends with its standard input, so that it outlives no parent.
A parent has a ``Process``.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
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

    def __init__(self, child: asyncio.subprocess.Process, told: Any) -> None:
        self.told = told
        self._child = child
        self._turn = asyncio.Lock()

    @classmethod
    async def start(cls, module: str, **settings: Any) -> Self:
        """Run ``python -m tests.durable.{module}``, and wait until it is ready."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"tests.durable.{module}",
            json.dumps(settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            limit=_LONGEST_LINE,
        )
        process = cls(child, None)
        try:
            process.told = await process._line()
        except BaseException:
            await process.kill()
            raise
        return process

    async def ask(self, *command: Any) -> Any:
        """Run a command in the child, and return its result."""
        async with self._turn:
            assert self._child.stdin is not None
            self._child.stdin.write(json.dumps(command).encode() + b"\n")
            return await self._line()

    async def _line(self) -> Any:
        assert self._child.stdout is not None
        line = await self._child.stdout.readline()
        if not line:
            raise ConnectionError(f"a process ended with {await self._child.wait()}")
        return json.loads(line)

    @property
    def alive(self) -> bool:
        return self._child.returncode is None

    def pause(self) -> None:
        """Stop it where it stands (SIGSTOP)."""
        self._child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        with suppress(ProcessLookupError):
            self._child.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it at once (SIGKILL)."""
        with suppress(ProcessLookupError):
            self._child.kill()
        await self.ended()

    async def stop(self) -> int:
        """Close the child's input, which ends it, and wait for its end."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        return await self.ended()

    async def ended(self) -> int:
        """Wait for its end."""
        code = await self._child.wait()
        self._child._transport.close()  # type: ignore[attr-defined]  # else it waits for its pipes
        return code


@asynccontextmanager
async def running(module: str, **settings: Any) -> AsyncIterator[Process]:
    """Run a process beside the block."""
    process = await Process.start(module, **settings)
    try:
        yield process
    finally:
        await process.kill()
