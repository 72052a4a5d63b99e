"""A client inside a web service: started with it, resumed after it died, drained when it stops.

What ``contrib.fastapi`` and ``contrib.aiohttp`` have in common.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, NoReturn, Self

import symbl_aio  # for annotations alone: what they name is imported when they are evaluated
from symbl_aio import (
    AccessToken,
    ClientClosedError,
    Config,
    ConfigurationError,
    CredentialsLike,
    Drain,
    Event,
    Job,
    JobEnded,
    JobStatus,
    NotFoundError,
    Observer,
    SymblClient,
)
from symbl_aio._fields import require, require_number, require_seconds
from symbl_aio._waiting import check_loop
from symbl_aio.contrib import sse
from symbl_aio.contrib.journal import JobJournal
from symbl_aio.contrib.service_outbox import Durable, OpenOutbox, describe

if TYPE_CHECKING:  # an extra, imported when a service has an outbox
    import symbl_aio.durable

_MOST_REMEMBERED: Final = 10_000


class Embedded:
    """A client that lives as long as a service, or as an ``async with`` block around it.

    ``credentials``, ``config`` and ``observers`` are those of ``SymblClient``; wrong ones
    raise ``ConfigurationError``. So does, when the service starts, an environment without
    credentials, and a journal that cannot be written to. ``journal``: where jobs are kept
    that outlive the process; those that a dead process left are followed from the start on.
    ``durable``: an outbox beside the client, by its database (``"sqlite:///outbox.db"``) or
    as ``Durable(…)``; what is handed in through ``outbox`` is sent by a worker in this
    process, or elsewhere. When the service stops, ``drain`` and ``timeout`` (seconds) say
    what is waited for, as in ``SymblClient.aclose``. ``heartbeat``: seconds of silence after
    which a stream of events says that it is alive.
    """

    def __init__(
        self,
        credentials: CredentialsLike | None = None,
        *,
        config: Config | None = None,
        journal: JobJournal | None = None,
        durable: str | Durable | None = None,
        drain: Drain = "uploads",
        timeout: float = 30.0,
        observers: Sequence[Observer] = (),
        heartbeat: float = sse.HEARTBEAT,
    ) -> None:
        kinds: dict[str, tuple[object, tuple[type, ...], str]] = {
            "config": (config, (Config,), "Config(...)"),
            "journal": (journal, (JobJournal,), "JobJournal(directory)"),
            "durable": (durable, (str, Durable), 'a URL such as "sqlite:///outbox.db"'),
        }
        for name, (value, wanted, remedy) in kinds.items():
            require(name, value, (*wanted, type(None)), remedy)
        if drain not in ("uploads", "jobs", "none"):
            raise ConfigurationError(f'drain is {drain!r}; give "uploads", "jobs" or "none"')
        require_seconds("timeout", timeout)
        require_number("heartbeat", heartbeat, "a number of seconds, 0 or more")
        self._credentials = credentials
        self._config = config
        self._journal = journal
        self._durable = Durable(durable) if isinstance(durable, str) else durable
        self._opened: OpenOutbox | None = None
        self._drain: Drain = drain
        self._timeout = timeout
        # Made only to refuse here, and not when the application starts, what could not be used.
        unused = AccessToken("unused") if credentials is None else credentials
        SymblClient(unused, observers=observers)
        self._observers = tuple(observers)
        self._heartbeat = heartbeat
        self._client: SymblClient | None = None
        self._closing = asyncio.Event()
        self._ended: OrderedDict[str, str] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop

    @property
    def client(self) -> SymblClient:
        """The running client. Raises ``ClientClosedError`` before the start and after the stop."""
        if self._client is None:
            raise self._not_started()
        return self._client

    @property
    def outbox(self) -> symbl_aio.durable.Outbox:
        """The open outbox. Raises ``ClientClosedError`` as ``client``.

        Raises ``ConfigurationError`` if the service has none.
        """
        if self._durable is None:
            raise ConfigurationError(
                'the service has no outbox; give durable="sqlite:///outbox.db", or PostgreSQL'
            )
        if self._opened is None:
            raise self._not_started()
        return self._opened.outbox

    def _not_started(self) -> ClientClosedError:
        return ClientClosedError(
            f"the service has not started, or has stopped; let {type(self).__name__} start "
            "with the application"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a service cannot be pickled or copied; make one in each process")

    async def __aenter__(self) -> Self:
        if self._client is not None:
            raise ConfigurationError("the service has started already; make one for each")
        journal: tuple[Observer, ...] = () if self._journal is None else (self._journal,)
        client = SymblClient(
            self._credentials,
            config=self._config,
            observers=(*journal, self._remember, *self._observers),
        )
        await client.start()
        opened: OpenOutbox | None = None
        try:
            if self._journal is not None:
                await self._journal.resume(client)
            if self._durable is not None:
                opened = await self._durable.open(self._credentials, client.config)
        except BaseException:
            await self._close(client, opened, "none")
            raise
        self._closing = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._client, self._opened = client, opened
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop_streams()
        client, opened = self.client, self._opened
        self._client = self._opened = None
        await self._close(client, opened, self._drain if kind is None else "none")

    async def _close(self, client: SymblClient, opened: OpenOutbox | None, drain: Drain) -> None:
        closing = [client.aclose(drain=drain, timeout=self._timeout)]
        if opened is not None:
            closing.append(opened.aclose(0.0 if drain == "none" else self._timeout))
        try:
            failed = await asyncio.gather(*closing, return_exceptions=True)
            for error in filter(None, failed):
                raise error
        finally:
            if self._journal is not None:
                self._journal.close()

    def _remember(self, event: Event) -> None:
        """Keep the conversation of a job that ended, which the API does not tell by the job."""
        if isinstance(event, JobEnded) and event.conversation_id is not None:
            self._ended[event.job_id] = event.conversation_id
            if len(self._ended) > _MOST_REMEMBERED:
                self._ended.popitem(last=False)

    def stop_streams(self) -> None:
        """End all streams of events now: the service is about to stop.

        Raises ``ConfigurationError`` on another event loop than the service's, where it would
        wake nobody; so does all else that works with the client.
        """
        if self._client is not None:
            check_loop(self._loop, "service")
        self._closing.set()

    async def drain(self) -> None:
        """Take no new work, and wait for what has started, while the service still runs.

        For a framework that takes nothing more of a body once it stops; stopping does it, too.
        """
        self.stop_streams()
        if self._client is not None:
            await self._client.aclose(drain=self._drain, timeout=self._timeout)

    async def find(self, job_id: str) -> tuple[Job, JobStatus]:
        """Give the job that a visitor names, and its status now.

        Raises ``NotFoundError`` for one that the API does not know. One that this process
        does not follow costs one request of the API, and is not followed for that.
        """
        if job_id.lstrip().startswith("{"):
            # A token would also say to which conversation the job adds, and a visitor may lie.
            raise NotFoundError(404, "a job is named by its id")
        job = self.client.job(job_id, self._ended.get(job_id))
        if job.status is not JobStatus.UNKNOWN:
            return job, job.status
        return job, await self.client.job_status(job_id)

    async def describe_item(self, key: str) -> dict[str, str | None]:
        """Tell a visitor of an item by its key. Raises ``NotFoundError`` for an unknown one."""
        return describe(await self.outbox.item(key))

    def stream(self, job: Job) -> AsyncGenerator[bytes, None]:
        """Give the events of a job as server-sent events, see ``sse.stream``."""
        if self._client is not None:
            check_loop(self._loop, "service")
        return sse.stream(job, self._closing, heartbeat=self._heartbeat)

    def allows(self, peer: str | None) -> bool:
        """Say whether a peer may call webhooks, by ``Config.webhook_networks``."""
        return not self._hears() or self.client.webhooks.allows(peer)

    async def hear(self, nonce: str, mark: str, body: bytes) -> int:
        """Take in a webhook call, and give the status to answer; 404 if none are expected.

        It is for the client, or for an item of the outbox: each knows its own.
        """
        if not self._hears():
            return 404
        status = self.client.webhooks.receive(nonce, mark, body)
        if status == 204 and self._opened is not None:
            return await self._opened.webhook(nonce, mark, body)
        return status

    def _hears(self) -> bool:
        return self.client.config.webhook_secret is not None
