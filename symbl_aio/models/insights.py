"""Insights of a conversation: topics, questions, action items, follow-ups, intents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from symbl_aio.models.base import JSON, Model, raw_field
from symbl_aio.models.mentions import InsightEntity, MessageRef
from symbl_aio.models.people import NOBODY, User
from symbl_aio.models.speech import Phrase, Sentiment

__all__ = [
    "AbstractTopic",
    "ActionItem",
    "ComprehensiveActionItem",
    "FollowUp",
    "Insight",
    "Intent",
    "ParentRef",
    "Question",
    "Topic",
]


@frozen(kw_only=True)
class ParentRef(Model):
    """The topic above another one, named by its text alone."""

    text: str = ""
    """The parent topic's text."""
    type: str | None = None
    """Always ``"topic"`` so far."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class Topic(Model):
    """A subject of the conversation ("Get topics" page)."""

    id: str | None = None
    """The topic's id; some hosts give none."""
    text: str = ""
    """The topic, a word or a few."""
    type: str | None = None
    """Always ``"topic"`` so far."""
    score: float | None = None
    """How important it is in the conversation, 0.0 to 1.0."""
    message_ids: tuple[str, ...] = ()
    """Ids of the messages about it."""
    parent_refs: tuple[ParentRef, ...] = ()
    """The topics above it; only with ``topics(parent_refs=True)``."""
    sentiment: Sentiment | None = None
    """The sentiment towards it; only with ``topics(sentiment=True)``."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class AbstractTopic(Model):
    """A subject in the server's own words ("Abstract topics" page, labs)."""

    id: str | None = None
    """The topic's id."""
    text: str = ""
    """The topic in a few words, not necessarily those of a message."""
    type: str | None = None
    """Always ``"abstract_topic"`` so far."""
    score: float | None = None
    """How important it is in the conversation, 0.0 to 1.0."""
    message_ids: tuple[str, ...] = ()
    """Ids of the messages about it."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class Insight(Model):
    """The common base of questions, action items and follow-ups ("Get insights" page).

    ``sender`` is always a ``User``, perhaps without a name.
    """

    id: str
    """The insight's id."""
    text: str = ""
    """The insight in one sentence."""
    type: str | None = None
    """The kind of insight: ``"question"``, ``"action_item"`` or ``"follow_up"``."""
    score: float | None = None
    """How sure the server is, 0.0 to 1.0."""
    message_ids: tuple[str, ...] = ()
    """Ids of the messages from which it was drawn."""
    sender: User = NOBODY
    """The speaker; ``NOBODY`` if unknown."""
    entities: tuple[InsightEntity, ...] = ()
    """The people, dates and spans of time that the text names."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class Question(Insight):
    """A question from the conversation ("Get questions" page)."""


@frozen(kw_only=True)
class _Task(Insight):
    """The common part of action items and follow-ups."""

    assignee: User | None = None
    """The person who is to do it; ``None`` if unknown."""
    due_by: datetime | None = None
    """The due time, UTC; ``None`` if the conversation names none."""
    definitive: bool | None = None
    """Whether it is certain who does what; ``None`` if unknown."""
    phrases: tuple[Phrase, ...] = ()
    """The phrases that express it; only with ``detect_phrases``."""


@frozen(kw_only=True)
class ActionItem(_Task):
    """Something to be done ("Get action items" page)."""


@frozen(kw_only=True)
class ComprehensiveActionItem(ActionItem):
    """An action item in the server's own words ("Comprehensive action items" page, labs).

    The API sends ``message_refs``; ``message_ids`` are the ids in them.
    """

    message_refs: tuple[MessageRef, ...] = ()
    """The messages from which it was drawn."""


@frozen(kw_only=True)
class FollowUp(_Task):
    """A meeting, call or message to come ("Get follow-ups" page), like an action item."""


@frozen(kw_only=True)
class Intent(Model):
    """The result of a call, such as ``"answering_machine"`` or ``"interested"``."""

    id: str | None = None
    """The intent's id."""
    text: str = ""
    """The words in which it was found."""
    type: str | None = None
    """The kind of result, mostly ``"intent"``."""
    intent: str | None = None
    """The intent itself, such as ``"interested"``."""
    score: float | None = None
    """How sure the server is, 0.0 to 1.0."""
    message_ids: tuple[str, ...] = ()
    """Ids of the messages in which it was found."""
    entities: tuple[InsightEntity, ...] = ()
    """The people, dates and spans of time that the text names."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""
