"""A process that submits jobs, reports each, and then works on until it is killed."""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection

from symbl_aio import Config, Credentials, SymblClient, Text
from symbl_aio.contrib.journal import JobJournal
from tests.support import QUICK


def run(reports: Connection, base_url: str, directory: str, count: int) -> None:
    asyncio.run(_run(reports, base_url, directory, count))


async def _run(reports: Connection, base_url: str, directory: str, count: int) -> None:
    journal = JobJournal(directory)
    config = Config(base_url=base_url, **QUICK)
    async with SymblClient(
        Credentials("app", "secret"), config=config, observers=[journal]
    ) as symbl:
        resumed = [job.id for job in await journal.resume(symbl)]
        accepted = [(await symbl.submit(Text(f"Sentence {n}."))).id for n in range(count)]
        reports.send({"resumed": resumed, "accepted": accepted})
        await asyncio.Event().wait()
