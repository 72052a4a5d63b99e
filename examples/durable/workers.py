"""Three workers, as ``symbl-aio worker`` starts them, and what it takes to kill one."""

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
    """So many processes, by their place. What they say on stderr is kept."""

    def __init__(self, options: Mapping[str, object], environment: Mapping[str, str]) -> None:
        self._command = [
            *(sys.executable, "-m", "symbl_aio.cli", "worker", "--json"),
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        self._environment = environment
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._readers: list[asyncio.Task[None]] = []
        self.said: list[str] = []

    @property
    def taken_over(self) -> int:
        """Items that a worker had when it was killed, and that others went on with."""
        return sum(int(found[1]) for line in self.said if (found := TAKEN_OVER.search(line)))

    async def start(self, place: int) -> str:
        """Start the worker of a place, and give its id."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._processes[place] = process
        self._readers.append(asyncio.create_task(self._listen(process.stderr)))
        assert process.stdout is not None
        told = await process.stdout.readline()
        if not told:
            raise RuntimeError("a worker did not start:\n" + "\n".join(self.said[-5:]))
        worker: str = json.loads(told)["worker"]
        return worker

    async def kill(self, place: int) -> int:
        """Kill a worker like a machine that loses its power, and give its process id."""
        process = self._processes.pop(place)
        process.kill()
        await process.wait()
        return process.pid

    async def end(self, *, kindly: bool) -> list[int]:
        """End all of them, and give their exit codes."""
        for process in self._processes.values():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM if kindly else signal.SIGKILL)
        codes = [await process.wait() for process in self._processes.values()]
        await asyncio.gather(*self._readers)
        return codes

    async def _listen(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        async for line in stream:
            self.said.append(line.decode(errors="replace").rstrip())
