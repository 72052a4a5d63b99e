"""uvicorn in a process of its own, with one worker or several."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from attrs import frozen

from symbl_aio.testing import LocalSymbl
from tests.contrib.site import Address, listening
from tests.forks import Program

# Of several workers uvicorn kills each that does not answer it within five seconds, which is too
# soon on a machine with other work. It notices one that was killed meanwhile only after that time.
PATIENT = (
    ("--timeout-worker-healthcheck", "15")
    if "timeout_worker_healthcheck" in inspect.signature(uvicorn.Config).parameters
    else ()
)


@frozen
class WebProcess(Address):
    """A running service: ``tests.contrib.web_process`` under uvicorn."""

    process: Program

    @classmethod
    @asynccontextmanager
    async def running(
        cls, server: LocalSymbl, journal: Path, *, workers: int = 1, jobs: int = 50
    ) -> AsyncIterator[WebProcess]:
        """Run it for the block, then end it as an operator would."""
        sock, url = listening()
        port = sock.getsockname()[1]
        sock.close()
        settings = {
            "API": server.base_url,
            "HOOKS": f"{url}/symbl/webhooks",
            "JOURNAL": str(journal),
            "JOBS": str(jobs),
        }
        process = await Program.start(
            *("tests.contrib.web_workers", "tests.contrib.web_process:app"),
            *("--port", str(port), "--workers", str(workers), "--ws", "none"),
            *PATIENT,
            env=os.environ | settings,
            stdout=DEVNULL,
        )
        assert process.stderr is not None
        started, listens = 0, False
        while started < workers or not listens:
            line = await process.stderr.readline()
            assert line, "the service did not start"
            started += b"Application startup complete" in line
            listens = listens or b"Uvicorn running on" in line
        # Or else it could not write any more.
        reading = asyncio.create_task(process.stderr.read())
        try:
            yield cls(url, process)
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()
            await reading

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, or to the one that keeps the workers."""
        self.process.send_signal(number)

    async def ended(self) -> None:
        """Wait until it has."""
        await self.process.wait()
