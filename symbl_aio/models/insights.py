"""What was found in what was said: topics, questions, action items, follow-ups, intents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from symbl_aio.models.base import JSON, raw_field
from symbl_aio.models.mentions import InsightEntity, MessageRef
from symbl_aio.models.people import NOBODY, User
from symbl_aio.models.speech import Phrase, Sentiment


@frozen(kw_only=True)
class ParentRef:
    """The topic above another one, named by its text alone."""

    text: str = ""
    type: str | None = None
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class Topic:
    """A subject of the conversation; ``score`` from 0 to 1. Some answers give no ``id``."""

    id: str | None = None
    text: str = ""
    type: str | None = None
    score: float | None = None
    message_ids: tuple[str, ...] = ()
    parent_refs: tuple[ParentRef, ...] = ()
    sentiment: Sentiment | None = None
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class AbstractTopic:
    """A subject in words that need not have been said (labs); ``score`` from 0 to 1."""

    id: str | None = None
    text: str = ""
    type: str | None = None
    score: float | None = None
    message_ids: tuple[str, ...] = ()
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class Insight:
    """What questions, action items and follow-ups have in common.

    ``sender`` is always a ``User``, perhaps without a name. ``score`` is from 0 to 1.
    """

    id: str
    text: str = ""
    type: str | None = None
    score: float | None = None
    message_ids: tuple[str, ...] = ()
    sender: User = NOBODY
    entities: tuple[InsightEntity, ...] = ()
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class Question(Insight):
    """A question that was asked."""


@frozen(kw_only=True)
class ActionItem(Insight):
    """Something to be done, by ``assignee`` and until ``due_by`` where those were said.

    ``definitive`` tells whether who does what is certain.
    """

    assignee: User | None = None
    due_by: datetime | None = None
    definitive: bool | None = None
    phrases: tuple[Phrase, ...] = ()


@frozen(kw_only=True)
class ComprehensiveActionItem(ActionItem):
    """An action item that tells its own story (labs), drawn from several messages.

    The API gives ``message_refs``; ``message_ids`` are the ids in them.
    """

    message_refs: tuple[MessageRef, ...] = ()


@frozen(kw_only=True)
class FollowUp(Insight):
    """A meeting, call or message to come; its fields are those of an action item."""

    assignee: User | None = None
    due_by: datetime | None = None
    definitive: bool | None = None
    phrases: tuple[Phrase, ...] = ()


@frozen(kw_only=True)
class Intent:
    """What a call was answered with, such as ``"answering_machine"`` or ``"interested"``."""

    id: str | None = None
    text: str = ""
    type: str | None = None
    intent: str | None = None
    score: float | None = None
    message_ids: tuple[str, ...] = ()
    entities: tuple[InsightEntity, ...] = ()
    raw: Mapping[str, JSON] = raw_field()
