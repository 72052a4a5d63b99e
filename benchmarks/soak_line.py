"""A sequence of clients of a soak: each is closed, and its jobs are attached to the next."""

from __future__ import annotations

import asyncio
from typing import Final

from benchmarks.soak_books import Books
from symbl_aio import Config, Credentials, Job, SymblClient, SymblError
from symbl_aio.events import Drain

TIMEOUT: Final = 90.0
"""Seconds after which a wait counts as hanging."""


class Line:
    """A client, and its successors after it was closed."""

    def __init__(self, config: Config, books: Books) -> None:
        self._config = config
        self._books = books
        self._watches: set[asyncio.Task[None]] = set()
        self.ready = asyncio.Event()
        self.generation = 0
        self.client: SymblClient

    async def open(self, tokens: tuple[str, ...] = ()) -> None:
        self.client = SymblClient(Credentials("app", "secret"), config=self._config)
        await self.client.start()
        for token in tokens:
            self.watch(self.client.job(token))
        await asyncio.sleep(0)  # the watches start following, so appends wait for these jobs
        self.generation += 1
        self.ready.set()

    def watch(self, job: Job) -> None:
        if not job.done():  # else the successor may have recorded its end already
            self._books.running.add(job.id)
        watch = asyncio.create_task(self._watch(job), name=f"watch {job.id}")
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)

    async def _watch(self, job: Job) -> None:
        try:
            await job
        except SymblError as error:
            self._books.ended(job, error)
        else:
            self._books.ended(job, None)

    async def close(self, drain: Drain, timeout: float) -> tuple[str, ...]:
        """Close the client; return the tokens of its unfinished jobs."""
        self.ready.clear()
        await self.client.aclose(drain=drain, timeout=timeout)
        if self._watches:
            await asyncio.wait(set(self._watches), timeout=TIMEOUT)
        if self._watches:
            self._books.mismatches.append(
                f"{len(self._watches)} waiters of jobs outlived their client"
            )
        return self.client.unfinished
