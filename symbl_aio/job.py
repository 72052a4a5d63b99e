"""The handles a caller holds: a ``Submission`` until the server accepts it, then a ``Job``.

Both are views. The engine does the work and settles them; awaiting one, twice or from
many tasks, or cancelling the await, changes nothing in the engine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, NoReturn, Protocol, TypeAlias

from attrs import frozen

import symbl_aio  # for annotations alone: their names are imported when evaluated
from symbl_aio._detached_handles import DetachedBackend
from symbl_aio._detached_handles import JobToken as JobToken
from symbl_aio._error_classes import ConfigurationError, Sent, SymblError, TransportError
from symbl_aio._fields import require_seconds
from symbl_aio._protocol.answers import Answer
from symbl_aio._protocol.calls import Call
from symbl_aio._shared_futures import Shared
from symbl_aio._source_names import labelled as labelled
from symbl_aio.events import JobEvent, StatusSource, UploadProgress
from symbl_aio.media import MediaLike
from symbl_aio.models import JobStatus

__all__ = [
    "Acceptance",
    "AmbiguousSubmissionError",
    "ClientClosedError",
    "Job",
    "JobError",
    "JobFailedError",
    "JobLostError",
    "JobTimeoutError",
    "Submission",
]


class ClientClosedError(SymblError):
    """The client is not open: not started yet, closing, or closed.

    ``job`` is the accepted job whose wait the closing ended; ``job.token`` re-attaches to it
    later. Without one, a submission was surely not accepted, and a change in flight (a
    bookmark, a tracker) may have been made.
    """

    def __init__(self, message: str, job: Job | None = None) -> None:
        super().__init__(message)
        self.job = job


class AmbiguousSubmissionError(TransportError):
    """The whole submission was handed over and no usable answer came back.

    The server may have accepted it, so it is never sent again. ``key`` is the
    submission's key. The appends queued behind it end with ``AppendBlockedError``,
    until ``conversation.resume_appends()``.
    """

    def __init__(
        self,
        message: str,
        *,
        key: str,
        reconcile: Callable[[], Awaitable[Acceptance]] | None,
        sent: Sent = "maybe",
    ) -> None:
        super().__init__(message, sent)
        self.key = key
        self._reconcile = reconcile

    def _state(self) -> dict[str, object]:
        # It holds the client, which cannot be pickled.
        return {**self.__dict__, "_reconcile": None}

    async def reconcile(self) -> Acceptance:
        """Search for evidence that the server accepted the submission.

        Returns an ``Acceptance`` on positive evidence. Raises ``StillAmbiguousError``
        without it: absence proves nothing, so the result is never "not accepted". Sends
        only reads, and raises what they raise; calling it again, or cancelling it, is safe.
        The client must be open (``ClientClosedError``). A copy of the error, by ``pickle``
        or ``copy``, has no client to read with (``ConfigurationError``).
        """
        if self._reconcile is None:
            raise ConfigurationError(
                f"this is a copy of the error of submission {self.key}, which has no client to "
                "look for proof with; call reconcile() of the error that the client raised"
            )
        return await self._reconcile()


class JobError(SymblError):
    """An accepted job did not complete. ``job`` is that job."""

    def __init__(self, message: str, job: Job) -> None:
        super().__init__(message)
        self.job = job


class JobFailedError(JobError):
    """The server reports that the job failed. ``reason``: its sentence about it, or ``None``.

    The API has no place for a reason (Job API page); the local server adds it.
    """

    reason: str | None = None


class JobTimeoutError(JobError, TimeoutError):
    """The wait timed out; the job keeps running and is still polled."""


class JobLostError(JobError):
    """The job cannot be followed any longer: unknown to the server, refused, or too old.

    ``__cause__`` is the error of the last poll, if there was one.
    """


class HandleBackend(Protocol):
    """The client as its handles use it: jobs, submissions, conversations, management."""

    origin: str

    def check_open(self) -> None: ...
    async def call(self, call: Call, *, repeatable: bool = True) -> Answer: ...
    def submit(
        self, media: MediaLike, options: symbl_aio.Options | None, *, key: str | None, to: str
    ) -> Submission: ...
    def resume_appends(self, conversation_id: str) -> None: ...
    def jobs_of(self, conversation_id: str) -> Sequence[Job]: ...
    def follow(self, job: Job) -> None: ...
    async def poll(self, job: Job) -> None: ...
    def withdraw(self, submission: Submission) -> bool: ...
    def conversation(self, conversation_id: str | None) -> symbl_aio.Conversation: ...


_Transitions: TypeAlias = tuple[tuple[JobStatus, str, float, StatusSource], ...]  # Unix seconds


class Job:
    """An accepted job of the server, followed by the client's one poller.

    ``await job`` returns its ``Conversation`` once the job is completed. It raises
    ``JobFailedError`` if it failed, ``JobLostError`` if it can no longer be followed,
    ``ClientClosedError`` if the client closed first. Any number of tasks may wait;
    cancelling one affects neither the job nor the other tasks. The API has no call
    that cancels a job (Job API page), so there is no ``cancel`` here.

    A copy, by ``pickle`` or ``copy``, is detached: it has ids, ``status`` and ``token``, and
    all that needs a client raises ``ConfigurationError``. ``client.job(job.token)`` returns
    a handle that is followed.
    """

    __slots__ = ("__weakref__", "_backend", "_changed", "_events", "_is_followed", "_outcome",
                 "_since", "conversation_id", "id", "source")  # fmt: skip

    def __init__(
        self,
        id: str,
        conversation_id: str | None,
        *,
        backend: HandleBackend,
        since: float | None = None,
        source: str | None = None,
    ) -> None:
        self.id: Final = id
        self.source: Final = source
        """Name of the media, as in events; ``None`` for a text, or a job attached by its id."""
        self.conversation_id = conversation_id
        """Id of the job's conversation; ``None`` as long as only the job id is known."""
        self._backend = backend
        self._since = time.time() if since is None else since
        self._events: _Transitions = ()
        # No poller follows a detached job, so its end is never learned.
        detached = isinstance(backend, DetachedBackend)
        self._outcome: Shared[None] | None = None if detached else Shared()
        self._changed: asyncio.Future[None] | None = None
        self._is_followed = False

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.status.value} conversation={self.conversation_id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        origin, since = self._backend.origin, self._since
        return _detached, (self.id, self.conversation_id, origin, since, self._events)

    @property
    def status(self) -> JobStatus:
        """The last status learned; no I/O. ``UNKNOWN`` before the first."""
        return self._events[-1][0] if self._events else JobStatus.UNKNOWN

    @property
    def conversation(self) -> symbl_aio.Conversation:
        """The conversation the job adds to. Before completion its insights are incomplete."""
        return self._backend.conversation(self.conversation_id)

    @property
    def token(self) -> str:
        """A small JSON text with which ``client.job(token)`` re-attaches, in any process.

        Contains ids and the API's origin, no secret.
        """
        return JobToken(self.id, self.conversation_id, self._backend.origin, self._since).to_json()

    def done(self) -> bool:
        """Return whether awaiting would return or raise at once."""
        return self._outcome is None or self._outcome.done()

    def __await__(self) -> Generator[Any, None, symbl_aio.Conversation]:
        return self.wait().__await__()

    async def wait(self, *, timeout: float | None = None) -> symbl_aio.Conversation:
        """Wait until the job is finished, at most ``timeout`` seconds.

        Raises as awaiting the job does, and ``JobTimeoutError``, which leaves the job
        running and followed.
        """
        if timeout is not None:
            require_seconds("timeout", timeout)
        self._follow()
        assert self._outcome is not None
        if timeout is None:
            await self._outcome.wait()
            return self.conversation
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                await self._outcome.wait()
        except TimeoutError:
            if limit.expired():
                raise JobTimeoutError(
                    f"job {self.id} was {self.status.value} after {timeout} s", self
                ) from None
            raise
        return self.conversation

    async def refresh(self) -> JobStatus:
        """Poll the job now, outside of the poller's schedule, and return its status.

        Raises ``TransportError`` or ``APIError`` when the poll failed; the job is followed
        as before.
        """
        if self._outcome is None or not self._outcome.done():
            await self._backend.poll(self)
        return self.status

    async def events(self) -> AsyncIterator[JobEvent]:
        """Yield every transition, starting with those that already happened.

        Stops after ``COMPLETED`` or ``FAILED``; raises ``JobLostError`` or
        ``ClientClosedError`` if the job is no longer followed before that.
        """
        self._follow()
        assert self._outcome is not None
        given = 0
        while True:
            while given < len(self._events):
                status, raw_status, at, source = self._events[given]
                given += 1
                yield JobEvent(status, raw_status, datetime.fromtimestamp(at, UTC), source)
            if self._outcome.done():
                if self.status.is_terminal:
                    self._outcome.exception()  # the caller saw FAILED: mark it as retrieved
                else:
                    self._outcome.result()
                return
            self._outcome.check_loop()
            if self._changed is None:
                self._changed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._changed)

    def _follow(self) -> None:
        if not self._is_followed:
            self._backend.follow(self)

    # The engine alone calls the methods below.

    def _advance(self, status: JobStatus, raw_status: str, source: StatusSource) -> bool:
        """Record a status; return whether it was a transition."""
        if self._events:
            last, last_raw, _, _ = self._events[-1]
            if last_raw == raw_status or last.is_terminal:
                return False
        event = (status, raw_status, time.time(), source)
        self._events = (*self._events, event)
        if self._changed is not None:
            self._wake()
        return True

    def _settle(self, error: BaseException | None = None, *, expected: bool = False) -> None:
        """Resolve every waiter. An error that is never awaited is logged, unless ``expected``."""
        assert self._outcome is not None
        if not self._outcome.done():
            if error is None:
                self._outcome.set_result(None)
            else:
                self._outcome.fail(error, f"job {self.id}", expected=expected)
        if self._changed is not None:
            self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, None
        assert changed is not None
        changed.set_result(None)


