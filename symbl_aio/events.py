"""Events that a client emits to observers: for metrics, traces, a progress page.

Each event is one change of state, and one DEBUG line of the logger ``symbl_aio`` with
the same fields. A failure emitted to an observer counts as handled; a failure that was never
awaited, without any observer, is one ERROR line of that logger. No event holds a credential,
a usable link, or a word of the content.

``source`` names the submitted media, for a person to recognise it: the name of a file, the
host and last part of a URL (never its query or user), else the caller's ``name`` of the
conversation or ``key``. A ``Text`` has none, and neither has a job attached by its id.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal, TypeAlias

from attrs import frozen

from symbl_aio.models import JobStatus
from symbl_aio.models.base import Model

__all__ = [
    "Drain",
    "Event",
    "ItemEnded",
    "JobEnded",
    "JobEvent",
    "JobStatusChanged",
    "Observer",
    "PollFailed",
    "Stats",
    "SubmissionAccepted",
    "SubmissionEnded",
    "SubmissionQueued",
    "SubmissionRefused",
    "SubmissionStarted",
    "UploadProgress",
]

StatusSource: TypeAlias = Literal["submit", "poll", "webhook"]
"""How a status was learned: from the submission's answer, a poll, or a poll after a webhook."""


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


Drain: TypeAlias = Literal["uploads", "jobs", "none"]
"""How long closing waits: for uploads in progress, for their jobs as well, or not at all."""


@frozen
class Stats(Model):
    """Counts of a client's work at this moment."""

    queued: int
    """Submissions that wait for their turn or a slot."""
    uploading: int
    """Submissions on their way to the server."""
    jobs: int
    """Jobs that are followed, and have not ended."""
    limit: int
    """How many jobs the account may have at once, as far as learned."""
    oldest_job: float | None
    """Age of the oldest job in seconds; ``None`` without jobs."""
    polls: int
    """Status requests since the client started."""
    polls_per_second: float
    """Status requests a second, in the last ten seconds."""
    polls_failing_for: float | None
    """Seconds since every poll fails; ``None`` while they work."""
    halted: tuple[str, ...]
    """Ids of conversations whose appends are halted until ``resume_appends()``."""


@frozen
class SubmissionQueued:
    """A submission was queued. ``conversation_id``: of an append, if it is known yet.

    Emitted within ``submit`` or ``append``, so in the context variables of their caller.
    """

    key: str
    """The submission's key."""
    conversation_id: str | None
    """Of an append: the conversation, if its id is known yet."""
    source: str | None = None
    """Name of the submitted media, if it has one."""


@frozen
class SubmissionStarted:
    """A submission has its turn and a slot; its upload starts."""

    key: str
    """The submission's key."""
    source: str | None = None
    """Name of the submitted media, if it has one."""


@frozen
class SubmissionRefused:
    """The server has no free slot (429). It is requeued; ``limit`` is the learned limit.

    Not an error: it is emitted to observers alone.
    """

    key: str
    """The submission's key."""
    limit: int
    """Unfinished jobs that the account may have, as far as learned."""
    source: str | None = None
    """Name of the submitted media, if it has one."""


@frozen
class SubmissionAccepted:
    """The server accepted a submission: both ids are known."""

    key: str
    """The submission's key."""
    conversation_id: str
    """The conversation's id."""
    job_id: str
    """The job's id."""
    token: str
    """The job's token: ``client.job(token)`` re-attaches, in any process."""
    source: str | None = None
    """Name of the submitted media, if it has one."""


@frozen
class SubmissionEnded:
    """A submission ended without a job: failed, blocked, withdrawn or ambiguous."""

    key: str
    """The submission's key."""
    error: BaseException
    """The reason; ``CancelledError`` if it was withdrawn."""
    source: str | None = None
    """Name of the submitted media, if it has one."""


@frozen
class JobStatusChanged:
    """A job has a new status."""

    job_id: str
    """The job's id."""
    conversation_id: str | None
    """The conversation's id, if known."""
    status: JobStatus
    """The new status."""
    raw_status: str
    """The server's own word for it."""
    source: str
    """How it was learned: ``"submit"``, ``"poll"`` or ``"webhook"``."""
    source_name: str | None = None
    """Name of the submitted media, ``source`` in other events."""


@frozen
class JobEnded:
    """A job is not followed any longer. ``error`` is ``None`` if it completed.

    It is a ``ClientClosedError`` if the client closed first: the job keeps running.
    """

    job_id: str
    """The job's id."""
    conversation_id: str | None
    """The conversation's id, if known."""
    error: BaseException | None
    """The reason why it did not complete; else ``None``."""
    source: str | None = None
    """Name of the submitted media, if it has one."""


@frozen
class PollFailed:
    """A poll failed with ``error``. The job is polled again later."""

    job_id: str
    """The job's id."""
    error: BaseException
    """The failure of the poll."""
    source: str | None = None
    """Name of the submitted media, if it has one."""


@frozen
class ItemEnded:
    """This worker (``durable.Worker``) ended an item of an outbox.

    Not emitted for an item that an operator discards, or that another item blocks.
    """

    key: str
    """The item's key."""
    conversation: str
    """Key of the item that opens the conversation, or the conversation's id."""
    state: str
    """Its final state, a value of ``durable.ItemState`` such as ``"completed"``."""
    job_id: str | None
    """The job's id, if it was accepted."""
    conversation_id: str | None
    """The conversation's id, if it is known."""
    error: str | None
    """The reason for the final state, in words; else ``None``."""
    queued_at: float
    """When it was queued, Unix time in seconds of the database's clock."""
    accepted_at: float | None
    """When the server accepted it, Unix time in seconds."""
    ended_at: float
    """When it ended, Unix time in seconds."""
    traceparent: str | None
    """Span in which it was queued (W3C Trace Context), in any process."""


Event: TypeAlias = (
    SubmissionQueued
    | SubmissionStarted
    | SubmissionRefused
    | SubmissionAccepted
    | SubmissionEnded
    | JobStatusChanged
    | JobEnded
    | PollFailed
)

Observer: TypeAlias = Callable[[Event], None]
"""Callback for each event, in the event loop, so it must not block. Its errors are logged."""
