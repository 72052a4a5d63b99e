"""Addresses and requests of live audio: streams, subscriptions and telephone calls.

Streaming, Subscribe and Telephony pages of the API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final, get_args

from symbl_aio._error_classes import ConfigurationError
from symbl_aio._fields import (
    is_int,
    is_share,
    require,
    require_all,
    require_flag,
    require_number,
    require_word,
    type_name,
)
from symbl_aio._protocol import bodies
from symbl_aio._protocol.calls import Call, json_text, quoted_id
from symbl_aio._protocol.encode import plain
from symbl_aio.drafts import BookmarkDraft
from symbl_aio.live.settings import Encoding, InsightType, Redaction, StreamSettings
from symbl_aio.models import JSON, User
from symbl_aio.options import Tracker, TrackerRef

ENCODING: Final = "LINEAR16"
SAMPLE_RATE: Final = 16_000
"""What the server expects if the start request names none."""

NO_CONNECTION_TIMEOUT: Final = 30
_MOST_SECONDS: Final = 1800
_RATES: Final[Mapping[str, tuple[int, int]]] = {
    "LINEAR16": (8_000, 48_000),
    "MULAW": (8_000, 8_000),
    "FLAC": (16_000, 192_000),
    "OPUS": (16_000, 48_000),
}
_KNOWN: Final = frozenset(StreamSettings.__annotations__)
_CONFIG: Final = {
    "language": "languageCode",
    "title": "meetingTitle",
    "sentiment": "sentiment",
    "detect_entities": "detectEntities",
    "confidence_threshold": "confidenceThreshold",
    "timezone_offset": "timezoneOffset",
}


def stream(connection_id: str) -> str:
    """Return the path of a stream, to which each speaker connects. Streaming API page."""
    return f"/v1/streaming/{quoted_id('id', connection_id)}"


def subscription(connection_id: str) -> str:
    """Return the path on which a stream's events are received. Subscribe API page."""
    return f"/v1/subscribe/{quoted_id('id', connection_id)}"


def call_results(connection_id: str) -> str:
    """Return the path on which a call's events are received. Telephony API page."""
    return f"/session/subscribe/{quoted_id('connection_id', connection_id)}"


def connect_endpoint() -> Call:
    """Telephony API page: start or stop a call."""
    return Call("POST", "/v1/endpoint:connect")


def speaker_event(connection_id: str) -> Call:
    """Telephony API page: report a speaker of a call."""
    return Call("POST", f"/v1/event/{quoted_id('connection_id', connection_id)}")


def check_encoding(encoding: object, sample_rate: object) -> tuple[Encoding, int]:
    """Return an encoding in capitals, and a rate in its range, or raise ``ConfigurationError``."""
    known = encoding.upper() if isinstance(encoding, str) else ""
    if known not in _RATES:
        raise ConfigurationError(
            f"encoding is {encoding!r}; give one of {', '.join(get_args(Encoding))}"
        )
    least, most = _RATES[known]
    if not is_int(sample_rate) or not least <= sample_rate <= most:  # type: ignore[operator]
        rates = f"{least}" if least == most else f"{least} to {most}"
        raise ConfigurationError(
            f"sample_rate is {sample_rate!r}; give an int, for {known} of {rates} Hz"
        )
    return known, sample_rate  # type: ignore[return-value]


def start_request(connection_id: str, settings: StreamSettings) -> dict[str, JSON]:
    """Return the request that starts a stream.

    Raises ``ConfigurationError`` that names the setting.
    """
    if unknown := sorted(settings.keys() - _KNOWN):
        raise ConfigurationError(
            f"{unknown[0]} is no setting of a stream; give {', '.join(sorted(_KNOWN))}, or extra"
        )
    given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    encoding, rate = check_encoding(
        given.get("encoding", ENCODING), given.get("sample_rate", SAMPLE_RATE)
    )
    _check_texts_and_numbers(given)
    recognition: dict[str, JSON] = {"encoding": encoding, "sampleRateHertz": rate}
    if "interim_results" in given:
        recognition["interimResults"] = given["interim_results"]
    config: dict[str, JSON] = {"speechRecognition": recognition}
    config |= {wire: given[name] for name, wire in _CONFIG.items() if name in given}
    if "redaction" in given:
        config["redaction"] = _redaction(given["redaction"])
    if given.get("enable_all_trackers"):
        config["trackers"] = {"enableAllTrackers": True}
    request: dict[str, JSON] = {
        "type": "start_request",
        "id": connection_id,
        "config": config,
        "speaker": _speaker(given.get("speaker")),
        "noConnectionTimeout": given.get("no_connection_timeout", NO_CONNECTION_TIMEOUT),
    }
    lists: dict[str, list[JSON]] = {
        "insightTypes": insight_types(given.get("insight_types", ())),
        "trackers": [plain(tracker) for tracker in _trackers(given.get("trackers", ()))],
        "customVocabulary": list(
            _any_number("custom_vocabulary", given.get("custom_vocabulary", ()), str, "phrases")
        ),
    }
    request |= {name: listed for name, listed in lists.items() if listed}
    if given.get("keep_open"):
        request["disconnectOnStopRequest"] = False
    request = bodies.with_extra(request, given.get("extra", {}), "a setting")
    json_text(request)  # or the error would come once the connection is open
    return request


