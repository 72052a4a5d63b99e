"""Speaking times and pace of each member. Times are seconds, shares are percent (0 to 100)."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from symbl_aio.models.base import JSON, Model, raw_field

__all__ = ["Analytics", "MemberAnalytics", "Metric", "Overlap", "OverlapMember", "TimeShare"]


@frozen(kw_only=True)
class Metric(Model):
    """One measure of the whole: ``total_silence``, ``total_talk_time`` or ``total_overlap``."""

    type: str | None = None
    """Which measure it is, such as ``"total_silence"``."""
    percent: float | None = None
    """Share of the whole conversation, 0 to 100."""
    seconds: float | None = None
    """Its length in seconds."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class TimeShare(Model):
    """How long one member spoke or listened, in seconds and in percent."""

    percent: float | None = None
    """Share of the whole conversation, 0 to 100."""
    seconds: float | None = None
    """Length in seconds."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class OverlapMember(Model):
    """A member who spoke at the same time as another, and for how long."""

    id: str | None = None
    """The other member's id."""
    name: str | None = None
    """The other member's name."""
    user_id: str | None = None
    """The other member's user id, mostly an e-mail address."""
    percent: float | None = None
    """Share of the conversation in which both spoke, 0 to 100."""
    seconds: float | None = None
    """How long both spoke, in seconds."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class Overlap(Model):
    """How long a member spoke while others did, ``duration`` in seconds."""

    duration: float | None = None
    """How long the member spoke while others did, in seconds."""
    members: tuple[OverlapMember, ...] = ()
    """The others, each with the time of its own."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class MemberAnalytics(Model):
    """The speech of one member. Speech without a known speaker counts for an unknown member."""

    id: str | None = None
    """The member's id, as in ``Conversation.members``."""
    name: str | None = None
    """The member's name."""
    email: str | None = None
    """The member's e-mail address; some hosts only."""
    user_id: str | None = None
    """The member's user id, mostly an e-mail address."""
    words_per_minute: float | None = None
    """Pace: words a minute while the member spoke."""
    talk_time: TimeShare | None = None
    """How long the member spoke."""
    listen_time: TimeShare | None = None
    """How long the member listened."""
    overlap: Overlap | None = None
    """How long the member spoke while others did; ``None`` if never."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class Analytics(Model):
    """The measures of a conversation ("Get analytics" page). Percentages need not add to 100."""

    metrics: tuple[Metric, ...] = ()
    """The measures of the whole conversation."""
    members: tuple[MemberAnalytics, ...] = ()
    """The measures of each member."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""

    def metric(self, type: str) -> Metric | None:
        """Return the metric of that type, such as ``"total_silence"``; ``None`` if absent."""
        return next((metric for metric in self.metrics if metric.type == type), None)
