"""Decoding of the frames of live connections to events.

Servers send an event bare, or in an envelope of type ``message``; both are accepted. Nothing
here raises: a frame that cannot be decoded becomes an ``UnknownEvent``, so that one odd frame
does not end a stream.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from symbl_aio import models
from symbl_aio._error_classes import DecodeError
from symbl_aio._protocol.answers import decode_json
from symbl_aio._protocol.decode_models import decode, decode_insights, number, within
from symbl_aio.live.events import (
    EntityEvent,
    ErrorEvent,
    InsightEvent,
    LiveEvent,
    MessageEvent,
    Recognition,
    SpokenWord,
    StateEvent,
    TopicEvent,
    TrackerEvent,
    UnknownEvent,
)

_PONG: Final = "__PONG__"

_Object: TypeAlias = dict[str, Any]

STATES: Final = frozenset(
    "conversation_created started_listening recognition_started recognition_stopped "
    "session_modified conversation_completed".split()
)


def decode_frame(text: str) -> tuple[LiveEvent, ...]:
    """Return the events of one text frame; none for the answer to a text ping."""
    if text == _PONG:
        return ()
    try:
        frame = decode_json(text)
    except (ValueError, RecursionError):
        return (UnknownEvent(raw={"text": text}),)
    if type(frame) is not dict:
        return (UnknownEvent(raw={"text": text}),)
    inner = frame.get("message")
    if frame.get("type") == "message" and type(inner) is dict:
        frame = inner
    kind = frame.get("type")
    if type(kind) is not str:
        return (UnknownEvent(raw=frame),)
    if kind in STATES:
        return (_state(kind, frame),)
    read = _EVENTS.get(kind)
    if read is None:
        return (UnknownEvent(type=kind, raw=frame),)
    try:
        return tuple(read(frame))
    except DecodeError:
        return (UnknownEvent(type=kind, raw=frame),)


def _state(kind: str, frame: _Object) -> StateEvent:
    found = frame.get("conversationId") or within(frame, "data", "conversationId")
    known = str(found) if type(found) in (str, int) else None
    return StateEvent(state=kind, conversation_id=known, raw=frame)


def _recognition(frame: _Object) -> Iterator[LiveEvent]:
    alternatives = within(frame, "payload", "raw", "alternatives")
    best = next((one for one in _objects(alternatives)), {})
    # Of some hosts inside the payload.
    punctuated = within(frame, "punctuated", "transcript") or within(
        frame, "payload", "punctuated", "transcript"
    )
    yield Recognition(
        text=_text(punctuated) or _text(best.get("transcript")),
        is_final=frame.get("isFinal") is True,
        confidence=number(best.get("confidence")),
        words=tuple(map(_word, _objects(best.get("words")))),
        speaker=_user(frame.get("user")),
        raw=frame,
    )


def _caption(frame: _Object) -> Iterator[LiveEvent]:
    """Telephony: the words of a call as they are spoken."""
    yield Recognition(
        text=_text(within(frame, "payload", "content")),
        is_final=frame.get("isFinal") is True,
        speaker=_user(frame.get("from") or frame.get("user")),
        raw=frame,
    )


def _word(word: _Object) -> SpokenWord:
    return SpokenWord(
        _text(word.get("word")), _seconds(word.get("startTime")), _seconds(word.get("endTime"))
    )


def _messages(frame: _Object) -> Iterator[LiveEvent]:
    for item in _items(frame, "messages"):
        shown = {
            "id": "",
            **item,
            "text": _content(item),
            "startTime": within(item, "duration", "startTime"),
            "endTime": within(item, "duration", "endTime"),
            "words": _words_of(item),
        }
        shown.pop("duration", None)  # times here, and a number of seconds in the model
        yield MessageEvent(message=_made(models.Message, shown, item), raw=item)


def _insights(frame: _Object) -> Iterator[LiveEvent]:
    for item in _items(frame, "insights"):
        reference = within(item, "messageReference", "id")
        shown = {
            "id": "",
            **item,
            "text": _content(item),
            "score": item.get("confidence"),
            "messageIds": [] if reference is None else [reference],
            "dueBy": within(item, "dueBy", "value"),
        }
        (insight,) = decode_insights({"insights": [shown]})
        yield InsightEvent(insight=_with_raw(insight, item), raw=item)


def _topics(frame: _Object) -> Iterator[LiveEvent]:
    for item in _items(frame, "topics"):
        references = [within(ref, "id") for ref in _objects(item.get("messageReferences"))]
        shown = {**item, "text": item.get("phrases") or item.get("text"), "messageIds": references}
        yield TopicEvent(topic=_made(models.Topic, shown, item), raw=item)


def _trackers(frame: _Object) -> Iterator[LiveEvent]:
    is_final = frame.get("isFinal")
    for item in _items(frame, "trackers"):
        yield TrackerEvent(
            tracker=decode(models.DetectedTracker, item),
            is_final=is_final if type(is_final) is bool else None,
            raw=item,
        )


def _entities(frame: _Object) -> Iterator[LiveEvent]:
    for item in _items(frame, "entities"):
        yield EntityEvent(entity=decode(models.Entity, item), raw=item)


def _error(frame: _Object) -> Iterator[LiveEvent]:
    details = frame.get("details", frame.get("detail"))
    if details is not None and type(details) is not str:
        details = json.dumps(details, ensure_ascii=False)
    message = frame.get("message")
    yield ErrorEvent(message=_text(message) or details or "", details=details or "", raw=frame)


_EVENTS: Final[Mapping[str, Callable[[_Object], Iterator[LiveEvent]]]] = {
    "recognition_result": _recognition,
    "transcript_response": _caption,
    "message_response": _messages,
    "insight_response": _insights,
    "topic_response": _topics,
    "tracker_response": _trackers,
    "entity_response": _entities,
    "error": _error,
}


def _items(frame: _Object, key: str) -> list[_Object]:
    """Return the objects of a list. Raises ``DecodeError``, so that none is skipped silently."""
    items = frame.get(key)
    if type(items) is not list or not all(type(item) is dict and item for item in items):
        raise DecodeError(f"the frame has no list of {key}", "")
    return items


def _made(model: type[Any], shown: _Object, raw: _Object) -> Any:
    return _with_raw(decode(model, shown), raw)


def _with_raw(value: Any, raw: _Object) -> Any:
    # The model's JSON is that of the server, not the one that was arranged for the decoder.
    object.__setattr__(value, "raw", raw)
    return value


def _objects(value: Any) -> list[_Object]:
    return [item for item in value if type(item) is dict] if type(value) is list else []


def _text(value: Any) -> str:
    return value if type(value) is str else ""


def _content(item: _Object) -> str:
    return _text(within(item, "payload", "content")) or _text(item.get("text"))


def _user(value: Any) -> models.User:
    return decode(models.User, value) if type(value) is dict and value else models.NOBODY


def _seconds(value: Any) -> float | None:
    """Return a time of ``{"seconds": "3", "nanos": "800000000"}``, texts or numbers."""
    if type(value) is not dict:
        return number(value)
    try:
        return number(float(value.get("seconds") or 0) + float(value.get("nanos") or 0) / 1e9)
    except (TypeError, ValueError, OverflowError):
        return None


def _words_of(item: _Object) -> Any:
    """Return the words of a message, which are JSON inside of a text."""
    words = within(item, "metadata", "words")
    if type(words) is not str:
        return words
    try:
        return decode_json(words)
    except (ValueError, RecursionError):
        return None
