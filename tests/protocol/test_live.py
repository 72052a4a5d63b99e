"""Requests of live audio, with every documented setting once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from symbl_aio import (
    BookmarkDraft,
    ConfigurationError,
    Redaction,
    StreamSettings,
    Tracker,
    TrackerRef,
    User,
)
from symbl_aio._protocol import live
from tests.tables import table


def test_a_start_request_has_every_setting_under_its_name():
    settings: StreamSettings = {
        "speaker": {"userId": "i@example.com", "peerId": "p-1"},
        "insight_types": ["question", "topic"],
        "encoding": "FLAC",
        "sample_rate": 48000,
        "language": "en-GB",
        "title": "Pier 4",
        "trackers": [Tracker("Delay", ["late"]), TrackerRef("t-1")],
        "enable_all_trackers": True,
        "custom_vocabulary": ["berth"],
        "sentiment": True,
        "detect_entities": True,
        "redaction": Redaction(text="[...]"),
        "confidence_threshold": 0.7,
        "timezone_offset": 60,
        "interim_results": False,
        "no_connection_timeout": 600,
        "keep_open": True,
        "extra": {"actions": []},
    }
    assert live.start_request("x", settings) == {
        "type": "start_request",
        "id": "x",
        "insightTypes": ["question", "topic"],
        "config": {
            "speechRecognition": {
                "encoding": "FLAC",
                "sampleRateHertz": 48000,
                "interimResults": False,
            },
            "languageCode": "en-GB",
            "meetingTitle": "Pier 4",
            "sentiment": True,
            "detectEntities": True,
            "confidenceThreshold": 0.7,
            "timezoneOffset": 60,
            "redaction": {
                "identifyContent": True,
                "redactContent": True,
                "redactionString": "[...]",
            },
            "trackers": {"enableAllTrackers": True},
        },
        "speaker": {"userId": "i@example.com", "peerId": "p-1"},
        "trackers": [{"name": "Delay", "vocabulary": ["late"]}, {"id": "t-1"}],
        "customVocabulary": ["berth"],
        "noConnectionTimeout": 600,
        "disconnectOnStopRequest": False,
        "actions": [],
    }


def test_settings_that_are_none_are_left_out():
    settings: StreamSettings = {"speaker": None, "title": None, "trackers": None}
    assert live.start_request("x", settings) == live.start_request("x", {})


def test_empty_lists_are_left_out():
    settings: StreamSettings = {"insight_types": [], "trackers": (), "custom_vocabulary": iter("")}
    assert live.start_request("x", settings) == live.start_request("x", {})


def test_extra_parameters_go_beside_the_ones_with_a_setting_at_every_depth():
    recognition = {"engine": "new"}
    extra: dict[str, Any] = {
        "disconnectOnStopRequestTimeout": 60,
        "config": {
            "customVocabularyStrength": 2,
            "speechRecognition": recognition,
            "trackers": {"interimResults": True},
        },
        "speaker": {"peerId": "p-1"},
    }
    request = live.start_request("x", {"enable_all_trackers": True, "title": "A", "extra": extra})
    assert request["disconnectOnStopRequestTimeout"] == 60
    assert request["speaker"] == {"peerId": "p-1"}
    config: Any = request["config"]
    assert config == {
        "speechRecognition": {"encoding": "LINEAR16", "sampleRateHertz": 16000, "engine": "new"},
        "meetingTitle": "A",
        "customVocabularyStrength": 2,
        "trackers": {"enableAllTrackers": True, "interimResults": True},
    }
    changed: Any = live.with_encoding(request, "MULAW", 8000)
    assert changed["config"]["speechRecognition"]["engine"] == "new"
    assert recognition == {"engine": "new"}


@table(
    "settings,words",
    [
        ({"extra": {"type": "x"}}, r"extra\['type'\] has a setting of its own"),
        ({"extra": {"config": 5}}, r"extra\['config'\] has a setting of its own"),
        (
            {"extra": {"config": {"speechRecognition": {"encoding": "FLAC"}}}},
            r"extra\['config'\]\['speechRecognition'\]\['encoding'\] has a setting of its own",
        ),
        ({"encoding": "MULAW"}, "sample_rate"),
        ({"encoding": 3}, "encoding"),
        ({"sample_rate": "16000"}, "sample_rate"),
        ({"speaker": "Ines"}, "speaker"),
        ({"trackers": ["late"]}, r"trackers\[0\]"),
        ({"custom_vocabulary": "berth"}, "custom_vocabulary"),
        ({"redaction": True}, "redaction"),
        ({"sentiment": "yes"}, "sentiment"),
        ({"timezone_offset": 1.5}, "timezone_offset"),
        ({"no_connection_timeout": -1}, "no_connection_timeout"),
        ({"no_connection_timeout": 2.5}, "no_connection_timeout"),
        ({"extra": {"x": float("nan")}}, "JSON"),
        ({"colour": 1}, "colour is no setting"),
    ],
)
def test_a_wrong_setting_is_named(settings, words):
    with pytest.raises(ConfigurationError, match=words):
        live.start_request("x", settings)


def test_ids_are_encoded_in_paths():
    assert live.stream("aW5lcw==") == "/v1/streaming/aW5lcw%3D%3D"
    assert live.subscription("a+b") == "/v1/subscribe/a%2Bb"
    assert live.call_results("c-1") == "/session/subscribe/c-1"
    assert live.speaker_event("c-1").path == "/v1/event/c-1"


def test_bookmarks_are_created_replaced_and_deleted():
    draft = BookmarkDraft(
        label="Decision",
        description="The railings",
        user=User(name="Ines"),
        begin_time_offset=12,
        duration=30,
    )
    created = json.loads(live.bookmark_request(draft, None))
    assert (created["type"], created["operation"]) == ("bookmark_request", "create")
    assert created["beginTimeOffset"] == 12
    assert json.loads(live.bookmark_request(draft, "b-1"))["operation"] == "update"
    assert json.loads(live.bookmark_request(None, "b-1")) == {
        "type": "bookmark_request",
        "operation": "delete",
        "id": "b-1",
    }
    with pytest.raises(ConfigurationError):
        live.bookmark_request(None, None)


def test_a_start_request_of_another_encoding_keeps_all_else():
    settings: StreamSettings = {"title": "Pier 4", "interim_results": False}
    request = live.start_request("pier-4", settings)
    changed = live.with_encoding(request, "MULAW", 8000)
    again: StreamSettings = {**settings, "encoding": "MULAW", "sample_rate": 8000}
    assert changed == live.start_request("pier-4", again)
    assert request == live.start_request("pier-4", settings)
