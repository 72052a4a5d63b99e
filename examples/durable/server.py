"""The local server in a process of its own, whose log is the only evidence of the demo.

It answers ``["accepted", n]`` when ``n`` submissions were accepted, and ``["seen"]`` at once.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from examples.durable.lines import answer, commands
from symbl_aio.server import LocalServer

# Far above the limit of the workers, so that the workers alone keep theirs.
JOB_LIMIT = 50
OFTEN = 10**6


async def main(job_seconds: float, answer_seconds: float) -> None:
    async with LocalServer(job_limit=JOB_LIMIT, job_seconds=job_seconds) as server:
        for method in (
            "POST",
            "PUT",
        ):  # a slow answer leaves time to kill a worker after acceptance
            server.inject(f"slow:{answer_seconds}", on=method, times=OFTEN)
        answer(server.base_url)
        async for command, *arguments in commands():
            if command == "accepted":
                await _accepted(server, *arguments)
            answer(seen(server))


async def _accepted(server: LocalServer, count: int) -> None:
    await server.until(lambda: len(server.jobs) >= count)


def seen(server: LocalServer) -> dict[str, Any]:
    """Return the accepted files, in that order, and the highest number of concurrent jobs."""
    hashes = {received.job_id: received.sha256 for received in server.submissions}
    return {
        "accepted": [(hashes[job.id], job.conversation_id) for job in server.jobs.values()],
        "completed": sum(job.status.value == "completed" for job in server.jobs.values()),
        "most": server.max_unfinished,
        "webhooks": sum(called.acknowledged for called in server.webhook_calls),
    }


if __name__ == "__main__":
    asyncio.run(main(*map(float, sys.argv[1:])))
