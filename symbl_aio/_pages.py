"""Answers as pages of items, and lists of conversations that are read page after page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, TypedDict, TypeVar, Unpack

from symbl_aio import models
from symbl_aio._error_classes import DecodeError
from symbl_aio._fields import require_count
from symbl_aio._protocol import calls
from symbl_aio._protocol.answers import Answer
from symbl_aio._protocol.decode_models import (
    decode,
    decode_any_list,
    decode_detected_trackers,
    decode_list,
    decode_within,
)
from symbl_aio.job import HandleBackend
from symbl_aio.models import JSON, Page

T = TypeVar("T")


def page(answer: Answer, raw: JSON, items: tuple[T, ...]) -> Page[T]:
    """Return decoded items with the response around them; ``raw`` is its JSON."""
    return Page(items, raw, answer.status, answer.headers, answer.elapsed)


def page_of(model: type[T], answer: Answer, key: str) -> Page[T]:
    """Decode the list under ``key``."""
    raw = answer.json()
    return page(answer, raw, decode_list(model, raw, key, text=answer.text))


def any_page_of(model: type[T], answer: Answer, *keys: str) -> Page[T]:
    """Decode the list under one of ``keys``, or the bare one: hosts differ."""
    raw = answer.json()
    return page(answer, raw, decode_any_list(model, raw, *keys, text=answer.text))


def one_of(model: type[T], answer: Answer, *keys: str) -> T:
    """Decode the object under one of ``keys``, or the bare one."""
    return decode_within(model, answer.json(), *keys, text=answer.text)


class PartSource(NamedTuple):
    """Where a part of a conversation is found, and the model that it is decoded to."""

    path: calls.Part
    model: str
    """Name of the model, which is imported once it is needed."""
    key: str | None = None
    """Key of the list in the answer; ``None`` if the answer is one object."""


PARTS: Final[Mapping[str, PartSource]] = {
    "messages": PartSource("messages", "Message", "messages"),
    "topics": PartSource("topics", "Topic", "topics"),
    "questions": PartSource("questions", "Question", "questions"),
    "action_items": PartSource("action-items", "ActionItem", "actionItems"),
    "follow_ups": PartSource("follow-ups", "FollowUp", "followUps"),
    "entities": PartSource("entities", "Entity", "entities"),
    "members": PartSource("members", "User", "members"),
    "analytics": PartSource("analytics", "Analytics"),
    "trackers": PartSource("trackers-detected", "DetectedTracker", "trackers"),
    "summary": PartSource("summary", "SummaryItem", "summary"),
    "abstract_topics": PartSource("abstract-topics", "AbstractTopic", "abstractTopics"),
    "comprehensive_action_items": PartSource(
        "comprehensive/action-items", "ComprehensiveActionItem", "actionItems"
    ),
    "bookmarks": PartSource("bookmarks", "Bookmark", "bookmarks"),
    "call_score": PartSource("callscore", "CallScore"),
    "intents": PartSource("intents", "Intent", "intents"),
}
"""By the name of the method of ``Conversation`` and of the field of ``Everything``."""


def decode_part(name: str, raw: JSON, *, text: str) -> Any:
    """Decode a part of a conversation: a tuple of models, or one model.

    ``text`` is the answer as received, for ``DecodeError.raw``.
    """
    _, model_name, key = PARTS[name]
    if name == "trackers":
        return decode_detected_trackers(raw, text=text)
    model: type[Any] = getattr(models, model_name)
    if key is None:
        return decode(model, raw, text=text)
    # Hosts put bookmarks in more places than one.
    decode_items = decode_any_list if name == "bookmarks" else decode_list
    return decode_items(model, raw, key, text=text)


class Selection(TypedDict, total=False):
    """Which conversations a list has, and in which order; see ``client.conversations``."""

    start_time: datetime | None
    end_time: datetime | None
    order: Literal["asc", "desc"] | None
    sort: str | None
    filter: str | None


async def list_conversations(
    backend: HandleBackend,
    group_id: str | None = None,
    /,
    *,
    page_size: int,
    **selection: Unpack[Selection],
) -> AsyncGenerator[models.ConversationInfo, None]:
    """Yield each conversation; a page is requested once the one before is used up.

    The API reports neither how many there are nor which page is the last, so the end is an
    empty page. A host that knows no offset repeats a page for ever: one of another size than
    ``page_size`` has all of them, and is the end; else ``DecodeError`` is raised.
    """
    require_count("page_size", page_size)
    for name in ("start_time", "end_time"):
        if (time := selection.get(name)) is not None:
            calls.instant(name, time)  # type: ignore[arg-type]
    if selection.get("start_time") is None:
        # The server's own default moves on with its clock, and offsets would move with it.
        end = selection.get("end_time") or datetime.now(UTC)
        selection["start_time"] = end - calls.DEFAULT_WINDOW
    offset = repeats = 0
    before: list[str] = []
    while True:
        call = calls.conversations(
            page_size=page_size, offset=offset, group_id=group_id, **selection
        )
        found = page_of(models.ConversationInfo, await backend.call(call), "conversations")
        ids = [info.id for info in found]
        # A full page may repeat the one before: new conversations move all others behind them.
        repeats = repeats + 1 if ids == before else 0
        if not ids or (repeats and len(ids) != page_size):
            return
        if repeats > 1:
            raise DecodeError("the host answers each page of the list with the same one", "")
        before = ids
        for info in found:
            yield info
        offset += len(found)
