"""The summary, bookmarks and call score of a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from symbl_aio.models.base import JSON, JobStatus, Model, raw_field
from symbl_aio.models.mentions import MessageRef
from symbl_aio.models.people import NOBODY, User

__all__ = ["Bookmark", "BookmarkSummary", "CallScore", "Criterion", "Progress", "SummaryItem"]


@frozen(kw_only=True)
class SummaryItem(Model):
    """One paragraph of a summary, and its source messages ("Summary" page)."""

    id: str | None = None
    """The paragraph's id."""
    text: str = ""
    """The paragraph."""
    message_refs: tuple[MessageRef, ...] = ()
    """The messages that it summarises."""
    start_time: datetime | None = None
    """When the first of them began, UTC."""
    end_time: datetime | None = None
    """When the last of them ended, UTC."""
    bookmark_id: str | None = None
    """The bookmark that it summarises; only in summaries of bookmarks."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class Bookmark(Model):
    """A marked part of a conversation ("Bookmarks" page).

    Either from ``begin_time_offset`` for ``duration``, or the messages in
    ``message_refs``.
    """

    id: str
    """The bookmark's id."""
    label: str = ""
    """Its short name."""
    description: str = ""
    """Its description, in words."""
    user: User = NOBODY
    """The author; ``NOBODY`` if unknown."""
    begin_time_offset: float | None = None
    """Where it begins: seconds from the start of the conversation."""
    duration: float | None = None
    """Its length in seconds."""
    message_refs: tuple[MessageRef, ...] = ()
    """The messages that it marks."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class BookmarkSummary(Model):
    """The summary of one bookmark."""

    bookmark_id: str | None = None
    """The bookmark's id."""
    summary: tuple[SummaryItem, ...] = ()
    """The paragraphs of its summary."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class Criterion(Model):
    """The score of a call for one criterion ("Call score" page)."""

    name: str | None = None
    """The criterion, such as ``"Objection Handling"``."""
    score: float | None = None
    """The points, in the host's own measure."""
    summary: str = ""
    """The assessment in words."""
    positive_feedback: str | None = None
    """What went well."""
    negative_feedback: str | None = None
    """What went badly."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class CallScore(Model):
    """The score of a call ("Call score" page)."""

    score: float | None = None
    """The points of the whole call, in the host's own measure."""
    summary: str = ""
    """The assessment in words."""
    criteria: tuple[Criterion, ...] = ()
    """The score for each criterion."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class Progress(Model):
    """The progress of a call score, or of its insights, on the server."""

    job_id: str | None = None
    """The id of the server's own job; not an id for ``client.job``."""
    status: JobStatus = JobStatus.UNKNOWN
    """Its status; ``UNKNOWN`` if the answer has none."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""
