"""The parameters of the ten submission calls and the rules for their values. API section 2.0.

Unknown parameters pass: the API grew, and callers may send more than is listed here. A
value of the wrong type is refused with a message that names the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from aiohttp import web

from symbl_aio.server.field_rules import (
    FieldRule,
    check_fields,
    is_flag,
    is_object,
    is_score,
    is_text,
    is_text_list,
    is_whole_number,
    list_of,
)
from symbl_aio.server.http_json import JSON, ApiError, is_http_url, parse_bool, parse_json

Kind = Literal["text", "audio", "audio/url", "video", "video/url"]


def _tracker(item: Mapping[str, JSON]) -> bool:
    return is_text(item.get("id")) or (
        is_text(item.get("name")) and is_text_list(item.get("vocabulary"))
    )


def _entity(item: Mapping[str, JSON]) -> bool:
    return is_text(item.get("customType")) and is_text(item.get("text"))


def _features(value: JSON) -> bool:
    return isinstance(value, dict) and is_text_list(value.get("featureList", []))


def _channel(item: Mapping[str, JSON]) -> bool:
    return is_whole_number(item.get("channel")) and is_object(item.get("speaker"))


MAX_TIMEZONE_OFFSET = 14 * 60  # minutes; Kiribati

RULES: Mapping[str, FieldRule] = {
    "name": FieldRule(is_text, "a string"),
    "confidenceThreshold": FieldRule(is_score, "a number from 0.0 to 1.0", json_in_query=True),
    "detectPhrases": FieldRule(is_flag, "true or false", json_in_query=True),
    "entities": FieldRule(list_of(_entity), "a list of {customType, text}", json_in_query=True),
    "customEntities": FieldRule(
        list_of(_entity), "a list of {customType, text}", json_in_query=True
    ),
    "detectEntities": FieldRule(is_flag, "true or false", json_in_query=True),
    "trackers": FieldRule(
        list_of(_tracker), "a list of {name, vocabulary} or {id}", json_in_query=True
    ),
    "enableAllTrackers": FieldRule(is_flag, "true or false", json_in_query=True),
    "enableSummary": FieldRule(is_flag, "true or false", json_in_query=True),
    "webhookUrl": FieldRule(is_text, "a string"),
    "customVocabulary": FieldRule(is_text_list, "a list of strings", json_in_query=True),
    "languageCode": FieldRule(is_text, "a string"),
    "mode": FieldRule(lambda value: value in ("phone", "default"), '"phone" or "default"'),
    "enableSeparateRecognitionPerChannel": FieldRule(is_flag, "true or false", json_in_query=True),
    "channelMetadata": FieldRule(
        list_of(_channel), "a list of {channel, speaker}", json_in_query=True
    ),
    "enableSpeakerDiarization": FieldRule(is_flag, "true or false", json_in_query=True),
    "diarizationSpeakerCount": FieldRule(
        lambda value: is_whole_number(value) and value >= 1,
        "a whole number above 0",
        json_in_query=True,
    ),
    "timezoneOffset": FieldRule(
        lambda value: is_whole_number(value) and abs(value) <= MAX_TIMEZONE_OFFSET,
        f"a whole number of minutes from -{MAX_TIMEZONE_OFFSET} to {MAX_TIMEZONE_OFFSET}",
        json_in_query=True,
    ),
    "features": FieldRule(
        _features, "an object {featureList: a list of strings}", json_in_query=True
    ),
    "metadata": FieldRule(is_object, "an object", json_in_query=True),
}


def from_query(request: web.Request) -> dict[str, JSON]:
    """Parse the query of a call; a list or an object is one parameter of JSON text (2.0.3)."""
    found: dict[str, JSON] = {}
    for name in request.query:
        rule = RULES.get(name)
        values = request.query.getall(name)
        if rule is None:
            found[name] = values[-1]
            continue
        # The API takes lists as JSON text; a repeated parameter is a caller's mistake.
        if len(values) > 1:
            raise ApiError(400, f'The query parameter "{name}" was given {len(values)} times.')
        if rule.check is is_flag:
            found[name] = parse_bool(values[0])
            if found[name] is None:
                raise ApiError(400, f'The query parameter "{name}" must be {rule.expected}.')
            continue
        try:
            found[name] = parse_json(values[0]) if rule.json_in_query else values[0]
        except ApiError:
            raise ApiError(400, f'The query parameter "{name}" must be {rule.expected}.') from None
    return found


def check(parameters: Mapping[str, JSON]) -> None:
    """Raise a 400 ``ApiError`` for a wrong type or range; null counts as absent."""
    check_fields(RULES, parameters)


def check_messages(messages: JSON) -> None:
    """Raise a 400 ``ApiError`` for wrong ``messages`` of a text submission (2.1)."""
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
    """Raise a 400 ``ApiError`` unless ``url`` is an http or https URL."""
    if not is_http_url(value):
        raise ApiError(400, '"url" is required and must be an http or https link.')
