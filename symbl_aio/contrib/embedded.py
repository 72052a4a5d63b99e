"""A client inside a web service: started with it, resumed after it died, drained when it stops.

What ``contrib.fastapi`` and ``contrib.aiohttp`` have in common.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from types import TracebackType
from typing import Self

from symbl_aio import (
    ClientClosedError,
    Config,
    CredentialsLike,
    Drain,
    Job,
    JobStatus,
    NotFoundError,
    Observer,
    SymblClient,
)
from symbl_aio.contrib import sse
from symbl_aio.contrib.journal import JobJournal


class Embedded:
    """A client that lives as long as a service, or as an ``async with`` block around it.

    ``credentials``, ``config`` and ``observers`` are those of ``SymblClient``; wrong ones
    raise ``ConfigurationError`` when the service starts, and so does a journal that cannot
    be written to. ``journal``: where jobs are kept that outlive the process; those that a
    dead process left are followed from the start on. When the service stops, ``drain`` and
    ``timeout`` (seconds) say what is waited for, as in ``SymblClient.aclose``.
    ``heartbeat``: seconds of silence after which a stream of events says that it is alive.
    """

    def __init__(
        self,
        credentials: CredentialsLike | None = None,
        *,
        config: Config | None = None,
        journal: JobJournal | None = None,
        drain: Drain = "uploads",
        timeout: float = 30.0,
        observers: Sequence[Observer] = (),
        heartbeat: float = sse.HEARTBEAT,
    ) -> None:
        self._credentials = credentials
        self._config = config
        self._journal = journal
        self._drain: Drain = drain
        self._timeout = timeout
        self._observers = tuple(observers)
        self._heartbeat = heartbeat
        self._client: SymblClient | None = None
        self._closing = asyncio.Event()

    @property
    def client(self) -> SymblClient:
        """The running client. Raises ``ClientClosedError`` before the start and after the stop."""
        if self._client is None:
            raise ClientClosedError(
                f"the service has not started, or has stopped; let {type(self).__name__} start "
                "with the application"
            )
        return self._client

    async def __aenter__(self) -> Self:
        journal: tuple[Observer, ...] = () if self._journal is None else (self._journal,)
        client = SymblClient(
            self._credentials, config=self._config, observers=(*journal, *self._observers)
        )
        await client.start()
        try:
            if self._journal is not None:
                await self._journal.resume(client)
        except BaseException:
            await self._close(client, "none")
            raise
        self._closing = asyncio.Event()
        self._client = client
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop_streams()
        client, self._client = self.client, None
        await self._close(client, self._drain if kind is None else "none")

    async def _close(self, client: SymblClient, drain: Drain) -> None:
        try:
            await client.aclose(drain=drain, timeout=self._timeout)
        finally:
            if self._journal is not None:
                self._journal.close()

    def stop_streams(self) -> None:
        """End all streams of events now: the service is about to stop."""
        self._closing.set()

    async def find(self, job_id: str) -> tuple[Job, JobStatus]:
        """Give the job that a visitor names, and its status now.

        Raises ``NotFoundError`` for one that the API does not know. One that this process
        does not follow costs one request of the API, and is not followed for that.
        """
        if job_id.lstrip().startswith("{"):
            # A token would also say to which conversation the job adds, and a visitor may lie.
            raise NotFoundError(404, "a job is named by its id")
        job = self.client.job(job_id)
        if job.status is not JobStatus.UNKNOWN:
            return job, job.status
        return job, await self.client.job_status(job_id)

    def stream(self, job: Job) -> AsyncGenerator[bytes, None]:
        """Give the events of a job as server-sent events, see ``sse.stream``."""
        return sse.stream(job, self._closing, heartbeat=self._heartbeat)

    def allows(self, peer: str | None) -> bool:
        """Say whether a peer may call webhooks, by ``Config.webhook_networks``."""
        return not self._hears() or self.client.webhooks.allows(peer)

    def hear(self, nonce: str, mark: str, body: bytes) -> int:
        """Take in a webhook call, and give the status to answer; 404 if none are expected."""
        return self.client.webhooks.receive(nonce, mark, body) if self._hears() else 404

    def _hears(self) -> bool:
        return self.client.config.webhook_secret is not None
