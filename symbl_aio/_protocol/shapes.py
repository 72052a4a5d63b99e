"""Bring what an answer shows into the shape of its model, where the two differ.

The API's documents, its SDKs and its generations disagree on some shapes; here they
become one. A function takes a decoded object and gives one that has the model's fields
under their usual names. What does not fit is given back as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final


def _within(value: Any, *path: str) -> Any:
    """Give what stands at the end of a path of names, ``None`` if it leads nowhere."""
    for name in path:
        value = value.get(name) if type(value) is dict else None
    return value


def _sentiment(value: Any) -> Any:
    polarity = _within(value, "polarity")
    return {**value, **polarity} if type(polarity) is dict else value


def _phrase(value: Any) -> Any:
    # The documents show objects, the vendor's Go SDK plain texts.
    return {"text": value} if type(value) is str else value


def _entity(value: Any) -> Any:
    # The first generation of answers told one thing each, without a list of matches.
    if type(value) is not dict or not value or type(value.get("matches")) is list:
        return value
    return {**value, "matches": [value]}


def _entity_match(value: Any) -> Any:
    # The SDK's name comes first, a table of the documents has the other one.
    detected = _within(value, "detectedValue")
    return value if detected is None else {**value, "value": detected}


def _comprehensive(value: Any) -> Any:
    refs = _within(value, "messageRefs")
    if type(refs) is not list or type(value.get("messageIds")) is list:
        return value
    return {**value, "messageIds": [_within(ref, "id") for ref in refs]}


def _member_analytics(value: Any) -> Any:
    pace, odd_name = _within(value, "pace", "wpm"), _within(value, "userID")
    if pace is not None:
        value = {**value, "wordsPerMinute": pace}
    return value if odd_name is None else {"userId": odd_name, **value}


def _summary_item(value: Any) -> Any:
    bookmark = _within(value, "bookmarkReference", "id")
    return value if bookmark is None else {**value, "bookmarkId": bookmark}


def _criterion(value: Any) -> Any:
    feedback = {
        f"{kind}Feedback": _within(value, "feedback", kind, "summary")
        for kind in ("positive", "negative")
    }
    return {**value, **feedback} if type(value) is dict and value else value


def _transcript(value: Any) -> Any:
    # Markdown comes as a text, SRT as an object that tells its type once more.
    payload = _within(value, "payload")
    if type(payload) is dict:
        return {**payload, **value, "text": payload.get("content")}
    return value if payload is None else {**value, "text": payload}


SHAPES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "ComprehensiveActionItem": _comprehensive,
    "Criterion": _criterion,
    "Entity": _entity,
    "EntityMatch": _entity_match,
    "FormattedTranscript": _transcript,
    "MemberAnalytics": _member_analytics,
    "Phrase": _phrase,
    "Sentiment": _sentiment,
    "SummaryItem": _summary_item,
}
"""By the name of the model."""
