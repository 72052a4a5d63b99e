"""The handles a caller holds: a ``Submission`` until the server accepts it, then a ``Job``.

Both are only views. The engine does the work and settles them; awaiting one, twice or
from many tasks, or giving up on it, changes nothing behind it.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Generator, Iterable
from datetime import UTC, datetime
from typing import Any, Final, Literal, NoReturn, Protocol, TypeAlias

from attrs import frozen

import symbl_aio  # for annotations alone: what they name is imported when they are evaluated
from symbl_aio._fields import require_seconds
from symbl_aio._waiting import Shared, check_loop, result_of
from symbl_aio.errors import ConfigurationError, JobTimeoutError
from symbl_aio.models import JobStatus
from symbl_aio.models.base import Model

StatusSource: TypeAlias = Literal["submit", "poll", "webhook"]
"""How a status was learned: submission's answer, poll, or poll that a webhook asked for."""

_TOKEN_VERSION: Final = 1


@frozen
class UploadProgress(Model):
    """Bytes of the body handed over so far, and in all. A new attempt starts at 0 again."""

    sent: int
    """Bytes handed over in this attempt."""
    total: int
    """Bytes of the whole body."""


@frozen
class JobEvent(Model):
    """One transition of a job: its status, the server's own word for it, when and how learned."""

    status: JobStatus
    """The new status."""
    raw_status: str
    """The server's own word for it."""
    at: datetime
    """When it was learned, UTC, by the clock of this machine."""
    source: StatusSource
    """How it was learned."""


@frozen
class Acceptance:
    """Proof that the server accepted a submission, and ``how`` it was found.

    ``job`` is ``None`` when the proof names only the conversation.
    """

    conversation_id: str | None
    """The conversation; ``None`` if the proof names only the job."""
    job: symbl_aio.Job | None  # of the package: the class itself is made further down
    """The job; ``None`` if the proof names only the conversation."""
    how: Literal["webhook", "name", "content"]
    """A webhook call, the name of the conversation, or its words."""


class Desk(Protocol):
    """What the handles ask of the engine that settles them."""

    origin: str

    def follow(self, job: Job) -> None: ...
    async def poll(self, job: Job) -> None: ...
    def withdraw(self, submission: Submission) -> bool: ...
    def conversation(self, conversation_id: str | None) -> symbl_aio.Conversation: ...


