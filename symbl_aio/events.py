"""What happens in a client, told to whoever wants to know: metrics, traces, a progress page.

Each event is one change of state, and one DEBUG line of the logger ``symbl_aio`` with
the same fields. A failure that an observer was told of counts as heard; one that nobody
awaited, and of which no observer was told, is one ERROR line of that logger. None holds a
credential, a URL or a word that was said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import frozen

from symbl_aio.models import JobStatus


@frozen
class SubmissionQueued:
    """A submission waits for its turn. ``conversation_id``: of an append, if it is known yet.

    Told within ``submit`` or ``append``, so in the context variables of their caller.
    """

    key: str
    conversation_id: str | None


@frozen
class SubmissionStarted:
    """A submission has its turn and a slot; its first byte may go out now."""

    key: str


@frozen
class SubmissionRefused:
    """The server has no free slot (429). The submission waits again; ``limit`` is what was learned.

    Not an error: nobody is told but observers.
    """

    key: str
    limit: int


@frozen
class SubmissionAccepted:
    """The server took a submission: both ids are known."""

    key: str
    conversation_id: str
    job_id: str


@frozen
class SubmissionEnded:
    """A submission ended without a job: failed, blocked, withdrawn or of unknown outcome."""

    key: str
    error: BaseException


@frozen
class JobMoved:
    """A job has a new status."""

    job_id: str
    conversation_id: str | None
    status: JobStatus
    raw_status: str
    source: str


@frozen
class JobEnded:
    """A job is not followed any longer. ``error`` is ``None`` if it completed.

    It is a ``ClientClosedError`` if the client closed first: the job goes on.
    """

    job_id: str
    conversation_id: str | None
    error: BaseException | None


@frozen
class PollFailed:
    """A status request gave no status. The job is asked again later; ``error`` says what it was."""

    job_id: str
    error: BaseException


Event: TypeAlias = (
    SubmissionQueued
    | SubmissionStarted
    | SubmissionRefused
    | SubmissionAccepted
    | SubmissionEnded
    | JobMoved
    | JobEnded
    | PollFailed
)

Observer: TypeAlias = Callable[[Event], None]
"""Called in the event loop for each event, so it must not block. What it raises is logged."""
