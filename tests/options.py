"""Every documented option of a submission once, as a caller sets it and as the server reads it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from symbl_aio import (
    ChannelMetadata,
    CustomEntity,
    Features,
    MediaOptions,
    SalesMetadata,
    Speaker,
    TextOptions,
    Tracker,
    TrackerRef,
)
from symbl_aio.media import Media, Text


class Option(NamedTuple):
    """A field and its value; the parameter's name in the pages of the API, and its JSON value."""

    field: str
    value: object
    name: str
    on_the_wire: object


STORED_TRACKER = "5123"
_WEBHOOK = "http://127.0.0.1:9/hook?a=b&c=%C3%BC"

SHARED = [
    Option("name", "Hafen & Fähre, Plan=B?", "name", "Hafen & Fähre, Plan=B?"),
    Option("confidence_threshold", 0.75, "confidenceThreshold", 0.75),
    Option("detect_phrases", True, "detectPhrases", True),
    Option(
        "entities",
        [CustomEntity("vessel", "ferry"), CustomEntity("person", "Ines", value="the pilot")],
        "entities",
        [
            {"customType": "vessel", "text": "ferry"},
            {"customType": "person", "text": "Ines", "value": "the pilot"},
        ],
    ),
    Option("detect_entities", False, "detectEntities", False),
    Option(
        "trackers",
        [Tracker("delay", ["runs late", "zu spät, leider"]), TrackerRef(STORED_TRACKER)],
        "trackers",
        [{"name": "delay", "vocabulary": ["runs late", "zu spät, leider"]}, {"id": STORED_TRACKER}],
    ),
    Option("enable_all_trackers", False, "enableAllTrackers", False),
    Option("enable_summary", True, "enableSummary", True),
    Option("webhook_url", _WEBHOOK, "webhookUrl", _WEBHOOK),
    Option("timezone_offset", 0, "timezoneOffset", 0),
    Option("conversation_type", ["sales"], "conversationType", ["sales"]),
    Option(
        "features",
        Features(["insights", "callScore"]),
        "features",
        {"featureList": ["insights", "callScore"]},
    ),
    Option(
        "metadata",
        SalesMetadata(sales_stage="demo", prospect_name="Ana"),
        "metadata",
        {"salesStage": "demo", "prospectName": "Ana"},
    ),
]
"""What all five kinds of media take."""

RECORDINGS = [
    Option("custom_vocabulary", ["Pier & 7", "Größe"], "customVocabulary", ["Pier & 7", "Größe"]),
    Option("language_code", "en-GB", "languageCode", "en-GB"),
    Option("mode", "phone", "mode", "phone"),
    Option(
        "enable_separate_recognition_per_channel",
        True,
        "enableSeparateRecognitionPerChannel",
        True,
    ),
    Option(
        "channel_metadata",
        [ChannelMetadata(1, Speaker("Ana", "ana@example.com")), ChannelMetadata(2, Speaker("Bo"))],
        "channelMetadata",
        [
            {"channel": 1, "speaker": {"name": "Ana", "email": "ana@example.com"}},
            {"channel": 2, "speaker": {"name": "Bo"}},
        ],
    ),
    Option("enable_speaker_diarization", False, "enableSpeakerDiarization", False),
    Option("diarization_speaker_count", 3, "diarizationSpeakerCount", 3),
]
"""What sound and video take besides."""


def options_of(media: Media) -> list[Option]:
    return SHARED if isinstance(media, Text) else SHARED + RECORDINGS


def options_for(media: Media, **fields: Any) -> TextOptions | MediaOptions:
    return (TextOptions if isinstance(media, Text) else MediaOptions)(**fields)


def in_query(value: object) -> str:
    """Write a value the way the pages describe it, with nothing of the code under test."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