def with_encoding(
    request: Mapping[str, JSON], encoding: Encoding, sample_rate: int
) -> dict[str, JSON]:
    """Return a start request for audio of another encoding."""
    config: Any = request["config"]
    changed = {"encoding": encoding, "sampleRateHertz": sample_rate}
    recognition: JSON = config["speechRecognition"] | changed
    return {**request, "config": config | {"speechRecognition": recognition}}


def modify_request(encoding: Encoding, sample_rate: int) -> str:
    """Streaming API page: audio of another encoding follows."""
    recognition: JSON = {"encoding": encoding, "sampleRateHertz": sample_rate}
    return json_text({"type": "modify_request", "speechRecognition": recognition})


def bookmark_request(draft: BookmarkDraft | None, bookmark_id: str | None) -> str:
    """Streaming API page: create a bookmark, replace the one with an id, or delete it."""
    request: dict[str, JSON] = {"type": "bookmark_request"}
    if draft is None:
        request["operation"] = "delete"
    else:
        request["operation"] = "create" if bookmark_id is None else "update"
        fields = bodies.bookmark(draft)
        assert isinstance(fields, Mapping)
        request |= fields
    if bookmark_id is not None:
        require_word("bookmark_id", bookmark_id)
        request["id"] = bookmark_id
    elif draft is None:
        raise ConfigurationError("draft and bookmark_id are None; give one of them")
    return json_text(request)


# An empty list is none, as in the options of recordings.
_any_number: Final = partial(require_all, least=0)

STOP_REQUEST: Final = json_text({"type": "stop_request"})


def _check_texts_and_numbers(given: Mapping[str, Any]) -> None:
    for name in ("language", "title"):
        if name in given:
            require_word(name, given[name])
    for name in ("sentiment", "detect_entities", "enable_all_trackers", "interim_results"):
        if name in given:
            require_flag(name, given[name])
    require_flag("keep_open", given.get("keep_open", False))
    if not is_share(given.get("confidence_threshold", 0.5)):
        raise ConfigurationError(
            f"confidence_threshold is {given['confidence_threshold']!r}; give a number from 0.0 "
            "to 1.0"
        )
    if not is_int(given.get("timezone_offset", 0)):
        raise ConfigurationError(
            f"timezone_offset is {type_name(given['timezone_offset'])}; give minutes, an int"
        )
    timeout = given.get("no_connection_timeout", 0)
    remedy = f"whole seconds, 0 to {_MOST_SECONDS}"
    require("no_connection_timeout", timeout, int, remedy)
    require_number("no_connection_timeout", timeout, remedy)
    if timeout > _MOST_SECONDS:
        raise ConfigurationError(f"no_connection_timeout is {timeout}; give {remedy}")


def _speaker(speaker: object) -> JSON:
    if speaker is None:
        return {}
    if isinstance(speaker, Mapping):
        return dict(speaker)
    require("speaker", speaker, User, "User(name=..., user_id=...), or a dict")
    return plain(speaker)


def insight_types(types: Iterable[str]) -> list[JSON]:
    """Return the names of the insights that are asked for, or raise ``ConfigurationError``."""
    known = get_args(InsightType)
    found = _any_number("insight_types", types, str, 'types such as "question"')
    for index, one in enumerate(found):
        if one not in known:
            raise ConfigurationError(
                f"insight_types[{index}] is {one!r}; give one of {', '.join(known)}"
            )
    return list(found)


def _trackers(trackers: Iterable[Tracker | TrackerRef]) -> tuple[object, ...]:
    remedy = "Tracker(name=..., vocabulary=[...]) or TrackerRef(id=...) values"
    found = _any_number("trackers", trackers, object, remedy)
    for index, one in enumerate(found):
        require(f"trackers[{index}]", one, (Tracker, TrackerRef), remedy)
    return found


def _redaction(redaction: object) -> JSON:
    found = require("redaction", redaction, Redaction, "Redaction(...)")
    assert isinstance(found, Redaction)
    wire: dict[str, JSON] = {"identifyContent": found.identify, "redactContent": found.redact}
    return wire if found.text is None else {**wire, "redactionString": found.text}
