"""Settings of a stream: the parameters of its start request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias, TypedDict

from attrs import field, frozen
from attrs.validators import optional

from symbl_aio._fields import check, is_a
from symbl_aio.models import JSON, User
from symbl_aio.options import Tracker, TrackerRef

__all__ = ["Redaction", "StreamSettings"]

Encoding: TypeAlias = Literal["LINEAR16", "MULAW", "FLAC", "OPUS"]
"""``LINEAR16``: 16 bits, little endian. ``OPUS``: raw packets, whole ones in each ``send``."""

InsightType: TypeAlias = Literal["question", "action_item", "follow_up", "topic"]

_flag = is_a(bool, "True or False")


@frozen(kw_only=True)
class Redaction:
    """Personal data in messages and insights of a stream (labs, English only)."""

    identify: bool = field(default=True, validator=_flag)
    """Add the entities to the messages that hold them."""
    redact: bool = field(default=True, validator=_flag)
    """Replace them in transcript and insights."""
    text: str | None = field(
        default=None,
        validator=optional(
            check(lambda v: isinstance(v, str) and 0 < len(v) <= 16, "1 to 16 characters")
        ),
    )
    """The replacement, 1 to 16 characters; the server's own default is ``****``."""


class StreamSettings(TypedDict, total=False):
    """Settings of a stream. Only those that are given are sent; ``None`` and an empty list are not.

    - ``encoding``, ``sample_rate`` (Hz): of the audio, which is mono. ``LINEAR16`` from 8,000
      to 48,000, ``FLAC`` from 16,000, ``MULAW`` 8,000, ``OPUS`` from 16,000 to 48,000. Without
      them ``LINEAR16`` at 16,000.
    - ``speaker``: a ``User``, or a mapping of the caller's own keys, which come back in events.
    - ``insight_types``: without any there are no insights and no topics.
    - ``language``: BCP-47, such as ``"en-US"``. ``title``: of the conversation.
    - ``trackers``, ``enable_all_trackers``, ``custom_vocabulary``, ``sentiment``,
      ``detect_entities``, ``redaction``, ``confidence_threshold`` (0.0 to 1.0),
      ``timezone_offset`` (minutes): as for recordings.
    - ``interim_results``: whether words come before they are final.
    - ``no_connection_timeout``: whole seconds, 0 to 1,800, for which the server keeps the
      conversation after a lost connection, and in which the client connects again; 30 without
      it, and 0 connects never again.
    - ``keep_open``: the connection stays open after ``stop``, for ``start``.
    - ``extra``: parameters without a setting of their own, under the API's names and at their
      places, such as ``{"config": {"trackers": {"interimResults": True}}}``.
    """

    speaker: User | Mapping[str, JSON] | None
    insight_types: Iterable[InsightType] | None
    encoding: Encoding | None
    sample_rate: int | None
    language: str | None
    title: str | None
    trackers: Iterable[Tracker | TrackerRef] | None
    enable_all_trackers: bool | None
    custom_vocabulary: Iterable[str] | None
    sentiment: bool | None
    detect_entities: bool | None
    redaction: Redaction | None
    confidence_threshold: float | None
    timezone_offset: int | None
    interim_results: bool | None
    no_connection_timeout: int | None
    keep_open: bool | None
    extra: Mapping[str, JSON] | None