def _detached(
    id: str, conversation_id: str | None, origin: str, since: float, events: _Transitions
) -> Job:
    backend = DetachedBackend("job", "client.job(job.token) gives one that does", origin)
    job = Job(id, conversation_id, backend=backend, since=since)
    job._events = events
    return job


@frozen
class Acceptance:
    """Evidence that the server accepted a submission, and ``how`` it was found."""

    conversation_id: str | None
    """The conversation; ``None`` if the proof names only the job."""
    job: Job | None
    """The job; ``None`` if the proof names only the conversation."""
    how: Literal["webhook", "name", "content"]
    """A webhook call, the name of the conversation, or its words."""


class Submission:
    """A queued submission, which the server has not accepted yet.

    ``await submission`` returns the ``Job`` once the server accepted it, or raises the error
    that prevented it. Cancelling the await leaves the submission queued or running;
    ``cancel()`` withdraws it.
    """

    __slots__ = ("__weakref__", "_backend", "_job", "_moved", "_progress",
                 "conversation_id", "key", "source")  # fmt: skip

    def __init__(
        self,
        key: str,
        conversation_id: str | None,
        *,
        backend: HandleBackend,
        source: str | None = None,
    ) -> None:
        self.key: Final = key
        self.source: Final = source
        """Name of the media, as in events; ``None`` for a text."""
        self.conversation_id: Final = conversation_id
        self._backend = backend
        self._job: Shared[Job] = Shared()
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
        """Return whether awaiting would return or raise at once."""
        return self._job.done()

    def __await__(self) -> Generator[Any, None, Job]:
        return self._job.wait().__await__()

    def cancel(self) -> bool:
        """Withdraw the submission; true only while surely nothing was accepted.

        After true, awaiting raises ``asyncio.CancelledError`` and the next append of the
        conversation starts; appends to a conversation that it was to create end with
        ``AppendBlockedError``. After false, the submission continues or has ended.
        """
        return self._backend.withdraw(self)

    async def progress(self) -> AsyncIterator[UploadProgress]:
        """Yield the upload's progress until the submission is accepted or fails.

        A slow reader gets the newest state, not every step. Never raises: await the
        submission for its outcome.
        """
        given: tuple[int, int] | None = None
        while True:
            if self._progress is not None and self._progress != given:
                given = self._progress
                yield UploadProgress(*given)
            elif self._job.done():
                return
            else:
                self._job.check_loop()
                if self._moved is None:
                    self._moved = asyncio.get_running_loop().create_future()
                await asyncio.shield(self._moved)

    # The engine alone calls the methods below.

    def _report(self, sent: int, total: int) -> None:
        self._progress = (sent, total)
        if self._moved is not None:
            self._wake()

    def _outcome(self) -> Job | BaseException:
        """Return the job, or the error; call it once the submission is done."""
        if self._job.cancelled():
            return asyncio.CancelledError("the submission was withdrawn")
        return self._job.exception() or self._job.result()

    def _settle(self, outcome: Job | BaseException, *, expected: bool = False) -> None:
        """Resolve every waiter. An error that is never awaited is logged, unless ``expected``."""
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
