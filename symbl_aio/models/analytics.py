"""Who spoke for how long and how fast. Times are seconds, shares are percent (0 to 100)."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from symbl_aio.models.base import JSON, raw_field


@frozen(kw_only=True)
class Metric:
    """One measure of the whole: ``total_silence``, ``total_talk_time`` or ``total_overlap``."""

    type: str | None = None
    percent: float | None = None
    seconds: float | None = None
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class TimeShare:
    """How long one member spoke or listened, in seconds and in percent."""

    percent: float | None = None
    seconds: float | None = None
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class OverlapMember:
    """A member who spoke at the same time as another, and for how long."""

    id: str | None = None
    name: str | None = None
    user_id: str | None = None
    percent: float | None = None
    seconds: float | None = None
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class Overlap:
    """How long a member spoke while others did, ``duration`` in seconds."""

    duration: float | None = None
    members: tuple[OverlapMember, ...] = ()
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class MemberAnalytics:
    """The speech of one member; what nobody could be found for is booked under an unknown one."""

    id: str | None = None
    name: str | None = None
    email: str | None = None
    user_id: str | None = None
    words_per_minute: float | None = None
    talk_time: TimeShare | None = None
    listen_time: TimeShare | None = None
    overlap: Overlap | None = None
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class Analytics:
    """The measures of a conversation ("Get analytics" page). Percentages need not add to 100."""

    metrics: tuple[Metric, ...] = ()
    members: tuple[MemberAnalytics, ...] = ()
    raw: Mapping[str, JSON] = raw_field()

    def metric(self, type: str) -> Metric | None:
        """Give the measure of that type, such as ``"total_silence"``; ``None`` if not told."""
        return next((metric for metric in self.metrics if metric.type == type), None)
