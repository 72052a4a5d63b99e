"""Every option of a call has a row in the document, and those that are acted on act."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest

from symbl_aio.server.conversations.handlers import _TRANSCRIPT_RULES
from symbl_aio.server.html_pages import _RULES as PAGE_RULES
from symbl_aio.server.http_json import ApiError
from symbl_aio.server.option_support import (
    MANAGEMENT,
    PAGES,
    READS,
    STREAMS,
    SUBMISSIONS,
    TRANSCRIPTS,
    UnknownOptions,
)
from symbl_aio.server.recognition_parameters import check_recognition
from symbl_aio.server.submission_parameters import RULES

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "symbl_aio" / "server"
LINES = (
    "Ann: I will fix the pump tomorrow.",
    "Bob: Is the pump of mr smith broken?",
    "Ann: The pump is great.",
)
# Options whose effect is shown by a test of its own.
SHOWN_ELSEWHERE = {
    "messages": "tests/server/test_processing.py",
    "url": "tests/server/test_outbound_http.py",
    "webhookUrl": "tests/server/test_webhooks.py",
    "features": "tests/server/conversations/test_handlers.py",
    "timezoneOffset": "tests/server/test_recognition_parameters.py",
    "languageCode": "tests/server/test_recognition_parameters.py",
    "enableSeparateRecognitionPerChannel": "tests/server/test_recognition_parameters.py",
    "channelMetadata": "tests/server/test_recognition_parameters.py",
    "enableAllTrackers": "tests/server/management/test_handlers.py",
    "enableSummary": "tests/server/conversations/test_handlers.py",
}
# Options of text submissions, and the call whose answer they change.
CHANGED = {
    "name": ("Monday", ""),
    "confidenceThreshold": (1.0, "/insights"),
    "detectPhrases": (True, "/messages"),
    "detectEntities": (True, "/entities"),
    "entities": ([{"customType": "part", "text": "pump"}], "/entities"),
    "customEntities": ([{"customType": "part", "text": "pump"}], "/entities"),
    "trackers": ([{"name": "Parts", "vocabulary": ["pump"]}], "/trackers"),
}
IGNORED = {"mode": "phone", "conversationType": "sales", "metadata": {"salesStage": "demo"}}
REFUSED = {
    "customVocabulary": ["pump"],
    "enableSpeakerDiarization": True,
    "diarizationSpeakerCount": 2,
}


async def answer(caller: Any, call: str, **fields: Any) -> str:
    """Return the answer to a call about a conversation, without its ids and times."""
    lines = [
        {"payload": {"content": text}, "from": {"name": name}}
        for name, _, text in (line.partition(": ") for line in LINES)
    ]
    made = await caller.request(
        "POST", "/v1/process/text", json={"messages": lines, "name": "Call", **fields}
    )
    assert made.status == 201
    await caller.server.until(lambda: not caller.server.unfinished)
    got = await caller.get(f"/v1/conversations/{made.body['conversationId']}{call}")
    assert got.status == 200
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "time", repr(got.body))
    return re.sub(r"\d{16}|[0-9a-f]{8}-[0-9a-f-]{27}", "id", text)


def test_every_option_of_a_submission_has_an_effect() -> None:
    assert RULES.keys() | {"messages", "url", "conversationType"} == SUBMISSIONS.keys()


def test_every_option_that_a_reading_call_looks_at_has_an_effect() -> None:
    pattern = re.compile(
        r'(?:query_flag|query_text|_query_int|_query_instant)\(request, "(\w+)"'
        r'|request\.query\.get\("(\w+)"|"(\w+)" in request\.query'
    )
    found = {
        next(filter(None, groups))
        for path in SERVER.rglob("*.py")
        if path.name != "submission_parameters.py"
        for groups in pattern.findall(path.read_text())
    }
    # Names that stand in a loop.
    assert found | {"customTopicVocabulary", "customVocabulary"} == READS.keys()


def test_every_option_of_a_transcript_and_of_a_page_has_an_effect() -> None:
    assert TRANSCRIPTS.keys() == _TRANSCRIPT_RULES.keys()
    assert PAGES.keys() == PAGE_RULES.keys()


async def test_an_option_of_a_read_a_transcript_or_a_page_is_named_if_it_has_no_effect(
    caller: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"/v1/conversations/{(await caller.text('Hello.')).body['conversationId']}"
    with caplog.at_level(logging.WARNING, "symbl_aio.server"):
        for _ in range(2):
            await caller.get(f"{path}/messages", page="2", verbose="true")
            await caller.request(
                "POST", f"{path}/transcript", json={"contentType": "text/srt", "bold": True}
            )
            page = {"name": "verbose-text-summary", "enableCustomDomain": "true", "logo": ""}
            page["disableSummaryURLAuthentication"] = "false"
            await caller.request("POST", f"{path}/experiences", json=page)
    assert [record.getMessage() for record in caplog.records] == [
        "the option 'page' is unknown here and has no effect",
        "the option 'bold' is unknown here and has no effect",
        "the option 'enableCustomDomain' has no effect: "
        "the link has the public address of the server",
    ]


def test_the_document_has_every_row() -> None:
    text = (ROOT / "docs" / "server-options.md").read_text()
    rows = {
        f"| `{n}` | {o.effect} | {o.note} |"
        for t in (SUBMISSIONS, READS, TRANSCRIPTS, PAGES, MANAGEMENT, STREAMS)
        for n, o in t.items()
    }
    assert rows == {line for line in text.splitlines() if line.startswith("| `")}


def test_every_option_is_shown() -> None:
    acted_on = {name for name, option in SUBMISSIONS.items() if option.effect == "acted on"}
    harmless = {name for name, option in SUBMISSIONS.items() if option.effect == "harmless"}
    assert acted_on == CHANGED.keys() | SHOWN_ELSEWHERE.keys()
    assert harmless == IGNORED.keys()
    assert SUBMISSIONS.keys() - acted_on - harmless == REFUSED.keys()
    for name, path in SHOWN_ELSEWHERE.items():
        assert name in (ROOT / path).read_text()


@pytest.mark.parametrize("name", CHANGED)
async def test_an_option_that_is_acted_on_changes_an_answer(caller: Any, name: str) -> None:
    value, call = CHANGED[name]
    assert await answer(caller, call, **{name: value}) != await answer(caller, call)


async def test_options_that_are_harmless_change_nothing(caller: Any) -> None:
    for call in ("/messages", "/insights", "/topics"):
        assert await answer(caller, call, **IGNORED) == await answer(caller, call)


@pytest.mark.parametrize("name", REFUSED)
def test_an_option_that_is_refused_is_so_where_speech_is_recognised(name: str) -> None:
    with pytest.raises(ApiError) as caught:
        check_recognition({name: REFUSED[name]}, english_only=False)  # type: ignore[dict-item]
    assert caught.value.status == 400


async def test_settings_without_an_effect_are_named_once(
    caller: Any, caplog: pytest.LogCaptureFixture
) -> None:
    patch = [{"op": "replace", "path": "/intelligence/bookmarks/duration", "value": 30}]
    with caplog.at_level(logging.WARNING, "symbl_aio.server"):
        for _ in range(2):
            await caller.request("PATCH", "/v1/manage/settings", json=patch)
    assert [record.getMessage() for record in caplog.records] == [
        "the option 'settings' has no effect: they are stored and returned only"
    ]


async def test_a_feature_that_does_not_exist_is_named(
    caller: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "symbl_aio.server"):
        await caller.text("Hello.", features={"featureList": ["insights", "callScore", "magic"]})
    assert [record.getMessage() for record in caplog.records] == [
        "the option 'features magic' is unknown here and has no effect"
    ]


def test_an_unknown_option_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    unknown = UnknownOptions()
    with caplog.at_level(logging.WARNING, "symbl_aio.server"):
        for _ in range(2):
            unknown.name({"enableMagic": True, "name": "Call"})
    assert [record.getMessage() for record in caplog.records] == [
        "the option 'enableMagic' is unknown here and has no effect"
    ]


def test_every_setting_of_the_vendors_start_requests_is_known() -> None:
    from symbl_aio.server.live.client_frames import StartRequest, parse_frame

    frame = """{"type": "start_request", "id": "x", "insightTypes": ["topic"],
        "speaker": {"name": "Ann"}, "customVocabulary": ["acme"], "customVocabularyStrength": 5,
        "trackers": [], "actions": [{}], "meetingTitle": "x", "prebuiltTrackers": ["x"],
        "noConnectionTimeout": 0,
        "disconnectOnStopRequest": true, "disconnectOnStopRequestTimeout": 0, "config": {
        "confidenceThreshold": 0.5, "languageCode": "en-US", "timezoneOffset": 480,
        "sentiment": false, "detectEntities": false, "redaction": {"redactContent": false},
        "trackers": {"enableAllTrackers": false},
        "speechRecognition": {"encoding": "LINEAR16", "sampleRateHertz": 16000, "engine": "x",
        "interimResults": true}}}"""
    request = parse_frame(frame)
    assert isinstance(request, StartRequest)

    assert request.options <= STREAMS.keys()
    assert STREAMS.keys() - request.options == {
        "audioConfig", "dtmf", "intents", "languages", "providerName", "pushSpeakerEvents",
        "timezone", "transportConfig"
    }  # fmt: skip


def test_a_known_option_that_a_caller_may_count_on_is_named_once_with_the_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = UnknownOptions(STREAMS)
    with caplog.at_level(logging.WARNING, "symbl_aio.server"):
        for _ in range(2):
            options.name(dict.fromkeys(("customVocabulary", "engine", "speaker")))
    (record,) = caplog.records
    assert record.getMessage() == (
        "the option 'customVocabulary' has no effect: "
        "with it, the speech model would lose sentences"
    )


async def test_a_call_that_wants_a_mail_is_told_that_none_is_sent(
    caller: Any, caplog: pytest.LogCaptureFixture
) -> None:
    mail = {"name": "sendSummaryEmail", "invokeOn": "stop", "parameters": {"emails": ["a@b.test"]}}
    everything: list[Any] = [{}, [], None, [mail]]
    for actions in everything:
        body = {
            "operation": "start",
            "endpoint": {"type": "pstn", "phoneNumber": "15551234"},
            "actions": actions,
        }
        with caplog.at_level(logging.WARNING, "symbl_aio.server"):
            assert (await caller.request("POST", "/v1/endpoint:connect", json=body)).status == 200
    assert [
        record.getMessage() for record in caplog.records if "actions" in record.getMessage()
    ] == [
        "the option 'actions' has no effect: "
        "no mail is sent; of a call the addresses are in `summaryInfo`"
    ]


def test_a_setting_that_a_client_leaves_empty_is_not_counted() -> None:
    from symbl_aio.server.live.client_frames import StartRequest, parse_frame

    frame = """{"type": "start_request", "customVocabulary": [], "prebuiltTrackers": null,
        "speaker": {}, "noConnectionTimeout": 0,
        "config": {"meetingTitle": "", "sentiment": false}}"""
    request = parse_frame(frame)
    assert isinstance(request, StartRequest)
    assert request.options == {"config", "noConnectionTimeout", "sentiment"}
