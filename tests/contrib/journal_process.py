"""A process that submits jobs, prints their ids, and follows them until it is killed."""

from __future__ import annotations

import asyncio
import sys

from symbl_aio import Config, Credentials, SymblClient, Text
from symbl_aio.contrib.journal import JobJournal
from tests.support import QUICK


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


async def main(base_url: str, directory: str, count: int) -> None:
    journal = JobJournal(directory)
    config = Config(base_url=base_url, **QUICK)
    async with SymblClient(
        Credentials("app", "secret"), config=config, observers=[journal]
    ) as symbl:
        resumed = await journal.resume(symbl)
        say("resumed", *(job.id for job in resumed))
        for number in range(count):
            job = await symbl.submit(Text(f"Sentence {number}."))
            say("accepted", job.id)
        say("ready")
        await asyncio.Event().wait()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
