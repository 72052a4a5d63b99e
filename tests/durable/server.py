"""The local server in a process of its own, and its log, by which every run is judged."""

from __future__ import annotations

import time
from typing import Any

from symbl_aio.server import LocalServer, Received
from tests.durable.processes import serve


class Control:
    """One server: it injects faults, and returns its log."""

    def __init__(self, server: LocalServer) -> None:
        self.server = server
        self.overlaps = 0
        jobs = server._jobs
        add = jobs.add

        def counted(job: Any) -> None:
            self.overlaps += jobs.busy(job.conversation_id)
            add(job)

        jobs.add = counted  # type: ignore[method-assign]

    async def obey(self, command: str, *arguments: Any) -> Any:
        server = self.server
        match command:
            case "inject":
                fault, on, times = arguments
                server.inject(fault, on=on, times=times)
            case "clear":
                server.clear_faults()
            case "hold":
                server.hold_jobs()
            case "release":
                server.release()
            case "accepted":
                await server.until(lambda: len(server.jobs) >= arguments[0])
            case "ended":
                await server.until(lambda: len(server.jobs) - server.unfinished >= arguments[0])
            case "arrived":
                await server.until(lambda: len(server.submissions) >= arguments[0])
            case "asked":
                await self.asked_for(set(arguments[0]))
            case "seen":
                return self.seen()
            case _:
                raise ValueError(command)
        return None

    async def asked_for(self, jobs: set[str]) -> None:
        """Wait until each of these jobs was polled, from now on."""
        server, at = self.server, len(self.server.requests)
        paths = {f"/v1/job/{job}" for job in jobs}

        def have_been() -> bool:
            return paths <= {seen.path for seen in list(server.requests)[at:]}

        await server.until(have_been)

    def seen(self) -> dict[str, Any]:
        """Return the accepted submissions in order, and the highest numbers of unfinished jobs."""
        of_job = {r.job_id: r for r in self.server.submissions if r.accepted}
        return {
            "accepted": [
                [key_of(of_job[job.id]), job.conversation_id, job.id]
                for job in self.server.jobs.values()
            ],
            "ends": [
                [key_of(of_job[job.id]), job.history[-1][1].timestamp()]
                for job in self.server.jobs.values()
                if job.finished
            ],
            "now": time.time(),
            "most": self.server.max_unfinished,
            "overlaps": self.overlaps,
            "arrived": len(self.server.submissions),
            "polls": sum(seen.path.startswith("/v1/job/") for seen in self.server.requests),
        }


def key_of(received: Received) -> str:
    """Return an item's key: the first word of its text, or the name of its recording."""
    if received.kind == "text":
        body: Any = received.body
        return str(body["messages"][0]["payload"]["content"].split()[0])
    return received.query["name"]


async def main(job_limit: int, job_seconds: float) -> None:
    async with LocalServer(
        job_limit=job_limit,
        job_seconds=job_seconds,
        probe_media=False,
        keep_bodies=False,
        default_transcript="Ann: We ship.",
    ) as server:
        await serve(server.base_url, Control(server).obey)
