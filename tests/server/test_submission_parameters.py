"""The spellings of parameters that clients send, and the values that they mean."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import MultiDict

QUERIES = [
    # The vendor's Go SDK sends every parameter as soon as one is set.
    ([("mode", ""), ("webhookUrl", ""), ("diarizationSpeakerCount", "0")], {}),
    ([("name", ""), ("confidenceThreshold", "")], {}),
    ([("confidenceThreshold", "0.6")], {"confidenceThreshold": 0.6}),
    ([("detectPhrases", "True"), ("enableSummary", "false")],
     {"detectPhrases": True, "enableSummary": False}),
    ([("diarizationSpeakerCount", "2")], {"diarizationSpeakerCount": 2}),
    # Five spellings of a vocabulary, and a list of one.
    ([("customVocabulary", '["Symbl","Grace"]')], {"customVocabulary": ["Symbl", "Grace"]}),
    ([("customVocabulary", "Symbl"), ("customVocabulary", "Grace")],
     {"customVocabulary": ["Symbl", "Grace"]}),
    ([("customVocabulary", "Platform as a Service")],
     {"customVocabulary": ["Platform as a Service"]}),
    ([("customVocabulary", "[Symbl,Grace Hopper]")],
     {"customVocabulary": ["Symbl", "Grace Hopper"]}),
    ([("customVocabulary", character) for character in '["Symbl", "Grace"]'],
     {"customVocabulary": ["Symbl", "Grace"]}),
    ([("customVocabulary", '["Symbl"]')], {"customVocabulary": ["Symbl"]}),
    ([("customVocabulary", "")], {}),
    ([("customVocabulary", "[]")], {"customVocabulary": []}),
    ([("entities", '[{"customType":"drug","text":"aspirin"}]')],
     {"entities": [{"customType": "drug", "text": "aspirin"}]}),
    ([("languageCode", "en_US")], {"languageCode": "en-US"}),
]  # fmt: skip

BODIES = [
    # The reference samples of the documentation.
    ({"detectPhrases": "true", "detectEntities": "True"},
     {"detectPhrases": True, "detectEntities": True}),
    ({"enableAllTrackers": "false"}, {"enableAllTrackers": False}),
    ({"enableSpeakerDiarization": "true", "diarizationSpeakerCount": "2"},
     {"enableSpeakerDiarization": True, "diarizationSpeakerCount": 2}),
    ({"confidenceThreshold": "0.7"}, {"confidenceThreshold": 0.7}),
    ({"customVocabulary": "Symbl"}, {"customVocabulary": ["Symbl"]}),
    ({"timezoneOffset": 60.0, "diarizationSpeakerCount": "2.0"},
     {"timezoneOffset": 60, "diarizationSpeakerCount": 2}),
    ({"webhookUrl": "", "mode": "", "diarizationSpeakerCount": 0, "languageCode": None}, {}),
    ({"features": {"featureList": None}}, {"features": {"featureList": None}}),
    ({"channelMetadata": [{"channel": "2", "speaker": {"name": "Bo"}}]},
     {"channelMetadata": [{"channel": 2, "speaker": {"name": "Bo"}}]}),
]  # fmt: skip


@pytest.mark.parametrize(("pairs", "expected"), QUERIES)
async def test_a_query_is_read_as_what_it_means(
    caller: Any, pairs: list[tuple[str, str]], expected: dict[str, Any]
) -> None:
    answer = await caller.request("POST", "/v1/process/audio", data=b"x", params=MultiDict(pairs))

    assert answer.status == 201
    assert _given(caller) == expected


@pytest.mark.parametrize(("fields", "expected"), BODIES)
async def test_a_body_is_read_as_what_it_means(
    caller: Any, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    answer = await caller.text("Hello.", **fields)

    assert answer.status == 201
    assert _given(caller) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"detectPhrases": "yes"},
        {"confidenceThreshold": "high"},
        {"confidenceThreshold": "1.5"},
        {"diarizationSpeakerCount": "two"},
        {"diarizationSpeakerCount": -1},
        {"customVocabulary": [1]},
        {"mode": "fax"},
    ],
)
async def test_a_value_without_a_meaning_is_refused_by_name(
    caller: Any, fields: dict[str, Any]
) -> None:
    answer = await caller.text("Hello.", **fields)

    assert answer.status == 400
    assert f'"{next(iter(fields))}"' in answer.body["message"]


def _given(caller: Any) -> dict[str, Any]:
    parameters = caller.server.submissions[-1].parameters
    return {name: value for name, value in parameters.items() if name != "messages"}


async def test_too_many_messages_are_refused_with_the_remedy(caller: Any) -> None:
    messages = [{"payload": {"content": "Yes."}}] * 10_001

    answer = await caller.request("POST", "/v1/process/text", json={"messages": messages})

    assert answer.status == 400
    assert answer.body["message"] == '"messages" has 10,000 items at most; append the others.'
