"""Both ends of a pipe that carries commands and answers, as lines of JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
LONGEST = 2**24


async def commands() -> AsyncIterator[list[Any]]:
    """Yield the parent's commands on standard input, until it closes the pipe or dies."""
    lines = asyncio.StreamReader(limit=LONGEST)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    while line := await lines.readline():
        yield json.loads(line)


def answer(value: object) -> None:
    print(json.dumps(value), flush=True)


class Child:
    """A process that announces a value when it is ready, and ends with its input."""

    def __init__(self, process: asyncio.subprocess.Process, announced: Any) -> None:
        self.announced = announced
        self._process = process
        self._turn = asyncio.Lock()

    @classmethod
    async def start(cls, module: str, *arguments: object) -> Self:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module),
            *map(str, arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            limit=LONGEST,
        )
        child = cls(process, None)
        child.announced = await child._answer()
        return child

    async def ask(self, *command: object) -> Any:
        assert self._process.stdin is not None
        async with self._turn:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            await self._process.stdin.drain()
            return await self._answer()

    async def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process ended with {await self._process.wait()}")
        return json.loads(line)

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
