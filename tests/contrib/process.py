"""uvicorn in a process of its own, with one worker or several."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import uvicorn
from attrs import frozen

from symbl_aio.testing import LocalSymbl
from tests.contrib.site import Address, listening

ROOT = Path(__file__).parents[2]
# Of several workers uvicorn kills each that does not answer it within five seconds, which one
# that is still importing, on a machine with other work, does not.
PATIENT = (
    ("--timeout-worker-healthcheck", "120")
    if "timeout_worker_healthcheck" in inspect.signature(uvicorn.Config).parameters
    else ()
)


@frozen
class WebProcess(Address):
    """A running service: ``tests.contrib.web_process`` under uvicorn."""

    process: asyncio.subprocess.Process

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
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "uvicorn", "tests.contrib.web_process:app"),
            *("--port", str(port), "--workers", str(workers), "--ws", "none"),
            *PATIENT,
            cwd=ROOT,
            env=os.environ | settings,
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
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
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            await process.wait()
            await reading

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, or to the one that keeps the workers."""
        self.process.send_signal(number)

    async def ended(self) -> None:
        """Wait until it has."""
        await self.process.wait()
