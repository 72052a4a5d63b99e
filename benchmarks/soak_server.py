"""The local server in a process of its own, controlled by lines of JSON.

Reads one command a line from standard input, answers each with one line:
``["inject", fault, on, times]``, ``["hold"]``, ``["release"]``, ``["revoke"]``, ``["clear"]``,
``["collect", ids]`` (returns the submissions accepted since the last time, and deletes the
conversations of these ids), ``["quiet"]`` (answers when all jobs have ended). The process ends
with its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from typing import Any

import psutil

from symbl_aio.server import LocalServer
from symbl_aio.server.http_json import ApiError

RETAIN = 20_000
"""Submissions that the server retains: many times the number between two collections."""


class Control:
    """The commands, on one server, and the ids of the collected jobs."""

    def __init__(self, server: LocalServer) -> None:
        self.server = server
        self.process = psutil.Process(os.getpid())
        self.collected: set[str] = set()

    async def execute(self, command: str, *arguments: Any) -> Any:
        server = self.server
        match command:
            case "inject":
                fault, on, times = arguments
                server.inject(fault, on=on, times=times)
            case "hold":
                server.hold_jobs()
            case "release":
                server.release()
            case "revoke":
                server.revoke_tokens()
            case "clear":
                server.clear_faults()
            case "quiet":
                await server.until(lambda: server.unfinished == 0)
            case "collect":
                return await self.collect(arguments[0])
            case _:
                raise ValueError(command)
        return None

    async def collect(self, finished: list[str]) -> dict[str, Any]:
        """Return mark, conversation and id of each new job, in order of acceptance."""
        marks = {r.job_id: int(r.query["mark"]) for r in self.server.submissions if r.accepted}
        new = [job for job in self.server.jobs.values() if job.id not in self.collected]
        self.collected = set(self.server.jobs)
        # A server in production deletes conversations by the API; here they are deleted at once.
        known = self.server._conversations
        for conversation_id in finished:
            with contextlib.suppress(ApiError):
                await known.delete(conversation_id)
        times = self.process.cpu_times()
        return {
            "accepted": [(marks[job.id], job.conversation_id, job.id) for job in new],
            "most": self.server.max_unfinished,
            "cpu": times.user + times.system,
            "rss": self.process.memory_info().rss,
        }


async def main(job_limit: int) -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with LocalServer(
        job_limit=job_limit,
        probe_media=False,
        keep_bodies=False,
        hash_bodies=False,
        default_transcript="Ann: We ship.",
        retain=RETAIN,
    ) as server:
        print(json.dumps(server.base_url), flush=True)
        control = Control(server)
        while line := await lines.readline():
            print(json.dumps(await control.execute(*json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
