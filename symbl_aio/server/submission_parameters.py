"""The parameters of the ten submission calls and the rules for their values. API section 2.0.

Unknown parameters pass: the API grew, and callers may send more than is listed here. Clients
send booleans and numbers as text, empty parameters, and five spellings of a vocabulary: they are
read as what they mean. Another value of the wrong type is refused with a message that names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from aiohttp import web

from symbl_aio.server.field_rules import (
    FLAG,
    MAX_NAME,
    FieldRule,
    is_name,
    is_object,
    is_score,
    is_text,
    is_text_list,
    is_whole_number,
    list_of,
    read_fields,
    read_json_text,
    read_number,
)
from symbl_aio.server.http_json import JSON, ApiError, is_http_url
from symbl_aio.server.language.phrase_index import size_of_phrases

Kind = Literal["text", "audio", "audio/url", "video", "video/url"]


# Characters of the phrases that are looked for in a conversation: those of all stored trackers and
# entities. They take some 120 MB of memory.
MAX_VOCABULARY = 1024**2


def _is_vocabulary(check: Callable[[Mapping[str, JSON]], bool]) -> Callable[[JSON], bool]:
    is_list = list_of(check)
    return lambda value: is_list(value) and size_of_phrases(_texts_in(value)) <= MAX_VOCABULARY


def _texts_in(value: JSON) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _texts_in(child)


def _tracker(item: Mapping[str, JSON]) -> bool:
    return is_text(item.get("id")) or (
        is_text(item.get("name")) and is_text_list(item.get("vocabulary"))
    )


def _entity(item: Mapping[str, JSON]) -> bool:
    return is_text(item.get("customType")) and is_text(item.get("text"))


def _features(value: JSON) -> bool:
    # A client without features may send the list as null.
    return isinstance(value, dict) and is_text_list(value.get("featureList") or [])


def _channel(item: Mapping[str, JSON]) -> bool:
    number, speaker = item.get("channel"), item.get("speaker")
    return (
        is_whole_number(number)
        and number >= 1
        and isinstance(speaker, dict)
        # Other values than text are no names, and have no effect.
        and all(is_name(v) for k in ("name", "email") if isinstance(v := speaker.get(k), str))
    )


MAX_TIMEZONE_OFFSET = 14 * 60  # minutes; Kiribati

_ENTITIES = FieldRule(
    _is_vocabulary(_entity),
    f"a list of {{customType, text}}, of {MAX_VOCABULARY:,} characters at most",
    read_json_text,
)


def _read_vocabulary(value: JSON) -> JSON:
    """Read every spelling of a list of words that clients send.

    A list as JSON text, a list without quotes (``[a,b]``), one plain word, one parameter for
    each word, and one parameter for each *character* of the JSON text.
    """
    words: JSON = [value] if isinstance(value, str) else value
    if not is_text_list(words):
        return value
    joined = read_json_text("".join(words))
    if isinstance(joined, list | dict):
        return joined
    if len(words) == 1 and (bare := _BARE_LIST.fullmatch(words[0])):
        words = [word.strip() for word in bare[1].split(",")]
    return [word for word in words if word] or None


def _read_channels(value: JSON) -> JSON:
    """Read a list of channels whose numbers may be text."""
    channels = read_json_text(value)
    if not isinstance(channels, list):
        return channels
    return [
        {**item, "channel": read_number(item.get("channel"))} if isinstance(item, dict) else item
        for item in channels
    ]


def _read_language(value: JSON) -> JSON:
    """Read ``en_US``, as operating systems write it, as ``en-US``."""
    return value.replace("_", "-") if isinstance(value, str) else value


def _read_speaker_count(value: JSON) -> JSON:
    """Read a count; clients that have no such setting send 0."""
    return read_number(value) or None


_BARE_LIST = re.compile(r"\[([^\"\[\]{}]*)\]")

RULES: Mapping[str, FieldRule] = {
    "name": FieldRule(is_name, f"a string of at most {MAX_NAME} characters"),
    "confidenceThreshold": FieldRule(is_score, "a number from 0.0 to 1.0", read_number),
    "detectPhrases": FLAG,
    "entities": _ENTITIES,
    "customEntities": _ENTITIES,
    "detectEntities": FLAG,
    "trackers": FieldRule(
        _is_vocabulary(_tracker),
        f"a list of {{name, vocabulary}} or {{id}}, of {MAX_VOCABULARY:,} characters at most",
        read_json_text,
    ),
    "enableAllTrackers": FLAG,
    "enableSummary": FLAG,
    "webhookUrl": FieldRule(is_http_url, "an http or https link"),
    "customVocabulary": FieldRule(is_text_list, "a list of strings", _read_vocabulary),
    "languageCode": FieldRule(is_text, "a string", _read_language),
    "mode": FieldRule(lambda value: value in ("phone", "default"), '"phone" or "default"'),
    "enableSeparateRecognitionPerChannel": FLAG,
    "channelMetadata": FieldRule(
        list_of(_channel), "a list of {channel, speaker}, counted from 1", _read_channels
    ),
    "enableSpeakerDiarization": FLAG,
    "diarizationSpeakerCount": FieldRule(
        lambda value: is_whole_number(value) and value >= 1,
        "a whole number above 0",
        _read_speaker_count,
    ),
    "timezoneOffset": FieldRule(
        lambda value: is_whole_number(value) and abs(value) <= MAX_TIMEZONE_OFFSET,
        f"a whole number of minutes from -{MAX_TIMEZONE_OFFSET} to {MAX_TIMEZONE_OFFSET}",
        read_number,
    ),
    "features": FieldRule(_features, "an object {featureList: a list of strings}", read_json_text),
    "metadata": FieldRule(is_object, "an object", read_json_text),
}


def from_query(request: web.Request) -> dict[str, JSON]:
    """Read the query of a call; a list or an object is one parameter of JSON text (2.0.3).

    Raises a 400 ``ApiError`` that names a wrong parameter.
    """
    found: dict[str, JSON] = {}
    if not request.rel_url.raw_query_string:
        return found
    for name in request.query:
        values = request.query.getall(name)
        if name == "customVocabulary":
            found[name] = list(values)
        elif name in RULES and len(values) > 1:
            # The API takes lists as JSON text; a repeated parameter is a caller's mistake.
            raise ApiError(400, f'The query parameter "{name}" was given {len(values)} times.')
        else:
            found[name] = values[-1]
    return read(found, subject='The query parameter "{}"')


def read(parameters: Mapping[str, JSON], *, subject: str = '"{}"') -> dict[str, JSON]:
    """Return the parameters as the API documents them; null and "" count as absent.

    A 400 ``ApiError`` names the ``subject`` with a wrong type or range.
    """
    return read_fields(RULES, parameters, subject=subject)


# Items of one submission: about ten hours of talk. Each may have a speaker of its own.
MAX_MESSAGES = 10_000


def check_messages(messages: JSON) -> None:
    """Raise a 400 ``ApiError`` for wrong ``messages`` of a text submission (2.1)."""
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, '"messages" is required and must be a list with at least one item.')
    if len(messages) > MAX_MESSAGES:
        raise ApiError(400, f'"messages" has {MAX_MESSAGES:,} items at most; append the others.')
    for index, item in enumerate(messages):
        where = f'"messages[{index}]'
        payload = item.get("payload") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(payload, dict):
            raise ApiError(400, f'{where}.payload" is required and must be an object.')
        content = payload.get("content")
        if not isinstance(content, str) or not content.strip():
            raise ApiError(400, f'{where}.payload.content" is required and must be text.')
        for field, names in (
            ("from", ("name", "userId", "email")),
            ("duration", ("startTime", "endTime")),
        ):
            part = item.get(field)
            if part is None:
                continue
            if not isinstance(part, dict):
                raise ApiError(400, f'{where}.{field}" must be an object.')
            for name in names:
                if not is_name(part.get(name)):
                    expected = f"a string of at most {MAX_NAME} characters"
                    raise ApiError(400, f'{where}.{field}.{name}" must be {expected}.')


def check_url(value: JSON) -> None:
    """Raise a 400 ``ApiError`` unless ``url`` is an http or https URL."""
    if not is_http_url(value):
        raise ApiError(400, '"url" is required and must be an http or https link.')