class Job:
    """An accepted job of the server, followed by the client's one poller.

    ``await job`` gives its ``Conversation`` once the job is completed. It raises
    ``JobFailedError`` if it failed, ``JobLostError`` if it can no longer be followed,
    ``ClientClosedError`` if the client closed first. Any number of tasks may wait;
    cancelling one affects neither the job nor the other tasks. The API has no call
    that cancels a job (Job API page), so there is no ``cancel`` here.

    A copy, by ``pickle`` or ``copy``, is detached: it has ids, ``status`` and ``token``, and
    all that needs a client raises ``ConfigurationError``. ``client.job(job.token)`` gives a
    handle that is followed.
    """

    __slots__ = ("__weakref__", "_changed", "_desk", "_events", "_outcome",
                 "_is_followed", "_since", "conversation_id", "id", "source")  # fmt: skip

    def __init__(
        self,
        id: str,
        conversation_id: str | None,
        *,
        desk: Desk,
        since: float | None = None,
        source: str | None = None,
    ) -> None:
        self.id: Final = id
        self.source: Final = source
        """Name of the media, as in events; ``None`` for a text, or a job attached by its id."""
        self.conversation_id = conversation_id
        """The conversation that it adds to; ``None`` as long as only the job id is known."""
        self._desk = desk
        self._since = time.time() if since is None else since
        self._events: list[JobEvent] = []
        # Of a detached one nobody will ever learn the end.
        self._outcome: Shared[None] | None = (
            None if isinstance(desk, _NoDesk) else Shared(loop=asyncio.get_running_loop())
        )
        self._changed: asyncio.Future[None] | None = None
        self._is_followed = False

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.status.value} conversation={self.conversation_id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _detached, (
            self.id,
            self.conversation_id,
            self._desk.origin,
            self._since,
            tuple(self._events),
        )

    @property
    def status(self) -> JobStatus:
        """The last status learned; no I/O. ``UNKNOWN`` before the first."""
        return self._events[-1].status if self._events else JobStatus.UNKNOWN

    @property
    def conversation(self) -> symbl_aio.Conversation:
        """The conversation the job adds to. Before completion its insights are incomplete."""
        return self._desk.conversation(self.conversation_id)

    @property
    def token(self) -> str:
        """A small JSON text with which ``client.job(token)`` re-attaches, in any process.

        It holds ids and the API's origin, no secret.
        """
        return json.dumps(
            {
                "v": _TOKEN_VERSION,
                "job": self.id,
                "conversation": self.conversation_id,
                "origin": self._desk.origin,
                "since": int(self._since),
            },
            separators=(",", ":"),
        )

    def done(self) -> bool:
        """Say whether awaiting would return or raise at once."""
        return self._outcome is None or self._outcome.done()

    def __await__(self) -> Generator[Any, None, symbl_aio.Conversation]:
        return self.wait().__await__()

    async def wait(self, *, timeout: float | None = None) -> symbl_aio.Conversation:
        """Wait for the end of the job, at most ``timeout`` seconds.

        Raises as awaiting the job does, and ``JobTimeoutError``, which leaves the job
        running and followed.
        """
        if timeout is not None:
            require_seconds("timeout", timeout)
        self._follow()
        assert self._outcome is not None
        if timeout is None:
            await result_of(self._outcome)
            return self.conversation
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                await result_of(self._outcome)
        except TimeoutError:
            if limit.expired():
                raise JobTimeoutError(
                    f"job {self.id} was {self.status.value} after {timeout} s", self
                ) from None
            raise
        return self.conversation

    async def refresh(self) -> JobStatus:
        """Ask the server now, outside the poller's plan, and give the status.

        Raises ``TransportError`` or ``APIError`` when the question could not be
        answered; the job is followed as before.
        """
        if self._outcome is None or not self._outcome.done():
            await self._desk.poll(self)
        return self.status

    async def events(self) -> AsyncIterator[JobEvent]:
        """Give every transition, first those that already happened, until the last one.

        Ends after ``COMPLETED`` or ``FAILED``; raises ``JobLostError`` or
        ``ClientClosedError`` if it ended otherwise.
        """
        self._follow()
        assert self._outcome is not None
        given = 0
        while True:
            while given < len(self._events):
                given += 1
                yield self._events[given - 1]
            if self._outcome.done():
                if self.status.is_terminal:
                    self._outcome.exception()  # whoever saw FAILED was told, and no log need say so
                else:
                    self._outcome.result()
                return
            check_loop(self._outcome.get_loop())
            if self._changed is None:
                self._changed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._changed)

    def _follow(self) -> None:
        if not self._is_followed:
            self._desk.follow(self)

    # Called by the engine alone.

    def _advance(self, status: JobStatus, raw_status: str, source: StatusSource) -> bool:
        """Note a status; say whether it was a transition."""
        last = self._events[-1] if self._events else None
        if last is not None and (last.raw_status == raw_status or last.status.is_terminal):
            return False
        self._events.append(JobEvent(status, raw_status, datetime.now(UTC), source))
        if self._changed is not None:
            self._wake()
        return True

    def _settle(self, error: BaseException | None = None, *, expected: bool = False) -> None:
        """Resolve every waiter. An error that nobody awaits is logged, unless ``expected``."""
        assert self._outcome is not None
        if not self._outcome.done():
            if error is None:
                self._outcome.set_result(None)
            else:
                self._outcome.fail(error, f"job {self.id}", expected=expected)
        if self._changed is not None:
            self._wake()

    def _hear(self) -> None:
        """Record that somebody was told of the end."""
        if self._outcome is not None:
            self._outcome.hear()

    def _wake(self) -> None:
        changed, self._changed = self._changed, None
        assert changed is not None
        changed.set_result(None)


