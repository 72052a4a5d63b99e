"""A conversation with all its parts as one value, which can be stored as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, Literal, TypeAlias, get_args

from attrs import frozen

from symbl_aio._error_classes import APIError, ConfigurationError, DecodeError
from symbl_aio._fields import require, type_name
from symbl_aio._pages import PARTS, decode_part
from symbl_aio._protocol.answers import decode_json
from symbl_aio._protocol.calls import json_text
from symbl_aio._protocol.decode_models import decode
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
from symbl_aio.models.base import Model, as_json, raw_field

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
_DOCUMENTED: Final = _ALL[:10]
_PARTS_AT_ONCE: Final = 4
_FORMAT: Final = 1


@frozen(kw_only=True)
class Everything(Model):
    """A conversation with its requested parts; the others are empty, or ``None``.

    ``missing`` names the requested parts that the server does not have. ``raw`` holds each
    answer as received, by part, so that nothing is lost on the way to JSON and back.
    """

    info: ConversationInfo
    """The conversation's own record."""
    messages: tuple[Message, ...] = ()
    """The transcript."""
    topics: tuple[Topic, ...] = ()
    """The topics."""
    questions: tuple[Question, ...] = ()
    """The questions that were asked."""
    action_items: tuple[ActionItem, ...] = ()
    """The tasks."""
    follow_ups: tuple[FollowUp, ...] = ()
    """The meetings, calls and messages to come."""
    entities: tuple[Entity, ...] = ()
    """The named entities, by kind."""
    members: tuple[User, ...] = ()
    """The participants."""
    analytics: Analytics | None = None
    """Each speaker's time and pace."""
    trackers: tuple[DetectedTracker, ...] = ()
    """The trackers that were found."""
    summary: tuple[SummaryItem, ...] = ()
    """The summary, in paragraphs."""
    abstract_topics: tuple[AbstractTopic, ...] = ()
    """Topics in words that need not have been spoken (labs)."""
    comprehensive_action_items: tuple[ComprehensiveActionItem, ...] = ()
    """Action items drawn from several messages (labs)."""
    bookmarks: tuple[Bookmark, ...] = ()
    """The bookmarked sections."""
    call_score: CallScore | None = None
    """The score of the call; ``None`` if there is none."""
    intents: tuple[Intent, ...] = ()
    """The intents of the call."""
    missing: tuple[str, ...] = ()
    """Requested parts that the server does not have."""
    raw: Mapping[str, JSON] = raw_field()
    """Each answer as received, by the name of its part."""

    def to_json(self) -> str:
        """Return JSON for ``from_json``: the server's own answers, as received."""
        kept: dict[str, JSON] = {
            "symbl_aio": _FORMAT,
            "info": self.info.raw,
            "parts": dict(self.raw),
            "missing": list(self.missing),
        }
        try:
            return json_text(kept)
        except ConfigurationError:  # an infinite number in an answer: JSON has none
            return json_text(as_json(kept))

    @classmethod
    def from_json(cls, text: str) -> Everything:
        """Return the value that ``to_json`` wrote. Raises ``DecodeError`` for anything else."""
        try:
            kept = decode_json(text)
        except (ValueError, RecursionError) as error:
            raise DecodeError(f"the text is not JSON: {error}", text) from None
        if not isinstance(kept, dict) or kept.get("symbl_aio") != _FORMAT:
            raise DecodeError("the text was not written by Everything.to_json", text)
        parts, missing = kept.get("parts"), kept.get("missing")
        if not isinstance(parts, dict) or not isinstance(missing, list):
            raise DecodeError("the text has no parts", text)
        names = [name for name in missing if isinstance(name, str)]
        return _everything(kept.get("info"), parts, names, text)


def _everything(
    info: JSON, parts: Mapping[str, JSON], missing: Collection[str], text: str
) -> Everything:
    """Decode each part from the server's own answers."""
    fields: dict[str, object] = {
        name: decode_part(name, parts[name], text=text) for name in PARTS if name in parts
    }
    return Everything(
        info=decode(ConversationInfo, info, text=text),
        missing=tuple(missing),
        raw=parts,
        **fields,  # type: ignore[arg-type]
    )


def check_parts(
    parts: Collection[InsightPart] | None, *, verbose: bool | None, sentiment: bool | None
) -> tuple[InsightPart, ...]:
    """Return the parts to read, each once. Raises ``ConfigurationError`` for unusable ones."""
    for name, flag in (("verbose", verbose), ("sentiment", sentiment)):
        require(name, flag, (bool, type(None)), "True or False")
    remedy = f"a list of some of {', '.join(_ALL)}"
    if isinstance(parts, str | bytes) or not isinstance(parts, Collection | None):
        raise ConfigurationError(f"parts is {type_name(parts)}; give {remedy}")
    for part in parts or ():
        if part not in _ALL:
            raise ConfigurationError(f"parts names {part!r}; give {remedy}")
    return _DOCUMENTED if parts is None else tuple(dict.fromkeys(parts))


async def gather(
    info: ConversationInfo, parts: Collection[InsightPart], read: Callable[[str], Awaitable[Any]]
) -> Everything:
    """Read the parts with ``read``, four at a time, into one value.

    A part that the server does not have (404, 405) is missing in the value; any other error
    stops the reads and is raised.
    """
    slots = asyncio.Semaphore(_PARTS_AT_ONCE)
    found: dict[str, JSON] = {}

    async def read_one(part: str) -> None:
        async with slots:
            try:
                found[part] = (await read(part)).raw
            except APIError as error:
                if error.status not in (404, 405):
                    raise

    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(read_one(part), name=f"symbl_aio {part} of {info.id}")
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    # In the order of the request, whichever answer came first.
    in_order: dict[str, JSON] = {part: found[part] for part in parts if part in found}
    return _everything(info.raw, in_order, [part for part in parts if part not in found], "")
