"""The client of one account: opened, used for submissions and reads, and closed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Sequence,
)
from functools import cached_property
from types import NoneType, TracebackType
from typing import Self, TypeVar, Unpack

import aiohttp

import symbl_aio  # for annotations alone: their names are imported when evaluated
from symbl_aio import models
from symbl_aio._callback_checks import check_async, observers_of
from symbl_aio._error_classes import ConfigurationError
from symbl_aio._fields import require, require_flag, require_seconds, type_name
from symbl_aio._io.engine import Engine
from symbl_aio._pages import Selection, list_conversations
from symbl_aio._protocol import answers, calls
from symbl_aio._protocol.calls import check_id
from symbl_aio._protocol.decode_models import decode
from symbl_aio.config import (
    AccessToken,
    Config,
    Credentials,
    CredentialsLike,
    credentials_from_env,
)
from symbl_aio.conversations import Conversation
from symbl_aio.events import Drain, Observer, Stats
from symbl_aio.job import Job, Submission
from symbl_aio.media import MediaLike

__all__ = ["SymblClient"]

S = TypeVar("S", bound=MediaLike)


class SymblClient:
    """A client of one account of the Async, Job and Conversation APIs.

    ``credentials``: ``Credentials(app_id, app_secret)``, an ``AccessToken``, or an async
    callable that returns one (``TokenProvider``); ``None`` reads ``SYMBL_APP_ID`` and
    ``SYMBL_APP_SECRET``, or ``SYMBL_ACCESS_TOKEN``.
    ``session``: an ``aiohttp.ClientSession`` to borrow, for a proxy or TLS of one's own;
    it is never closed here, and its ``keepalive_timeout`` should be below a second, which
    keeps small submissions from becoming ambiguous; it resolves host names in the event
    loop's default executor, which must not be full of threads that wait for this client.
    ``observers``: plain functions, called with each ``Event`` in the event loop.

    The constructor does no I/O and needs no event loop; wrong settings raise
    ``ConfigurationError``. Use the client as ``async with``, or call ``start`` and
    ``aclose``, all from one event loop.
    """

    def __init__(
        self,
        credentials: CredentialsLike | None = None,
        *,
        config: Config | None = None,
        session: aiohttp.ClientSession | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        if credentials is None:
            credentials = credentials_from_env()
        if not isinstance(credentials, Credentials | AccessToken):
            if not callable(credentials) and not isinstance(credentials, Coroutine):
                raise ConfigurationError(
                    f"credentials is {type_name(credentials)}; give Credentials(app_id, "
                    "app_secret), AccessToken(token) or an async function that returns a token"
                )
            check_async("credentials", credentials)
        if not isinstance(config, Config | None):
            raise ConfigurationError(f"config is {type_name(config)}; give Config(...)")
        if not isinstance(session, aiohttp.ClientSession | None):
            raise ConfigurationError(
                f"session is {type_name(session)}; give an aiohttp.ClientSession"
            )
        self.config: Config = Config() if config is None else config
        self._changing = asyncio.Lock()
        self._engine = Engine(
            self.config,
            credentials,
            session,
            observers=observers_of(observers),
        )

    def __repr__(self) -> str:
        return f"<SymblClient of {self.config.base_url}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose(drain="uploads" if kind is None else "none")

    async def start(self) -> None:
        """Open the client on the running event loop. Makes no request."""
        self._engine.start()

    async def aclose(self, *, drain: Drain = "uploads", timeout: float = 30.0) -> None:
        """Close the client and end every wait; nothing hangs.

        New work is refused at once, and queued submissions fail with ``ClientClosedError``:
        nothing of them was sent. Then it waits up to ``timeout`` seconds for uploads in
        progress (``drain="uploads"``), for the jobs as well (``"jobs"``), or not at all
        (``"none"``). Waiters of jobs that still run get a ``ClientClosedError``, which
        carries the job; ``unfinished`` holds their tokens. Cancelling it ends the wait, not
        the closing.
        """
        await self._engine.aclose(drain, timeout)

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Tokens of jobs that are followed now, or that were running when the client closed."""
        return self._engine.unfinished

    def stats(self) -> Stats:
        """Return counts of queued, uploading and unfinished work, and the learned job limit."""
        return self._engine.stats()

    def submit(
        self,
        media: MediaLike,
        options: symbl_aio.Options | None = None,
        *,
        key: str | None = None,
        before_last_byte: Callable[[], Awaitable[None]] | None = None,
    ) -> Submission:
        """Queue media for a new conversation (Async API pages, POST).

        ``media`` is a ``Text``, ``Audio``, ``Video``, ``AudioURL`` or ``VideoURL``, or the
        path of a file, whose kind is detected from its first bytes. Returns at once: await
        the submission for the accepted ``Job``. ``key`` is the idempotency key; while a
        submission with that key is unfinished, the same ``Submission`` is returned and
        nothing new is queued.

        ``before_last_byte`` is awaited each time that all of the body but its last byte was
        handed over, and until it returns the server cannot have accepted anything: a program
        that must survive a crash records there that it is about to submit. An exception in it
        fails the submission (``UploadError``), and nothing was accepted. It has
        ``Timeouts.stall`` seconds.

        Raises ``ConfigurationError`` for a wrong type or option, ``QueueFullError`` above
        ``Limits.queued``, ``ClientClosedError`` when the client is not open. Errors of the
        disk or the network fail the submission instead.
        """
        return self._engine.submit(media, options, key=key, before_last_byte=before_last_byte)

    def append(
        self,
        conversation_id: str | Submission | Job,
        media: MediaLike,
        options: symbl_aio.Options | None = None,
        *,
        key: str | None = None,
        before_last_byte: Callable[[], Awaitable[None]] | None = None,
    ) -> Submission:
        """Queue media to be added to a conversation (Async API pages, PUT).

        Appends to one conversation are sent in call order, one at a time, each after the
        job of the one before has ended (``Lanes``). Given a ``Submission`` or ``Job`` that
        is still in flight, the append waits behind it. ``key`` and ``before_last_byte`` as
        for ``submit``.

        Raises as ``submit``, and ``AppendBlockedError`` while the conversation's appends
        are halted, because an earlier one is ambiguous.
        """
        if conversation_id is None:  # which would open a new one
            check_id("conversation_id", conversation_id)
        return self._engine.submit(
            media, options, key=key, to=conversation_id, before_last_byte=before_last_byte
        )

    async def process(
        self,
        media: MediaLike,
        options: symbl_aio.Options | None = None,
        *,
        timeout: float | None = None,
    ) -> Conversation:
        """Submit media and wait until its job is completed, at most ``timeout`` seconds.

        Raises as ``submit``, the submission and its job do. When the time is over, a
        submission of which surely nothing was accepted is withdrawn (``TimeoutError``); an
        accepted job keeps running, and its ``JobTimeoutError`` carries it, so that it is
        never lost. To distinguish the two, it waits for an answer that is already due, at
        most ``Timeouts.answer``. Cancelling it withdraws nothing.
        """
        require_seconds("timeout", timeout, or_none=True)
        submission = self.submit(media, options)
        loop = asyncio.get_running_loop()
        began = loop.time()
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                job = await submission
        except TimeoutError:
            if not limit.expired():
                raise
            late = TimeoutError(
                f"nothing was accepted within {timeout} s, and the submission was withdrawn"
            )
            if submission.cancel():
                raise late from None
            self._engine.cancel_unless_accepted(submission, late)
            job = await submission
        left = None if timeout is None else max(0.0, began + timeout - loop.time())
        return await job.wait(timeout=left)

    def map(
        self,
        sources: Iterable[S] | AsyncIterable[S],
        options: symbl_aio.Options | None = None,
        *,
        ordered: bool = False,
    ) -> AsyncGenerator[symbl_aio.Outcome[S], None]:
        """Process many sources, and yield an ``Outcome`` for each as its job finishes.

        Sources are pulled only as fast as they can be sent (back-pressure), so an endless or
        huge iterable is fine. One failure never hides another, and none is raised: check
        ``Outcome.ok``. ``ordered=True`` yields the outcomes in the order of the sources. After
        three ambiguous submissions in a row one source at a time is sent, with pauses of up to
        two minutes, until one is accepted: an outage does not bring all of them into doubt.
        Leaving the iteration early withdraws sources not sent yet; the others continue. An
        error of ``sources`` itself is raised after the outcomes of the sources before it; so
        is ``ClientClosedError`` when the client closes, and then nothing more is pulled. A wrong
        argument is a ``ConfigurationError`` at the call.
        """
        from symbl_aio.bulk import check_sources, outcomes
        from symbl_aio.options import MediaOptions, TextOptions

        check_sources(sources)
        require_flag("ordered", ordered)
        require("options", options, (TextOptions, MediaOptions, NoneType), "MediaOptions(...)")
        limits = self.config.limits
        # Enough that no slot ever waits for the caller, and no more: back-pressure.
        max_pending = min(limits.queued, 2 * (limits.jobs or limits.max_jobs))
        return outcomes(
            sources,
            lambda source: self.submit(source, options),
            check_open=self._engine.check_open,
            wait=self._engine.wait,
            ordered=ordered,
            max_pending=max_pending,
        )

    def job(self, job_id: str, conversation_id: str | None = None) -> Job:
        """Return a handle on a job submitted before, here or elsewhere. No I/O.

        ``job_id`` is an id or a ``Job.token``. The job is followed, and counts towards the
        account's limit, from the first wait for it. Without ``conversation_id`` (a token
        has it) the conversation cannot be read.

        Raises ``ConfigurationError`` for a text that is neither, or the token of another
        host.
        """
        return self._engine.job(job_id, conversation_id)

    async def job_status(self, job_id: str) -> models.JobStatus:
        """Return the status of a job with one request, without following it. Job API page.

        For a job id from an untrusted source. Raises ``NotFoundError`` for a job that the
        server does not know, else as ``Conversation`` does.
        """
        answer = await self._engine.call(calls.job(job_id))
        return models.JobStatus.parse(answers.decode_status(answer))

    def conversation(self, conversation_id: str) -> Conversation:
        """Return a handle on a conversation by its id. No I/O."""
        return self._engine.conversation(check_id("conversation_id", conversation_id))

    def conversations(
        self, *, page_size: int = 100, **selection: Unpack[Selection]
    ) -> AsyncGenerator[models.ConversationInfo, None]:
        """Yield the account's conversations: ``async for info in client.conversations()``.

        Without ``start_time`` only those of the last seven days are listed: set it for older
        ones. Both times are aware datetimes, and before now. ``order`` is by start time; in
        descending order one may be yielded twice while new ones arrive. ``filter`` is RSQL
        with at most two terms, as ``criteria({"agentId": "johndoe"})`` returns it. Pages of
        ``page_size`` are requested as the iteration reaches them, until one is empty. Raises
        as ``Conversation`` does, when the iteration reaches the error.
        Conversation API, "Get conversations" page.
        """
        return list_conversations(self._engine, page_size=page_size, **selection)

    def stream(
        self, id: str | None = None, **settings: Unpack[symbl_aio.StreamSettings]
    ) -> symbl_aio.Stream:
        """Return a stream of live audio, which ``async with`` opens. No I/O. Streaming API.

        ``id`` names the connection, a new UUID by default: a second stream with the same id adds
        a speaker to the conversation. ``settings``: see ``StreamSettings``. Raises
        ``ConfigurationError`` for a wrong id or setting.
        """
        from symbl_aio.live.stream import Stream

        return Stream(self._engine.live, id, **settings)

    def stream_file(
        self,
        path: str | os.PathLike[str],
        *,
        realtime: bool | float = True,
        id: str | None = None,
        **settings: Unpack[symbl_aio.StreamSettings],
    ) -> symbl_aio.FileStream:
        """Return a stream of a recording, which sends itself and stops at its end.

        A wav of 16-bit samples needs nothing else, any other recording the extra ``live``.
        ``realtime``: at the speed of speech; a number is that many times as fast, and false as
        fast as the server receives it. The recording determines encoding and sample rate.
        """
        from symbl_aio.live.file_stream import FileStream

        return FileStream(self._engine.live, path, realtime, id, **settings)

    def subscribe(self, id: str) -> symbl_aio.Subscription:
        """Return the events of the stream with this id, to be opened. Subscribe API. No I/O."""
        from symbl_aio.live.subscription import Subscription

        return Subscription(self._engine.live, id)

    @cached_property
    def telephony(self) -> symbl_aio.Telephony:
        """Telephone calls that the server makes and listens to (Telephony API)."""
        from symbl_aio.live.telephony import Telephony

        return Telephony(self._engine.live)

    async def insights_ui(self, *, include_call_score: bool | None = None) -> models.Experience:
        """Return the link to the ready-made list of all conversations, a secret (newer hosts)."""
        answer = await self._engine.call(calls.insights_ui(include_call_score=include_call_score))
        return decode(models.Experience, answer.json(), text=answer.text)

    @cached_property
    def webhooks(self) -> symbl_aio.WebhookReceiver:
        """Receiver of the server's webhook calls, for a route of any framework.

        Raises ``ConfigurationError`` without ``Config.webhook_secret``.
        """
        from symbl_aio.webhooks import WebhookReceiver

        secret = self.config.webhook_secret
        if secret is None:
            raise ConfigurationError(
                "Config.webhook_secret is missing; give the secret that all workers share, and "
                "webhook_base_url, the address under which this service takes webhooks"
            )
        return WebhookReceiver(self._engine.on_webhook, secret, self.config.webhook_networks)

    @cached_property
    def trackers(self) -> symbl_aio.Trackers:
        """The account's trackers (Management API)."""
        from symbl_aio.management import Trackers

        return Trackers(self._engine, self._changing, paths=self.config.tracker_paths)

    @cached_property
    def groups(self) -> symbl_aio.Groups:
        """The account's groups of conversations (Management API)."""
        from symbl_aio.management import Groups

        return Groups(self._engine, self._changing)

    @cached_property
    def entities(self) -> symbl_aio.Entities:
        """The account's own entities (Management API, newer hosts)."""
        from symbl_aio.management import Entities

        return Entities(self._engine, self._changing)

    @cached_property
    def settings(self) -> symbl_aio.Settings:
        """The account's settings (Management API, newer hosts)."""
        from symbl_aio.management import Settings

        return Settings(self._engine, self._changing)
