"""The parameters of the ten submission calls and what may be in them. API section 2.0.

Unknown parameters are let through: the API grew, and callers may send more than is
listed here. Values of the wrong type are refused with a text that names the field.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Literal

from aiohttp import web

from symbl_aio.server.http_json import JSON, ApiError, is_http_url, parse_bool

Kind = Literal["text", "audio", "audio/url", "video", "video/url"]


def is_text(value: JSON) -> bool:
    return isinstance(value, str)


def is_flag(value: JSON) -> bool:
    return isinstance(value, bool)


def is_whole(value: JSON) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _score(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def is_object(value: JSON) -> bool:
    return isinstance(value, dict)


def is_text_list(value: JSON) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _list_of(check: Callable[[Mapping[str, JSON]], bool]) -> Callable[[JSON], bool]:
    return lambda value: (
        isinstance(value, list) and all(isinstance(item, dict) and check(item) for item in value)
    )


def _tracker(item: Mapping[str, JSON]) -> bool:
    return is_text(item.get("id")) or (
        is_text(item.get("name")) and is_text_list(item.get("vocabulary"))
    )


def _entity(item: Mapping[str, JSON]) -> bool:
    return is_text(item.get("customType")) and is_text(item.get("text"))


def _features(value: JSON) -> bool:
    return isinstance(value, dict) and is_text_list(value.get("featureList", []))


def _channel(item: Mapping[str, JSON]) -> bool:
    return is_whole(item.get("channel")) and is_object(item.get("speaker"))


# name -> (is it right, what it should be, is it JSON text when in a query)
_RULES: Mapping[str, tuple[Callable[[JSON], bool], str, bool]] = {
    "name": (is_text, "a string", False),
    "confidenceThreshold": (_score, "a number from 0.0 to 1.0", True),
    "detectPhrases": (is_flag, "true or false", True),
    "entities": (_list_of(_entity), "a list of {customType, text}", True),
    "customEntities": (_list_of(_entity), "a list of {customType, text}", True),
    "detectEntities": (is_flag, "true or false", True),
    "trackers": (_list_of(_tracker), "a list of {name, vocabulary} or {id}", True),
    "enableAllTrackers": (is_flag, "true or false", True),
    "enableSummary": (is_flag, "true or false", True),
    "webhookUrl": (is_text, "a string", False),
    "customVocabulary": (is_text_list, "a list of strings", True),
    "languageCode": (is_text, "a string", False),
    "mode": (lambda value: value in ("phone", "default"), '"phone" or "default"', False),
    "enableSeparateRecognitionPerChannel": (is_flag, "true or false", True),
    "channelMetadata": (_list_of(_channel), "a list of {channel, speaker}", True),
    "enableSpeakerDiarization": (is_flag, "true or false", True),
    "diarizationSpeakerCount": (
        lambda value: is_whole(value) and isinstance(value, int) and value >= 1,
        "a whole number above 0",
        True,
    ),
    "timezoneOffset": (is_whole, "a whole number of minutes", True),
    "features": (_features, "an object {featureList: a list of strings}", True),
    "metadata": (is_object, "an object", True),
}


def from_query(request: web.Request) -> dict[str, JSON]:
    """Read the query of a call: lists and objects are one parameter of JSON text (2.0.3)."""
    found: dict[str, JSON] = {}
    for name in request.query:
        rule = _RULES.get(name)
        values = request.query.getall(name)
        if rule is None:
            found[name] = values[-1]
            continue
        if len(values) > 1:
            raise ApiError(400, f'The query parameter "{name}" was given {len(values)} times.')
        if rule[0] is is_flag:
            found[name] = parse_bool(values[0])
            if found[name] is None:
                raise ApiError(400, f'The query parameter "{name}" must be {rule[1]}.')
            continue
        try:
            found[name] = json.loads(values[0]) if rule[2] else values[0]
        except ValueError:
            raise ApiError(400, f'The query parameter "{name}" must be {rule[1]}.') from None
    return found


def check(parameters: Mapping[str, JSON]) -> None:
    """Refuse a parameter of the wrong type or outside its range; null counts as absent."""
    for name, value in parameters.items():
        rule = _RULES.get(name)
        if rule is not None and value is not None and not rule[0](value):
            raise ApiError(400, f'"{name}" must be {rule[1]}.')


def check_messages(messages: JSON) -> None:
    """Check the ``messages`` of a text submission (2.1)."""
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, '"messages" is required and must be a list with at least one item.')
    for index, item in enumerate(messages):
        where = f'"messages[{index}]'
        payload = item.get("payload") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(payload, dict):
            raise ApiError(400, f'{where}.payload" is required and must be an object.')
        content = payload.get("content")
        if not isinstance(content, str) or not content.strip():
            raise ApiError(400, f'{where}.payload.content" is required and must be text.')
        for field, names in (("from", ("name", "userId")), ("duration", ("startTime", "endTime"))):
            part = item.get(field)
            if part is None:
                continue
            if not isinstance(part, dict):
                raise ApiError(400, f'{where}.{field}" must be an object.')
            for name in names:
                if not isinstance(part.get(name, ""), str | None):
                    raise ApiError(400, f'{where}.{field}.{name}" must be a string.')


def check_url(value: JSON) -> None:
    """Check the ``url`` of a URL submission: a direct http(s) link."""
    if not is_http_url(value):
        raise ApiError(400, '"url" is required and must be an http or https link.')
