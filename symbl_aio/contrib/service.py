"""A client inside a web service: started, resumed after a crash, and drained with it.

The common part of ``contrib.fastapi`` and ``contrib.aiohttp``.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Final, NoReturn, Self, Unpack

import symbl_aio  # for annotations: ``typing.get_type_hints`` imports the modules they name
from symbl_aio import (
    AccessToken,
    ClientClosedError,
    Config,
    ConfigurationError,
    Conversation,
    CredentialsLike,
    Drain,
    Event,
    Job,
    JobEnded,
    JobStatus,
    NotFoundError,
    Observer,
    StreamSettings,
    SymblClient,
    WebhookReceiver,
)
from symbl_aio._fields import require, require_number, require_seconds
from symbl_aio._protocol.webhook_calls import WebhookCall, is_genuine, read_call
from symbl_aio._shared_futures import check_loop
from symbl_aio._stopping import run_unless
from symbl_aio.contrib import sse
from symbl_aio.contrib.journal import JobJournal
from symbl_aio.contrib.live import Visitor, pass_stream
from symbl_aio.contrib.passthrough import next_chunk
from symbl_aio.contrib.service_outbox import Durable, OpenOutbox, describe
from symbl_aio.webhooks import verify

if TYPE_CHECKING:  # an extra, imported when a service has an outbox
    import symbl_aio.durable

_MAX_CONVERSATIONS: Final = 10_000
"""Ended jobs whose conversation is remembered."""


class Embedded:
    """A client that lives as long as a service, or as an ``async with`` block around it.

    ``credentials``, ``config`` and ``observers`` are those of ``SymblClient``; wrong ones
    raise ``ConfigurationError``. When the service starts, it is also raised for an environment
    without credentials, and for a journal that cannot be written to. ``journal`` stores the
    unfinished jobs; the next process follows those of a process that crashed. ``durable``: an
    outbox beside the client, by its database (``"sqlite:///outbox.db"``) or as ``Durable(…)``;
    a worker in this process, or elsewhere, sends the items that ``outbox`` stores. ``drain``
    and ``timeout`` (seconds) are those of ``SymblClient.aclose`` when the service stops.
    ``heartbeat``: seconds of silence after which a stream of events sends a comment.
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
        arguments: dict[str, tuple[object, tuple[type, ...], str]] = {
            "config": (config, (Config,), "Config(...)"),
            "journal": (journal, (JobJournal,), "JobJournal(directory)"),
            "durable": (durable, (str, Durable), 'a URL such as "sqlite:///outbox.db"'),
        }
        for name, (value, types, remedy) in arguments.items():
            require(name, value, (*types, type(None)), remedy)
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
        # A wrong argument is to fail here, and not when the application starts.
        checked = AccessToken("unused") if credentials is None else credentials
        SymblClient(checked, observers=observers)
        self._observers = tuple(observers)
        self._heartbeat = heartbeat
        self._client: SymblClient | None = None
        self._closing = asyncio.Event()
        self._conversations: OrderedDict[str, str] = OrderedDict()
        self._speaking: set[asyncio.Task[Conversation]] = set()
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
            observers=(*journal, self._on_event, *self._observers),
        )
        self._closing, self._speaking = asyncio.Event(), set()
        await client.start()
        opened: OpenOutbox | None = None
        try:
            if self._journal is not None:
                await self._journal.resume(client)
            if self._durable is not None:
                opened = await self._open(self._durable, client.config)
        except BaseException:
            await self._close(client, opened, "none")
            raise
        self._loop = asyncio.get_running_loop()
        self._client, self._opened = client, opened
        return self

    async def _open(self, durable: Durable, config: Config) -> OpenOutbox:
        """Open the outbox. Raises ``ClientClosedError`` if the service is stopped meanwhile."""
        opening = await run_unless(self._closing, durable.open(self._credentials, config))
        if opening.cancelled():
            raise ClientClosedError("the service was stopped before its outbox was open")
        return opening.result()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop_streams()
        # From here on ``client`` and ``outbox`` raise, which routes answer with 503.
        client, opened = self.client, self._opened
        self._client = self._opened = None
        await self._close(client, opened, self._drain if kind is None else "none")

    async def _close(self, client: SymblClient, opened: OpenOutbox | None, drain: Drain) -> None:
        closing = [client.aclose(drain=drain, timeout=self._timeout)]
        if opened is not None:
            closing.append(opened.aclose(0.0 if drain == "none" else self._timeout))
        try:
            # Both are closed, even if one fails.
            failed = await asyncio.gather(*closing, return_exceptions=True)
            for error in filter(None, failed):
                raise error
        finally:
            if self._journal is not None:
                self._journal.close()

    def _on_event(self, event: Event) -> None:
        """Remember the conversation of an ended job: the API does not return it for a job id."""
        if isinstance(event, JobEnded) and event.conversation_id is not None:
            self._conversations[event.job_id] = event.conversation_id
            if len(self._conversations) > _MAX_CONVERSATIONS:
                self._conversations.popitem(last=False)

    def stop_streams(self) -> None:
        """End all streams of events, and the audio of visitors, since the service will stop.

        Raises ``ConfigurationError`` on another event loop than the service's, where it would
        wake no stream; so do all other methods that use the client.
        """
        if self._client is not None:
            check_loop(self._loop, "service")
        self._closing.set()

    async def drain(self) -> None:
        """Wait for live audio, then refuse new submissions, and wait for the running ones.

        While the service still runs: for a framework that stops reading request bodies when it
        stops. ``async with`` drains the client at its end in any case.
        """
        self.stop_streams()
        if self._speaking and self._drain != "none":
            await asyncio.wait(self._speaking, timeout=self._timeout)
        if self._client is not None:
            await self._client.aclose(drain=self._drain, timeout=self._timeout)

    async def find(self, job_id: str) -> tuple[Job, JobStatus]:
        """Return the job with this id, and its current status.

        Raises ``NotFoundError`` for a job that the API does not know. For a job that this
        process does not follow it makes one request, and does not follow it afterwards.
        """
        if job_id.lstrip().startswith("{"):
            # A token also contains a conversation id, which a visitor could forge.
            raise NotFoundError(404, "a job is named by its id")
        job = self.client.job(job_id, self._conversations.get(job_id))
        if job.status is not JobStatus.UNKNOWN:
            return job, job.status
        return job, await self.client.job_status(job_id)

    async def describe_item(self, key: str) -> dict[str, str | None]:
        """Return an item by its key, for a visitor. Raises ``NotFoundError`` for an unknown key."""
        return describe(await self.outbox.item(key))

    def stream(self, job: Job) -> AsyncGenerator[bytes, None]:
        """Yield the events of a job as server-sent events, see ``sse.stream``."""
        if self._client is not None:
            check_loop(self._loop, "service")
        return sse.stream(job, self._closing, heartbeat=self._heartbeat)

    async def pass_stream(
        self, visitor: Visitor, id: str | None, **settings: Unpack[StreamSettings]
    ) -> Conversation:
        """Pass a visitor's audio through to a stream, see ``live.pass_stream``."""
        client = self.client
        check_loop(self._loop, "service")
        speaking = asyncio.create_task(pass_stream(client, visitor, id, self._closing, **settings))
        self._speaking.add(speaking)
        speaking.add_done_callback(self._speaking.discard)
        return await speaking

    def allows(self, peer: str | None) -> bool:
        """Return whether ``Config.webhook_networks`` admits a caller with this IP address."""
        has_webhooks = self.client.config.webhook_secret is not None
        return not has_webhooks or self.client.webhooks.allows(peer)

    async def answer_webhook(
        self, peer: str | None, nonce: str, mark: str, chunks: AsyncGenerator[bytes, None]
    ) -> int:
        """Process a webhook request, and return the status to answer.

        403 for a caller that ``allows`` does not admit, 404 for a URL that was not made with the
        secret, both before the body is read. A body is read up to the first byte beyond
        ``WebhookReceiver.MAX_BYTES``. Raises ``BadUploadError`` (408) if no more of it comes for
        ``Timeouts.stall`` seconds.
        """
        secret = self.client.config.webhook_secret
        body = b""
        async with aclosing(chunks):
            if not self.allows(peer):
                return 403
            # Now: a caller without the secret must not keep a connection open with half a body.
            if secret is None or not is_genuine(secret, nonce, mark):
                return 404
            stall = self.client.config.timeouts.stall
            while (chunk := await next_chunk(chunks, stall)) is not None:
                body += chunk
                if len(body) > WebhookReceiver.MAX_BYTES:
                    return 413
        return await self._accept_webhook(nonce, read_call(body) or 400)

    async def on_webhook(self, nonce: str, mark: str, body: bytes) -> int:
        """Process a webhook call, and return the status to answer; 404 without a secret.

        The client and the outbox both receive it: each knows its own submissions.
        """
        secret = self.client.config.webhook_secret
        if secret is None:
            return 404
        return await self._accept_webhook(nonce, verify(secret, nonce, mark, body))

    async def _accept_webhook(self, nonce: str, call: WebhookCall | int) -> int:
        # Verified once: the outbox was opened with the secret of the client.
        if isinstance(call, int):
            return call
        self.client.webhooks.accept(nonce, call)
        return 204 if self._opened is None else await self._opened.on_webhook(nonce, call)
