"""The JSON frames of a client, parsed: start, modify and stop requests. API section 10.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from attrs import field, frozen

from symbl_aio.server import submission_parameters
from symbl_aio.server.field_rules import is_whole_number, read_flag, read_number
from symbl_aio.server.http_json import JSON, ApiError, parse_json, require_object
from symbl_aio.server.live.audio_clock import ENCODINGS, AudioFormat

# The longest time for which a conversation waits for its speaker, or a socket for a new start.
MAX_WAIT = 1800.0

INSIGHT_TYPES = frozenset({"question", "action_item", "follow_up"})
_LONGEST_MASK = 16
# Clients send these for a setting that they do not use.
EMPTY: tuple[JSON, ...] = (None, "", [], {})
# Of a start request, those that mean the same as in a submission.
_AS_IN_SUBMISSIONS = ("confidenceThreshold", "detectEntities", "languageCode", "timezoneOffset")


@frozen
class StartRequest:
    """The settings of one speaker, from its ``start_request`` to its stop.

    ``parameters``: those that a submission has, too. ``speaker``: the object of the client, with
    keys of its own. ``mask``: replaces personal data, None for no redaction. Times in seconds:
    ``no_connection_timeout``, for which a conversation waits for a lost socket; ``keep_open``,
    for which the socket stays open after a stop, None: it is closed. ``options``: the names of all
    settings, known or not, that have a value.
    """

    speaker: Mapping[str, JSON] = field(factory=dict)
    title: str | None = None
    audio: AudioFormat = field(factory=AudioFormat)
    insight_types: frozenset[str] = frozenset()
    parameters: Mapping[str, JSON] = field(factory=dict)
    sentiment: bool = False
    interim_results: bool = True
    mask: str | None = None
    no_connection_timeout: float = 0.0
    keep_open: float | None = None
    options: frozenset[str] = field(factory=frozenset, eq=False)


@frozen
class ModifyRequest:
    """A change of the audio's format; None: that part stays."""

    encoding: str | None
    sample_rate: int | None


@frozen
class BookmarkRequest:
    """A change of the bookmarks of the conversation, as the client wrote it."""

    fields: Mapping[str, JSON]


@frozen
class StopRequest:
    """The end of a speaker's audio."""


@frozen
class Ping:
    """A text of the JavaScript client, which waits for the matching answer."""


ClientFrame: TypeAlias = StartRequest | ModifyRequest | BookmarkRequest | StopRequest | Ping


def parse_frame(text: str) -> ClientFrame:
    """Parse a text frame. Raises a 400 ``ApiError`` for one that the API does not have."""
    if text == "__PING__":
        return Ping()
    # The vendor's client for Python sends the text of a dict.
    if text.strip() == "{'type': 'stop_request'}":
        return StopRequest()
    fields = require_object(parse_json(text), "The frame")
    match fields.get("type"):
        case "start_request":
            return _parse_start(fields)
        case "modify_request":
            speech = _object(fields, "speechRecognition")
            found = _read_format(speech)
            return ModifyRequest(*found)
        case "bookmark_request":
            return BookmarkRequest(fields)
        case "stop_request":
            return StopRequest()
    raise ApiError(400, 'The frame has no known "type".')


def _parse_start(fields: Mapping[str, JSON]) -> StartRequest:
    config = _object(fields, "config")
    speech = {**config, **_object(config, "speechRecognition")}
    encoding, rate = _read_format(speech)
    parameters = {name: config[name] for name in _AS_IN_SUBMISSIONS if name in config}
    parameters["trackers"] = fields.get("trackers")
    parameters["customVocabulary"] = fields.get("customVocabulary")
    parameters["enableAllTrackers"] = _object(config, "trackers").get("enableAllTrackers")
    redaction = _object(config, "redaction")
    if _read_flag(redaction, "identifyContent"):
        parameters["detectEntities"] = True
    return StartRequest(
        speaker=_object(fields, "speaker"),
        title=_read_title(config.get("meetingTitle") or fields.get("meetingTitle")),
        audio=AudioFormat.of(encoding, rate),
        insight_types=read_insight_types(fields.get("insightTypes")),
        parameters=submission_parameters.read(parameters),
        sentiment=_read_flag(config, "sentiment"),
        interim_results=_read_flag(speech, "interimResults", default=True),
        mask=_read_mask(redaction),
        no_connection_timeout=_read_wait(fields, "noConnectionTimeout", 0.0),
        keep_open=(
            _read_wait(fields, "disconnectOnStopRequestTimeout", MAX_WAIT)
            if not _read_flag(fields, "disconnectOnStopRequest", default=True)
            else None
        ),
        options=frozenset(
            name for name, value in {**fields, **speech}.items() if value not in EMPTY
        ).union(_unknown_insight_types(fields.get("insightTypes")))
        - {"type"},
    )


