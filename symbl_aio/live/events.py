"""Events of a stream, a subscription or a call, each a frozen value.

The server's events keep their JSON in ``raw``; an event of an unknown kind is an
``UnknownEvent``, never an error. ``Gap`` and ``Missed`` are this client's own: they state what
is not in the events.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar, TypeAlias

from attrs import field, frozen

from symbl_aio.models import (
    JSON,
    DetectedTracker,
    Entity,
    Insight,
    Message,
    Topic,
    User,
)
from symbl_aio.models.base import NOTHING, Model, as_json, raw_field
from symbl_aio.models.people import NOBODY

__all__ = [
    "EntityEvent",
    "ErrorEvent",
    "Gap",
    "InsightEvent",
    "LiveEvent",
    "MessageEvent",
    "Missed",
    "Recognition",
    "SpokenWord",
    "StateEvent",
    "TopicEvent",
    "TrackerEvent",
    "UnknownEvent",
]


class Described(Model):
    """Base of all events: each can be passed on as JSON."""

    __slots__ = ()

    kind: ClassVar[str]
    """A short word for the class, such as ``"recognition"``."""

    def as_dict(self) -> dict[str, JSON]:
        """Return ``kind`` and the fields, without ``raw``, as plain JSON values."""
        fields = as_json(self)
        assert isinstance(fields, dict)
        return {"kind": self.kind, **fields}

    def to_json(self) -> str:
        """Return ``as_dict`` as one line of JSON, for a browser or a log."""
        text = json.dumps(self.as_dict(), ensure_ascii=False, separators=(",", ":"))
        # Half of a surrogate pair, which the server may send, has no UTF-8.
        return text.encode(errors="replace").decode()


@frozen
class SpokenWord(Model):
    """One word of a recognition."""

    text: str
    """The word itself."""
    start: float | None = None
    """When it began: seconds from the start of the audio."""
    end: float | None = None
    """When it ended: seconds from the start of the audio."""


@frozen(kw_only=True)
class Recognition(Described):
    """Words as they are spoken. Until ``is_final`` the next one replaces it."""

    kind: ClassVar[str] = "recognition"

    text: str = ""
    """The words, with punctuation if the server sends it."""
    is_final: bool = False
    """Whether the words will not change any more."""
    confidence: float | None = None
    """Confidence of the recognition, 0.0 to 1.0."""
    words: tuple[SpokenWord, ...] = ()
    """Each word with its time; the server may leave them out of results that are not final."""
    speaker: User = NOBODY
    """The speaker, as the stream's start named it."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class MessageEvent(Described):
    """A finished sentence of the transcript.

    Its ``message.id`` is ``""`` if the server sends none.
    """

    kind: ClassVar[str] = "message"

    message: Message
    """The sentence, as the Conversation API returns it later."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class InsightEvent(Described):
    """A question, an action item or a follow-up: ``Question``, ``ActionItem``, ``FollowUp``."""

    kind: ClassVar[str] = "insight"

    insight: Insight
    """The insight, of the class of its kind."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class TopicEvent(Described):
    """A subject of the conversation so far."""

    kind: ClassVar[str] = "topic"

    topic: Topic
    """The topic, with the ids of its messages."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class TrackerEvent(Described):
    """A tracker was found in the last sentences."""

    kind: ClassVar[str] = "tracker"

    tracker: DetectedTracker
    """The tracker, and where it was found."""
    is_final: bool | None = None
    """Whether the words were final; ``None`` if the server leaves it open."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class EntityEvent(Described):
    """An entity was named (``detect_entities``)."""

    kind: ClassVar[str] = "entity"

    entity: Entity
    """The entity, and where it was named."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class ErrorEvent(Described):
    """An error that the server reported and after which the stream continues."""

    kind: ClassVar[str] = "error"

    message: str = ""
    """The server's own words."""
    details: str = ""
    """More of them, if the server sends any."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class StateEvent(Described):
    """A step of the server's session, such as ``"started_listening"``."""

    kind: ClassVar[str] = "state"

    state: str
    """The server's word: ``"conversation_created"``, ``"conversation_completed"`` and others."""
    conversation_id: str | None = None
    """The conversation, if the event names it."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class UnknownEvent(Described):
    """An event that this version does not know, or cannot decode."""

    kind: ClassVar[str] = "unknown"

    type: str = ""
    """The server's word for it; ``""`` if it has none."""
    raw: Mapping[str, JSON] = field(default=NOTHING, eq=False)
    """The JSON object as received; a frame that is none is under ``"text"``."""


@frozen(kw_only=True)
class Gap(Described):
    """Audio may not have reached the server, since the connection was lost.

    Or since the server completed the conversation without a stop request. Audio counts as
    received once the server has answered a ping that was sent after it. The rest is neither
    counted as received nor sent again: the server may have received it.
    """

    kind: ClassVar[str] = "gap"

    seconds: float
    """Seconds without a connection; one that fell silent counts from its last frame."""
    bytes_lost: int
    """Bytes of audio at most that were handed over and may not have been received."""
    position: int
    """Bytes of audio before the first of them, from the start of the stream."""
    audio_seconds: float | None = None
    """Length of ``bytes_lost`` in seconds; ``None`` for a compressed encoding."""


@frozen(kw_only=True)
class Missed(Described):
    """Events were dropped here: they came faster than they were taken from the iterator.

    The Conversation API has all that the server sent in them.
    """

    kind: ClassVar[str] = "missed"

    events: int
    """Number of dropped events."""


LiveEvent: TypeAlias = (
    Recognition
    | MessageEvent
    | InsightEvent
    | TopicEvent
    | TrackerEvent
    | EntityEvent
    | ErrorEvent
    | StateEvent
    | UnknownEvent
    | Gap
    | Missed
)
"""Every event of ``async for event in stream``. ``kind`` is a short word for its class."""