class _NoDesk:
    """What a detached job has in the place of the engine."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def follow(self, job: Job) -> NoReturn:
        raise ConfigurationError(
            "this job is a copy, by pickle or copy, which no client follows; "
            "client.job(job.token) gives a handle that one does"
        )

    async def poll(self, job: Job) -> None:
        self.follow(job)

    def withdraw(self, submission: Submission) -> bool:
        raise AssertionError("a copy of a job has no submission")

    def conversation(self, conversation_id: str | None) -> NoReturn:
        raise ConfigurationError(
            "this job is a copy, by pickle or copy, without a client to read with; "
            "give its conversation_id to client.conversation(...)"
        )


def _detached(
    id: str, conversation_id: str | None, origin: str, since: float, events: Iterable[JobEvent]
) -> Job:
    job = Job(id, conversation_id, desk=_NoDesk(origin), since=since)
    job._events.extend(events)
    return job


def labelled(key: str, source: str | None) -> str:
    """Write a key with the name of what was submitted, if that says more."""
    return key if source is None or source == key else f"{key} ({source})"


class Submission:
    """Work handed to the client and not yet accepted by the server.

    ``await submission`` gives the ``Job`` once the server accepted it, or raises what
    prevented that. Cancelling the await leaves the work queued or running: ``cancel()``
    is the way to withdraw it.
    """

    __slots__ = ("__weakref__", "_desk", "_job", "_moved", "_progress",
                 "conversation_id", "key", "source")  # fmt: skip

    def __init__(
        self,
        key: str,
        conversation_id: str | None,
        *,
        desk: Desk,
        source: str | None = None,
    ) -> None:
        self.key: Final = key
        self.source: Final = source
        """Name of the media, as in events; ``None`` for a text."""
        self.conversation_id: Final = conversation_id
        self._desk = desk
        self._job: Shared[Job] = Shared(loop=asyncio.get_running_loop())
        self._progress: tuple[int, int] | None = None
        self._moved: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        if self._job.done():
            state = "ended" if self._job.failed() else "accepted"
        else:
            state = "waiting" if self._progress is None else "uploading"
        return f"<Submission {labelled(self.key, self.source)} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Submission cannot be pickled or copied; await it and keep job.token, with which "
            "client.job(token) re-attaches"
        )

    def done(self) -> bool:
        """Say whether awaiting would return or raise at once."""
        return self._job.done()

    def __await__(self) -> Generator[Any, None, Job]:
        return result_of(self._job).__await__()

    def cancel(self) -> bool:
        """Withdraw the work; true only while surely nothing was accepted.

        After true, awaiting raises ``asyncio.CancelledError`` and the next append of the
        conversation goes on; appends to a conversation that it was to open end with
        ``AppendBlockedError``. After false, the submission runs on or has ended.
        """
        return self._desk.withdraw(self)

    async def progress(self) -> AsyncIterator[UploadProgress]:
        """Give the upload's progress as it moves, until it is accepted or fails.

        A slow reader sees the newest state, not every step. Never raises: the end of
        the submission is told by awaiting it.
        """
        given: tuple[int, int] | None = None
        while True:
            if self._progress is not None and self._progress != given:
                given = self._progress
                yield UploadProgress(*given)
            elif self._job.done():
                return
            else:
                check_loop(self._job.get_loop())
                if self._moved is None:
                    self._moved = asyncio.get_running_loop().create_future()
                await asyncio.shield(self._moved)

    # Called by the engine alone.

    def _report(self, sent: int, total: int) -> None:
        self._progress = (sent, total)
        if self._moved is not None:
            self._wake()

    def _outcome(self) -> Job | BaseException:
        """Give what it came to, once it is done."""
        if self._job.cancelled():
            return asyncio.CancelledError("the submission was withdrawn")
        return self._job.exception() or self._job.result()

    def _settle(self, outcome: Job | BaseException, *, expected: bool = False) -> None:
        """Resolve every waiter. An error that nobody awaits is logged, unless ``expected``."""
        if not self._job.done():
            if isinstance(outcome, asyncio.CancelledError):
                self._job.cancel()
            elif isinstance(outcome, BaseException):
                self._job.fail(outcome, f"submission {self.key}", expected=expected)
            else:
                self._job.set_result(outcome)
        if self._moved is not None:
            self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, None
        assert moved is not None
        moved.set_result(None)


@frozen
class JobToken:
    """What ``Job.token`` holds."""

    job_id: str
    """The job's id."""
    conversation_id: str | None
    """Its conversation, if known."""
    origin: str
    """The host that has the job."""
    since: float
    """When it was accepted, Unix time in seconds."""

    @classmethod
    def parse(cls, text: object) -> JobToken | None:
        """Read a token; ``None`` if it is not one, and so a plain job id."""
        if not isinstance(text, str) or not text.lstrip().startswith("{"):
            return None
        try:
            value = json.loads(text)
            if value["v"] != _TOKEN_VERSION:
                raise ConfigurationError(
                    f"job token of version {value['v']!r}; this release reads version "
                    f"{_TOKEN_VERSION}: upgrade symbl-aio, or give the job id itself"
                )
            job_id, conversation_id = value["job"], value["conversation"]
            origin, since = value["origin"], float(value["since"])
            if not math.isfinite(since):
                raise ValueError("since")
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError(
                "job_id looks like a job token but cannot be read; give Job.token unchanged"
            ) from None
        if not isinstance(job_id, str) or not isinstance(conversation_id, str | None):
            raise ConfigurationError("job_id looks like a job token but its ids are not strings")
        return cls(job_id, conversation_id, str(origin), since)
