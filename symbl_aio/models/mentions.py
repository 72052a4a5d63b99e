"""Entities and trackers that a conversation mentions, and the places of the mentions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from symbl_aio.models.base import JSON, Model, raw_field

__all__ = [
    "DetectedTracker",
    "Entity",
    "EntityMatch",
    "EntityValue",
    "InsightEntity",
    "InsightRef",
    "MessageRef",
    "TrackerMatch",
]


@frozen(kw_only=True)
class MessageRef(Model):
    """A message, and a place in it. ``offset`` counts characters into its text.

    A negative ``offset`` means a similar text, not the same words. The generation of the API
    decides which of the other fields are present.
    """

    id: str | None = None
    """The message's id."""
    text: str = ""
    """The message's text."""
    offset: int | None = None
    """Place of the match: characters from the start of the text; negative if only similar."""
    start_time: datetime | None = None
    """When the message began, UTC."""
    end_time: datetime | None = None
    """When the message ended, UTC."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""

    @property
    def is_exact(self) -> bool:
        """Return whether the words match exactly (Trackers page: an offset of 0 or more)."""
        return self.offset is not None and self.offset >= 0


@frozen(kw_only=True)
class InsightRef(Model):
    """An insight in which a tracker matched; ``offset`` as in ``MessageRef``."""

    id: str | None = None
    """The insight's id."""
    text: str = ""
    """The insight's text."""
    type: str | None = None
    """The kind of insight, such as ``"question"``."""
    offset: int | None = None
    """Place of the match: characters from the start of the text; negative if only similar."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class EntityValue(Model):
    """The value of an entity where the API sends an object: mostly a person."""

    id: str | None = None
    """The person's id."""
    name: str | None = None
    """The person's name."""
    user_id: str | None = None
    """The person's user id, mostly an e-mail address."""
    alias: str | None = None
    """Another name of the person."""
    assignee: bool | None = None
    """Whether the person is the assignee of the insight."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class InsightEntity(Model):
    """A person, date or span of time that a message or an insight names.

    ``offset`` counts characters into the text. Ranges (``type`` ends in ``range``) have
    ``start`` or ``end`` in place of ``value``. Times stay the text of the API,
    which has no time zone.
    """

    type: str | None = None
    """The kind, such as ``"person"``, ``"date"`` or ``"daterange"``."""
    text: str = ""
    """The words of the message."""
    offset: int | None = None
    """Place of the words: characters from the start of the text."""
    value: str | EntityValue | None = None
    """The meaning: a text, or a person; ``None`` for a range."""
    start: str | None = None
    """Start of a range, as the server writes it; no time zone."""
    end: str | None = None
    """End of a range, as the server writes it; no time zone."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class EntityMatch(Model):
    """One value of an entity, and the messages that name it.

    ``text`` has the words of the message, ``value`` their meaning ("today" and "2024-03-05");
    newer hosts send only the value. Ranges have ``start`` or ``end`` in place of it. Times are
    texts too: the API sends no time zone.
    """

    value: str | None = None
    """The meaning, such as ``"2024-03-05"``; ``None`` for a range."""
    text: str = ""
    """The words of the message; newer hosts leave them out."""
    start: str | None = None
    """Start of a range, as the server writes it; no time zone."""
    end: str | None = None
    """End of a range, as the server writes it; no time zone."""
    message_refs: tuple[MessageRef, ...] = ()
    """The messages that name it."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class Entity(Model):
    """The mentions of one kind of entity (Conversation API, "Get entities" page).

    ``type`` is the kind, such as ``person``, ``date`` or ``custom`` (then ``custom_type``
    is the caller's own name for it). Newer hosts add ``sub_type`` and ``category``
    (``"Custom"`` or ``"Managed"``) and collect all matches of a kind in ``matches``. An entity
    of an older host has one match.
    """

    id: str | None = None
    """The entity's id; newer hosts only."""
    type: str | None = None
    """The kind, such as ``"person"``, ``"date"`` or ``"custom"``."""
    sub_type: str | None = None
    """The narrower kind; newer hosts only."""
    custom_type: str | None = None
    """The caller's own kind, if ``type`` is ``"custom"``."""
    category: str | None = None
    """``"Custom"`` or ``"Managed"``; newer hosts only."""
    matches: tuple[EntityMatch, ...] = ()
    """All matches of the kind."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class TrackerMatch(Model):
    """A term of a tracker's vocabulary that was found, exactly or in other words."""

    type: str | None = None
    """The kind of match, such as ``"vocabulary"``."""
    value: str | None = None
    """The phrase of the tracker's vocabulary."""
    message_refs: tuple[MessageRef, ...] = ()
    """The messages in which it was found."""
    insight_refs: tuple[InsightRef, ...] = ()
    """The insights in which it was found."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class DetectedTracker(Model):
    """A tracker that was found in the conversation ("Get trackers" page)."""

    id: str | None = None
    """The tracker's id."""
    name: str | None = None
    """The tracker's name."""
    matches: tuple[TrackerMatch, ...] = ()
    """Each phrase that was found, and where."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""
