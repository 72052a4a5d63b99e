"""Workers as processes of ``symbl-aio worker``, which can be killed and started again."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import Mapping

from examples.durable.lines import ROOT

TAKEN_OVER = re.compile(r"(\d+) items of worker (\S+) are taken over")


class Workers:
    """The processes, by number. ``output`` has their lines on stderr."""

    def __init__(self, options: Mapping[str, object], environment: Mapping[str, str]) -> None:
        self._command = [
            *(sys.executable, "-m", "symbl_aio.cli", "worker", "--json"),
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        self._environment = environment
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._readers: list[asyncio.Task[None]] = []
        self.output: list[str] = []

    @property
    def taken_over(self) -> int:
        """The number of items that workers took over from killed ones."""
        return sum(int(found[1]) for line in self.output if (found := TAKEN_OVER.search(line)))

    async def start(self, place: int) -> str:
        """Start the worker with this number, and return its id."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._processes[place] = process
        self._readers.append(asyncio.create_task(self._collect(process.stderr)))
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            raise RuntimeError("a worker did not start:\n" + "\n".join(self.output[-5:]))
        worker: str = json.loads(line)["worker"]
        return worker

    async def kill(self, place: int) -> int:
        """Kill a worker by SIGKILL, and return its process id."""
        process = self._processes.pop(place)
        process.kill()
        await process.wait()
        return process.pid

    async def end(self, *, gracefully: bool) -> list[int]:
        """Stop all workers, by SIGTERM or SIGKILL, and return their exit codes."""
        for process in self._processes.values():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM if gracefully else signal.SIGKILL)
        codes = [await process.wait() for process in self._processes.values()]
        await asyncio.gather(*self._readers)
        return codes

    async def _collect(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        async for line in stream:
            self.output.append(line.decode(errors="replace").rstrip())