def read_insight_types(kinds: JSON) -> frozenset[str]:
    """Return the known types in a list, or of one; topics, which clients list too, are always sent.

    Raises a 400 ``ApiError`` for another value.
    """
    return INSIGHT_TYPES.intersection(_names(kinds))


def _unknown_insight_types(kinds: JSON) -> frozenset[str]:
    return frozenset(f"insightTypes {kind}" for kind in _names(kinds) - INSIGHT_TYPES - {"topic"})


def _names(kinds: JSON) -> frozenset[str]:
    names = [kinds] if isinstance(kinds, str) else [] if kinds is None else kinds
    if not isinstance(names, list):
        raise ApiError(400, '"insightTypes" must be a list of types.')
    return frozenset(name for name in names if isinstance(name, str) and name)


def _read_title(title: JSON) -> str | None:
    if not isinstance(title, str | None):
        raise ApiError(400, '"meetingTitle" must be a string.')
    return title or None


def _read_format(speech: Mapping[str, JSON]) -> tuple[str | None, int | None]:
    """Return the encoding and the samples a second, None for an empty one or 0.

    Raises a 400 ``ApiError``.
    """
    encoding, rate = speech.get("encoding") or None, read_number(speech.get("sampleRateHertz"))
    rate = rate or None
    if isinstance(encoding, str):
        encoding = encoding.upper()
    if encoding is not None and encoding not in ENCODINGS:
        raise ApiError(400, f'"encoding" must be one of {", ".join(ENCODINGS)}.')
    if rate is not None and not (is_whole_number(rate) and 8000 <= rate <= 48_000):
        raise ApiError(400, '"sampleRateHertz" must be a whole number from 8000 to 48000.')
    assert encoding is None or isinstance(encoding, str)
    return encoding, rate


def _read_wait(fields: Mapping[str, JSON], name: str, default: float) -> float:
    seconds = read_number(fields.get(name))
    # The client for Go sends a boolean.
    if isinstance(seconds, bool):
        return MAX_WAIT if seconds else 0.0
    if seconds is None or seconds == "":
        return default
    if not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_WAIT:
        raise ApiError(400, f'"{name}" must be seconds from 0 to {MAX_WAIT:.0f}.')
    return float(seconds)


def _read_flag(fields: Mapping[str, JSON], name: str, *, default: bool = False) -> bool:
    flag = read_flag(fields.get(name))
    if flag is None or flag == "":
        return default
    if not isinstance(flag, bool):
        raise ApiError(400, f'"{name}" must be true or false.')
    return flag


def _read_mask(redaction: Mapping[str, JSON]) -> str | None:
    # A wrong value is no reason to show what was to be masked: it is refused.
    if not _read_flag(redaction, "redactContent"):
        return None
    mask = redaction.get("redactionString") or "****"
    if not isinstance(mask, str) or not 1 <= len(mask) <= _LONGEST_MASK:
        raise ApiError(400, f'"redactionString" must be a text of 1 to {_LONGEST_MASK} characters.')
    return mask


def _object(fields: Mapping[str, JSON], name: str) -> dict[str, JSON]:
    """Return an object of the fields; clients send null, or nothing, for an empty one."""
    value = fields.get(name)
    return {} if value is None else require_object(value, f'"{name}"')
