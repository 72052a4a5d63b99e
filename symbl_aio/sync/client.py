"""The client without ``await``."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import closing, suppress
from functools import partial
from types import TracebackType
from typing import Self, TypeVar, Unpack

from symbl_aio import bulk, client, models
from symbl_aio._pages import Selection
from symbl_aio.config import Config, CredentialsLike
from symbl_aio.events import Drain, Observer, Stats
from symbl_aio.job import Acceptance, AmbiguousSubmissionError, ClientClosedError
from symbl_aio.media import MediaLike
from symbl_aio.options import Options
from symbl_aio.sync.handles import Conversation, Job, Submission, inner
from symbl_aio.sync.management import Entities, Groups, Settings, Trackers
from symbl_aio.sync.outcomes import Completed, Failed, Outcome
from symbl_aio.sync.portal import Portal
from symbl_aio.sync.sources import Sources

__all__ = ["SymblClient"]

S = TypeVar("S", bound=MediaLike)


class SymblClient:
    """The client, without ``await``; its background event loop runs in a thread of its own.

    ::

        with SymblClient() as symbl:
            conversation = symbl.process("standup.mp4")

    The arguments are those of ``symbl_aio.SymblClient``; an ``aiohttp.ClientSession`` cannot be
    lent, since it belongs to another loop. Any thread may call any method. ``observers`` and an
    async credentials function run in the background thread, and must not call this client.
    Ctrl-C in a wait ends the wait and raises ``KeyboardInterrupt``; it cancels no job. A process
    that was forked since the start raises ``ConfigurationError``; it needs a client of its own.
    """

    def __init__(
        self,
        credentials: CredentialsLike | None = None,
        *,
        config: Config | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._client = client.SymblClient(credentials, config=config, observers=observers)
        self._portal = Portal()

    def __repr__(self) -> str:
        return repr(self._client)

    def __del__(self) -> None:
        portal = self.__dict__.get("_portal")  # none after a constructor that raised
        if portal is not None and portal.is_open:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(drain="uploads" if kind is None else "none")

    @property
    def config(self) -> Config:
        """The settings."""
        return self._client.config

    def start(self) -> None:
        """Start the background thread, and open the client. Makes no request."""
        self._portal.start(partial(self._client.aclose, drain="none"))
        try:
            self._portal.call(self._client.start)
        except BaseException:
            self.close(drain="none")
            raise

    def close(self, *, drain: Drain = "uploads", timeout: float = 30.0) -> None:
        """Close the client as ``aclose`` does, and end the background thread.

        Does nothing if the client is not open, as in a process that was forked since its start.
        """
        if not self._portal.is_open:
            return
        try:
            with suppress(ClientClosedError):  # another thread closes it at the same time
                self._portal.call(lambda: self._client.aclose(drain=drain, timeout=timeout))
        finally:
            self._portal.stop()

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Tokens of jobs that are followed now, or that were running when the client closed."""
        return self._client.unfinished

    def append(
        self,
        conversation_id: str | Submission | Job,
        media: MediaLike,
        options: Options | None = None,
        *,
        key: str | None = None,
        before_last_byte: Callable[[], Awaitable[None]] | None = None,
    ) -> Submission:
        """Queue media to be added to a conversation (Async API pages, PUT)."""
        to = inner(conversation_id)
        return Submission(
            self._portal,
            self._portal.run(
                lambda: self._client.append(
                    to, media, options, key=key, before_last_byte=before_last_byte
                )
            ),
        )

    def process(
        self,
        media: MediaLike,
        options: Options | None = None,
        *,
        timeout: float | None = None,
    ) -> Conversation:
        """Submit media and wait until its job is completed, at most ``timeout`` seconds."""
        return Conversation(
            self._portal,
            self._portal.call(lambda: self._client.process(media, options, timeout=timeout)),
        )

    def map(
        self,
        sources: Iterable[S],
        options: Options | None = None,
        *,
        ordered: bool = False,
    ) -> Generator[Outcome[S], None, None]:
        """Process many sources, and yield an ``Outcome`` for each as its job finishes.

        ``sources`` is read in the thread that iterates, while it waits for an outcome, as fast
        as it can be sent. A source that takes long delays the outcomes of this iteration alone.
        """
        bulk.check_sources(sources)
        read_here = Sources(sources)
        outcomes = self._client.map(read_here, options, ordered=ordered)
        return self._outcomes(self._portal.iterate(lambda: outcomes, read_here.wait))

    def _outcomes(
        self, outcomes: Generator[bulk.Outcome[S], None, None]
    ) -> Generator[Outcome[S], None, None]:
        with closing(outcomes):
            for outcome in outcomes:
                if outcome.error is None:
                    yield Completed(
                        outcome.index,
                        outcome.source,
                        Job(self._portal, outcome.job),
                        Conversation(self._portal, outcome.conversation),
                    )
                else:
                    job = None if outcome.job is None else Job(self._portal, outcome.job)
                    yield Failed(outcome.index, outcome.source, job, outcome.error)

    def job(self, job_id: str, conversation_id: str | None = None) -> Job:
        """Return a handle on a job submitted before, here or elsewhere. No I/O."""
        return Job(
            self._portal, self._portal.run(lambda: self._client.job(job_id, conversation_id))
        )

    def conversations(
        self, *, page_size: int = 100, **selection: Unpack[Selection]
    ) -> Generator[models.ConversationInfo, None, None]:
        """Yield the account's conversations: ``for info in client.conversations()``."""
        return self._portal.iterate(
            lambda: self._client.conversations(page_size=page_size, **selection)
        )

    def reconcile(self, error: AmbiguousSubmissionError) -> Acceptance:
        """Look for evidence of acceptance, as ``await error.reconcile()`` does."""
        return self._portal.call(error.reconcile)

    def stats(self) -> Stats:
        """Return counts of queued, uploading and unfinished work, and the learned job limit."""
        return self._portal.run(lambda: self._client.stats())

    def submit(
        self,
        media: MediaLike,
        options: Options | None = None,
        *,
        key: str | None = None,
        before_last_byte: Callable[[], Awaitable[None]] | None = None,
    ) -> Submission:
        """Queue media for a new conversation (Async API pages, POST)."""
        return Submission(
            self._portal,
            self._portal.run(
                lambda: self._client.submit(
                    media, options, key=key, before_last_byte=before_last_byte
                )
            ),
        )

    def job_status(self, job_id: str) -> models.JobStatus:
        """Return the status of a job with one request, without following it. Job API page."""
        return self._portal.call(lambda: self._client.job_status(job_id))

    def conversation(self, conversation_id: str) -> Conversation:
        """Return a handle on a conversation by its id. No I/O."""
        return Conversation(
            self._portal, self._portal.run(lambda: self._client.conversation(conversation_id))
        )

    def insights_ui(self, *, include_call_score: bool | None = None) -> models.Experience:
        """Return the link to the ready-made list of all conversations, a secret (newer hosts)."""
        return self._portal.call(
            lambda: self._client.insights_ui(include_call_score=include_call_score)
        )

    @property
    def trackers(self) -> Trackers:
        """The account's trackers (Management API)."""
        return Trackers(self._portal, self._client.trackers)

    @property
    def groups(self) -> Groups:
        """The account's groups of conversations (Management API)."""
        return Groups(self._portal, self._client.groups)

    @property
    def entities(self) -> Entities:
        """The account's own entities (Management API, newer hosts)."""
        return Entities(self._portal, self._client.entities)

    @property
    def settings(self) -> Settings:
        """The account's settings (Management API, newer hosts)."""
        return Settings(self._portal, self._client.settings)
