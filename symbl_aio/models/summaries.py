"""A conversation in short: its summary, its bookmarks, its score."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from symbl_aio.models.base import JSON, JobStatus, raw_field
from symbl_aio.models.mentions import MessageRef
from symbl_aio.models.people import NOBODY, User


@frozen(kw_only=True)
class SummaryItem:
    """One paragraph of a summary, and the messages it is drawn from ("Summary" page).

    ``bookmark_id`` is told in the summaries of bookmarks.
    """

    id: str | None = None
    text: str = ""
    message_refs: tuple[MessageRef, ...] = ()
    start_time: datetime | None = None
    end_time: datetime | None = None
    bookmark_id: str | None = None
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class Bookmark:
    """A marked stretch of a conversation.

    Either from ``begin_time_offset`` for ``duration``, both seconds, or the messages in
    ``message_refs``.
    """

    id: str | None = None
    label: str = ""
    description: str = ""
    user: User = NOBODY
    begin_time_offset: float | None = None
    duration: float | None = None
    message_refs: tuple[MessageRef, ...] = ()
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class BookmarkSummary:
    """The summary of one bookmark."""

    bookmark_id: str | None = None
    summary: tuple[SummaryItem, ...] = ()
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class Criterion:
    """What one criterion of a call score found: its ``score``, in the host's own measure."""

    name: str | None = None
    score: float | None = None
    summary: str = ""
    positive_feedback: str | None = None
    negative_feedback: str | None = None
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class CallScore:
    """How good a call was ("Call score" page): ``score`` in the host's own measure."""

    score: float | None = None
    summary: str = ""
    criteria: tuple[Criterion, ...] = ()
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class Progress:
    """How far the making of a call score or of its insights has come."""

    job_id: str | None = None
    status: JobStatus = JobStatus.UNKNOWN
    raw: Mapping[str, JSON] = raw_field()
