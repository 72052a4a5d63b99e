from __future__ import annotations

import json
from typing import Any

import pytest

from symbl_aio.server.http_json import ApiError
from symbl_aio.server.live.audio_clock import AudioFormat
from symbl_aio.server.live.client_frames import (
    BookmarkRequest,
    ModifyRequest,
    Ping,
    StartRequest,
    StopRequest,
    parse_frame,
)
from tests.tables import table


def start(**fields: Any) -> StartRequest:
    request = parse_frame(json.dumps({"type": "start_request", **fields}))
    assert isinstance(request, StartRequest)
    return request


def test_a_start_without_settings_has_the_defaults_of_the_api() -> None:
    request = start(config={}, speaker=None, insightTypes=None, trackers=None)

    assert request == StartRequest()
    assert request.audio == AudioFormat("LINEAR16", 16_000)


def test_a_start_keeps_the_keys_that_a_client_adds_to_its_speaker() -> None:
    speaker = {"userId": "ann@example.com", "name": "Ann", "peerId": "p1", "tags": [1]}

    assert start(speaker=speaker).speaker == speaker


def test_the_settings_of_a_submission_are_read_as_in_one() -> None:
    request = start(
        config={"confidenceThreshold": "0.7", "detectEntities": "true", "trackers": {}},
        trackers=[{"name": "Money", "vocabulary": ["budget"]}],
    )

    assert request.parameters == {
        "confidenceThreshold": 0.7,
        "detectEntities": True,
        "trackers": [{"name": "Money", "vocabulary": ["budget"]}],
    }


@table(
    "fields,expected",
    [
        ({"insightTypes": ["question", "topic", 3]}, {"insight_types": frozenset({"question"})}),
        ({"config": {"meetingTitle": "Standup"}}, {"title": "Standup"}),
        ({"meetingTitle": "Standup"}, {"title": "Standup"}),
        ({"noConnectionTimeout": 90}, {"no_connection_timeout": 90.0}),
        ({"noConnectionTimeout": True}, {"no_connection_timeout": 1800.0}),
        ({"noConnectionTimeout": False}, {"no_connection_timeout": 0.0}),
        ({"disconnectOnStopRequest": False}, {"keep_open": 1800.0}),
        (
            {"disconnectOnStopRequest": False, "disconnectOnStopRequestTimeout": 5},
            {"keep_open": 5.0},
        ),
        ({"disconnectOnStopRequest": "false"}, {"keep_open": 1800.0}),
        ({"config": {"sentiment": True}}, {"sentiment": True}),
        ({"config": {"sentiment": "True"}}, {"sentiment": True}),
        (
            {"config": {"speechRecognition": {"interimResults": "false"}}},
            {"interim_results": False},
        ),
        ({"insightTypes": "question"}, {"insight_types": frozenset({"question"})}),
        (
            {"config": {"speechRecognition": {"encoding": "MULAW"}}},
            {"audio": AudioFormat("MULAW", 8000)},
        ),
        (
            {"config": {"encoding": "Opus", "sampleRateHertz": 48_000}},
            {"audio": AudioFormat("OPUS", 48_000)},
        ),
        ({"config": {"redaction": {"redactContent": True}}}, {"mask": "****"}),
        (
            {"config": {"redaction": {"identifyContent": True, "redactContent": False}}},
            {"mask": None, "parameters": {"detectEntities": True}},
        ),
        ({"config": {"redaction": {"redactContent": "true"}}}, {"mask": "****"}),
        # A client whose language has no absent values sends empty ones.
        (
            {
                "noConnectionTimeout": "",
                "config": {
                    "speechRecognition": {"encoding": "", "sampleRateHertz": 0},
                    "redaction": {"redactContent": True, "redactionString": ""},
                },
            },
            {
                "audio": AudioFormat("LINEAR16", 16_000),
                "mask": "****",
                "no_connection_timeout": 0.0,
            },
        ),
        (
            {"config": {"redaction": {"redactContent": True, "redactionString": None}}},
            {"mask": "****"},
        ),
    ],
)
def test_a_setting_is_read(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    request = start(**fields)

    assert {name: getattr(request, name) for name in expected} == expected


@table(
    "fields,words",
    [
        ({"config": {"speechRecognition": {"encoding": "MP3"}}}, '"encoding" must be one of'),
        ({"config": {"sampleRateHertz": 4000}}, "8000 to 48000"),
        ({"config": []}, '"config" must be a JSON object'),
        ({"speaker": "Ann"}, '"speaker" must be a JSON object'),
        ({"insightTypes": {"question": True}}, '"insightTypes" must be a list'),
        ({"config": {"sentiment": "yes"}}, '"sentiment" must be true or false'),
        ({"config": {"interimResults": 1}}, '"interimResults" must be true or false'),
        ({"disconnectOnStopRequest": 0}, '"disconnectOnStopRequest" must be true or false'),
        ({"config": {"meetingTitle": 5}}, '"meetingTitle" must be a string'),
        ({"noConnectionTimeout": 1801}, "0 to 1800"),
        ({"noConnectionTimeout": "soon"}, "0 to 1800"),
        ({"config": {"confidenceThreshold": 2}}, '"confidenceThreshold"'),
        ({"trackers": [{"name": "Money"}]}, '"trackers"'),
        (
            {"config": {"redaction": {"redactContent": True, "redactionString": "x" * 17}}},
            "1 to 16",
        ),
        ({"config": {"redaction": {"redactContent": 1}}}, '"redactContent" must be true or false'),
        ({"config": {"redaction": {"identifyContent": []}}}, '"identifyContent" must be'),
        ({"config": {"redaction": True}}, '"redaction" must be a JSON object'),
    ],
)
def test_a_wrong_setting_is_refused_by_name(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ApiError, match=words):
        start(**fields)


@table(
    "text,expected",
    [
        ('{"type": "stop_request"}', StopRequest()),
        ("{'type': 'stop_request'}", StopRequest()),
        ("__PING__", Ping()),
        (
            '{"type": "modify_request", "speechRecognition": {"sampleRateHertz": 44100}}',
            ModifyRequest(None, 44_100),
        ),
    ],
)
def test_a_frame_is_parsed(text: str, expected: object) -> None:
    assert parse_frame(text) == expected


def test_an_insight_type_that_does_not_exist_is_an_option_without_a_name() -> None:
    request = start(insightTypes=["question", "topic", "risk"])
    assert request.options == {"insightTypes", "insightTypes risk"}


def test_a_bookmark_request_is_known() -> None:
    assert isinstance(parse_frame('{"type": "bookmark_request"}'), BookmarkRequest)


@table("text", ["", "hello", "[]", '{"type": "begin"}', "{}", '{"type": ' + "[" * 99])
def test_another_frame_is_refused(text: str) -> None:
    with pytest.raises(ApiError):
        parse_frame(text)
