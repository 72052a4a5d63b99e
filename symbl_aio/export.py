"""All that a conversation holds, gathered into one value that can be kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal, TypeAlias, get_args

from attrs import frozen

from symbl_aio._errors import ConfigurationError, DecodeError
from symbl_aio._fields import require, type_name
from symbl_aio._protocol.calls import json_text
from symbl_aio._protocol.decode import (
    decode,
    decode_any_list,
    decode_detected_trackers,
    decode_list,
)
from symbl_aio.models import (
    JSON,
    AbstractTopic,
    ActionItem,
    Analytics,
    Bookmark,
    CallScore,
    ComprehensiveActionItem,
    ConversationInfo,
    DetectedTracker,
    Entity,
    FollowUp,
    Intent,
    Message,
    Question,
    SummaryItem,
    Topic,
    User,
)
from symbl_aio.models.base import Model, raw_field

__all__ = ["Everything", "InsightPart"]

InsightPart: TypeAlias = Literal[
    "messages",
    "topics",
    "questions",
    "action_items",
    "follow_ups",
    "entities",
    "members",
    "analytics",
    "trackers",
    "summary",
    "abstract_topics",
    "comprehensive_action_items",
    "bookmarks",
    "call_score",
    "intents",
]
"""A field of ``Everything``."""

_ALL: Final[tuple[InsightPart, ...]] = get_args(InsightPart)
DOCUMENTED_PARTS: Final = _ALL[:10]
_FORMAT: Final = 1


@frozen(kw_only=True)
class Everything(Model):
    """A conversation with all that was asked for; what was not is empty, or ``None``.

    ``missing`` names the parts that were asked for and that the server does not have.
    ``raw`` holds each answer as it came, by part, so that nothing is lost on the way to
    JSON and back.
    """

    info: ConversationInfo
    """The conversation's own record."""
    messages: tuple[Message, ...] = ()
    """The transcript."""
    topics: tuple[Topic, ...] = ()
    """What it was about."""
    questions: tuple[Question, ...] = ()
    """The questions that were asked."""
    action_items: tuple[ActionItem, ...] = ()
    """What is to be done."""
    follow_ups: tuple[FollowUp, ...] = ()
    """The meetings, calls and messages to come."""
    entities: tuple[Entity, ...] = ()
    """What was named, by kind."""
    members: tuple[User, ...] = ()
    """Who took part."""
    analytics: Analytics | None = None
    """Who spoke for how long and how fast."""
    trackers: tuple[DetectedTracker, ...] = ()
    """The trackers that were found."""
    summary: tuple[SummaryItem, ...] = ()
    """The summary, in paragraphs."""
    abstract_topics: tuple[AbstractTopic, ...] = ()
    """Topics in words that need not have been said (labs)."""
    comprehensive_action_items: tuple[ComprehensiveActionItem, ...] = ()
    """Action items drawn from several messages (labs)."""
    bookmarks: tuple[Bookmark, ...] = ()
    """The marked stretches."""
    call_score: CallScore | None = None
    """How good the call was; ``None`` if there is none."""
    intents: tuple[Intent, ...] = ()
    """What the call was answered with."""
    missing: tuple[str, ...] = ()
    """Parts that were asked for and that the server does not have."""
    raw: Mapping[str, JSON] = raw_field()
    """Each answer as it came, by the name of its part."""

    def to_json(self) -> str:
        """Write it as JSON, for ``from_json``: the server's own answers, as they came."""
        return json_text(
            {
                "symbl_aio": _FORMAT,
                "info": self.info.raw,
                "parts": self.raw,
                "missing": list(self.missing),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Everything:
        """Read what ``to_json`` wrote. Raises ``DecodeError`` for anything else."""
        try:
            kept = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DecodeError(f"the text is not JSON: {error}", text) from None
        if not isinstance(kept, dict) or kept.get("symbl_aio") != _FORMAT:
            raise DecodeError("the text was not written by Everything.to_json", text)
        parts, missing = kept.get("parts"), kept.get("missing")
        if not isinstance(parts, dict) or not isinstance(missing, list):
            raise DecodeError("the text has no parts", text)
        return everything_of(kept.get("info"), parts, missing, text)


def _list(model: type, key: str) -> Callable[[JSON, str], object]:
    return lambda raw, text: decode_list(model, raw, key, text=text)


def _one(model: type) -> Callable[[JSON, str], object]:
    return lambda raw, text: decode(model, raw, text=text)


_READERS: Final[Mapping[InsightPart, Callable[[JSON, str], object]]] = {
    "messages": _list(Message, "messages"),
    "topics": _list(Topic, "topics"),
    "questions": _list(Question, "questions"),
    "action_items": _list(ActionItem, "actionItems"),
    "follow_ups": _list(FollowUp, "followUps"),
    "entities": _list(Entity, "entities"),
    "members": _list(User, "members"),
    "analytics": _one(Analytics),
    "trackers": lambda raw, text: decode_detected_trackers(raw, text=text),
    "summary": _list(SummaryItem, "summary"),
    "abstract_topics": _list(AbstractTopic, "abstractTopics"),
    "comprehensive_action_items": _list(ComprehensiveActionItem, "actionItems"),
    "bookmarks": lambda raw, text: decode_any_list(Bookmark, raw, "bookmarks", text=text),
    "call_score": _one(CallScore),
    "intents": _list(Intent, "intents"),
}


def everything_of(
    info: JSON, parts: Mapping[str, JSON], missing: Collection[str], text: str
) -> Everything:
    """Decode each part of what the server said."""
    fields: dict[str, object] = {
        name: read(parts[name], text) for name, read in _READERS.items() if name in parts
    }
    return Everything(
        info=decode(ConversationInfo, info, text=text),
        missing=tuple(missing),
        raw=parts,
        **fields,  # type: ignore[arg-type]
    )


def check_parts(
    parts: Collection[InsightPart] | None, *, verbose: bool | None, sentiment: bool | None
) -> None:
    """Raise ``ConfigurationError`` for what ``gather`` could not ask for."""
    for name, flag in (("verbose", verbose), ("sentiment", sentiment)):
        require(name, flag, (bool, type(None)), "True or False")
    remedy = f"a list of some of {', '.join(_ALL)}"
    if isinstance(parts, str | bytes) or not isinstance(parts, Collection | None):
        raise ConfigurationError(f"parts is {type_name(parts)}; give {remedy}")
    for part in parts or ():
        if part not in _ALL:
            raise ConfigurationError(f"parts names {part!r}; give {remedy}")
