"""The local server in a process of its own, and what it saw: the only witness of the demo.

Answers ``["accepted", n]`` once so many submissions were accepted, and ``["seen"]`` at once.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from examples.durable.lines import answer, commands
from symbl_aio.server import LocalServer

# Its own limit is far above that of the workers: what is kept, they keep.
JOB_LIMIT = 50
OFTEN = 10**6


async def main(job_seconds: float, answer_seconds: float) -> None:
    async with LocalServer(job_limit=JOB_LIMIT, job_seconds=job_seconds) as server:
        for method in ("POST", "PUT"):  # accepted, and no answer yet: the worst time to die
            server.inject(f"slow:{answer_seconds}", on=method, times=OFTEN)
        answer(server.base_url)
        async for command, *arguments in commands():
            if command == "accepted":
                await _accepted(server, *arguments)
            answer(seen(server))


async def _accepted(server: LocalServer, count: int) -> None:
    await server.until(lambda: len(server.jobs) >= count)


def seen(server: LocalServer) -> dict[str, Any]:
    """Tell what was accepted, in that order, and how many jobs there were at most."""
    hashes = {received.job_id: received.sha256 for received in server.submissions}
    return {
        "accepted": [(hashes[job.id], job.conversation_id) for job in server.jobs.values()],
        "completed": sum(job.status.value == "completed" for job in server.jobs.values()),
        "most": server.max_unfinished,
        "webhooks": sum(called.acknowledged for called in server.webhook_calls),
    }


if __name__ == "__main__":
    asyncio.run(main(*map(float, sys.argv[1:])))
