"""What was named in a conversation, and where: entities and trackers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from symbl_aio.models.base import JSON, raw_field


@frozen(kw_only=True)
class MessageRef:
    """A message, and the place in it. ``offset`` counts characters into its text.

    A negative ``offset`` means that the message says something similar, not the very
    words. Which of the other fields are there depends on the API's generation.
    """

    id: str | None = None
    text: str = ""
    offset: int | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    raw: Mapping[str, JSON] = raw_field()

    @property
    def is_exact(self) -> bool:
        """Say whether the very words were said (Trackers page: any offset that is not negative)."""
        return self.offset is not None and self.offset >= 0


@frozen(kw_only=True)
class InsightRef:
    """An insight in which a tracker matched; ``offset`` as in ``MessageRef``."""

    id: str | None = None
    text: str = ""
    type: str | None = None
    offset: int | None = None
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class EntityValue:
    """What an entity stands for, where the API sends an object: mostly a person."""

    id: str | None = None
    name: str | None = None
    user_id: str | None = None
    alias: str | None = None
    assignee: bool | None = None
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class InsightEntity:
    """Something named in a message or an insight: a person, a date, a span of time.

    ``offset`` counts characters into the text. Ranges (``type`` ends in ``range``) have
    ``start`` or ``end`` in place of ``value``. Times stay the text that the API sends,
    since it tells no time zone.
    """

    type: str | None = None
    text: str = ""
    offset: int | None = None
    value: str | EntityValue | None = None
    start: str | None = None
    end: str | None = None
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class EntityMatch:
    """One thing that an entity stands for, and the messages that name it.

    ``text`` is what was said, ``value`` what is meant ("today" and "2024-03-05"); newer
    answers give the value alone. Ranges have ``start`` or ``end`` in place of it. All
    are texts, times too: the API tells no time zone.
    """

    value: str | None = None
    text: str = ""
    start: str | None = None
    end: str | None = None
    message_refs: tuple[MessageRef, ...] = ()
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class Entity:
    """Something of a kind that the conversation names (Conversation API, "Get entities" page).

    ``type`` is the kind, such as ``person``, ``date`` or ``custom`` (then ``custom_type``
    is the caller's own word for it). Newer hosts put ``sub_type`` and ``category``
    (``"Custom"`` or ``"Managed"``) beside it and gather all that was found of a kind in
    ``matches``; the answers of older ones tell one thing each, and have one match.
    """

    id: str | None = None
    type: str | None = None
    sub_type: str | None = None
    custom_type: str | None = None
    category: str | None = None
    matches: tuple[EntityMatch, ...] = ()
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class TrackerMatch:
    """A term of a tracker's vocabulary that was found, exactly or in other words."""

    type: str | None = None
    value: str | None = None
    message_refs: tuple[MessageRef, ...] = ()
    insight_refs: tuple[InsightRef, ...] = ()
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class DetectedTracker:
    """A tracker that was found in the conversation ("Get trackers" page)."""

    id: str | None = None
    name: str | None = None
    matches: tuple[TrackerMatch, ...] = ()
    raw: Mapping[str, JSON] = raw_field()
