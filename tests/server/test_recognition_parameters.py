"""The parameters of speech recognition, on a server whose recogniser is a real process.

The process is a small program that answers with its request: no model is needed to see which
parameters reach it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from symbl_aio.server.http_json import JSON, ApiError
from symbl_aio.server.recognition_parameters import check_recognition
from symbl_aio.server.recognition_pool import RecognitionOptions
from symbl_aio.server.recognizer import Recognizer
from tests.server.test_processing import done, wav

ECHO = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    seen = f"{request['language']} {request['seconds']}."
    channels = 2 if request["separate"] else 1
    for channel in range(channels):
        print(json.dumps({"segments": [[channel, channel + 0.5, f"{channel} {seen}", channel]]}))
    print(json.dumps({"segments": [[2.0, 2.5, "Last of all.", 0]]}))
    print(json.dumps({"duration": 3.0, "language": "en"}), flush=True)
"""


@pytest.fixture
async def caller(start: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    script = tmp_path / "echo.py"
    script.write_text(ECHO)
    command = (sys.executable, "-I", "-S", str(script))
    monkeypatch.setattr(RecognitionOptions, "command", property(lambda self: command))
    monkeypatch.setattr(Recognizer, "available", staticmethod(lambda **options: True))
    monkeypatch.delenv("SYMBL_AIO_MODEL", raising=False)
    return await start(asr="auto")


async def test_the_language_and_the_stated_length_reach_the_recogniser(caller: Any) -> None:
    _, messages = await done(caller, await caller.audio(wav(3.0), languageCode="en-GB"))
    assert [message["text"] for message in messages] == ["0 en-GB 3.0.", "Last of all."]


async def test_channels_have_their_speakers_and_their_times_interleave(caller: Any) -> None:
    speakers = [
        {"channel": 1, "speaker": {"name": "Ann", "email": "ann@example.test"}},
        {"channel": 2, "speaker": {"name": "Bo"}},
    ]
    answer = await caller.audio(
        wav(3.0),
        enableSeparateRecognitionPerChannel="true",
        channelMetadata=json.dumps(speakers),
    )
    status, messages = await done(caller, answer)
    assert status == "completed"
    assert [(message["from"].get("name"), message["timeOffset"]) for message in messages] == [
        ("Ann", 0.0),
        ("Bo", 1.0),
        ("Ann", 2.0),
    ]
    assert messages[0]["from"]["email"] == "ann@example.test"


async def test_the_speakers_of_channels_without_names_are_numbered(caller: Any) -> None:
    answer = await caller.audio(
        wav(3.0),
        enableSeparateRecognitionPerChannel="true",
        channelMetadata='[{"channel":2,"speaker":{}}]',
    )
    _, messages = await done(caller, answer)
    assert [message["from"].get("name") for message in messages] == [
        "Speaker 1",
        "Speaker 2",
        "Speaker 1",
    ]
    path = f"/v1/conversations/{answer.body['conversationId']}"
    members = (await caller.get(f"{path}/analytics")).body["members"]
    assert [(member["name"], member["talkTime"]["seconds"]) for member in members] == [
        ("Speaker 1", 1.0),
        ("Speaker 2", 0.5),
    ]


@pytest.mark.parametrize(
    "name, value, text",
    [
        ("channelMetadata", '[{"channel":0,"speaker":{"name":"Ann"}}]', "from 1"),
        ("enableSpeakerDiarization", "true", "does not distinguish voices"),
        ("diarizationSpeakerCount", "2", "does not distinguish voices"),
        ("customVocabulary", '["Symbl"]', "loses sentences"),
        ("languageCode", "es-ES", "recognises English only"),
        ("timezoneOffset", "900", "from -840 to 840"),
    ],
)
async def test_what_is_not_done_is_refused_by_name(
    caller: Any, name: str, value: str, text: str
) -> None:
    answer = await caller.audio(wav(3.0), **{name: value})
    assert answer.status == 400
    assert f'"{name}"' in answer.body["message"]
    assert text in answer.body["message"]


async def test_without_recognition_all_parameters_are_taken(start: Any) -> None:
    caller = await start(asr="off")
    answer = await caller.audio(
        wav(3.0), enableSpeakerDiarization="true", languageCode="es-ES", customVocabulary='["a"]'
    )
    assert answer.status == 201


def test_absent_values_and_another_model_are_no_reason_to_refuse() -> None:
    nothing: dict[str, JSON] = {
        "enableSpeakerDiarization": False,
        "customVocabulary": [],
        "languageCode": "",
    }
    check_recognition(nothing, english_only=True)
    check_recognition({"languageCode": "es-ES"}, english_only=False)
    check_recognition({"languageCode": "EN-au"}, english_only=True)
    # Some clients send the count with each request.
    check_recognition(
        {"enableSpeakerDiarization": False, "diarizationSpeakerCount": 2}, english_only=True
    )
    with pytest.raises(ApiError):
        check_recognition({"languageCode": "es-ES"}, english_only=True)


@pytest.mark.parametrize("languages", [["en-GB"], [{"code": "en_GB"}, {"code": "es-ES"}]])
async def test_the_first_language_of_a_call_reaches_the_recogniser(
    caller: Any, tmp_path: Path, languages: JSON
) -> None:
    recording = tmp_path / "call.wav"
    recording.write_bytes(wav(3.0))
    caller.server.register_recording(recording, number="*", paced=False)
    call = {"endpoint": {"type": "pstn", "phoneNumber": "15551234"}, "languages": languages}

    spanish = {**call, "operation": "start", "languages": ["es-ES"]}
    refused = await caller.request("POST", "/v1/endpoint:connect", json=spanish)
    assert refused.status == 400
    assert "recognises English only" in refused.body["message"]
    started = {**call, "operation": "start"}
    ids = (await caller.request("POST", "/v1/endpoint:connect", json=started)).body
    base = caller.server.base_url.replace("http", "ws", 1)
    token = caller.token
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"{base}/session/subscribe/{ids['connectionId']}?access_token={token}"
        ) as listener,
    ):
        heard = await anext(f.data async for f in listener if "message_response" in f.data)
    assert "0 en-GB None." in heard


@pytest.mark.parametrize("offset, due", [(None, "17:00"), (480, "09:00"), (-300, "22:00")])
async def test_a_due_time_is_that_of_the_callers_zone(
    start: Any, offset: int | None, due: str
) -> None:
    caller = await start()
    message = {
        "payload": {"content": "I'll write the report by 5 pm today."},
        "from": {"name": "Ann"},
        "duration": {"startTime": "2026-03-02T08:00:00Z"},
    }
    fields = {} if offset is None else {"timezoneOffset": offset}
    answer = await caller.request(
        "POST", "/v1/process/text", json={"messages": [message], **fields}
    )
    await done(caller, answer)
    path = f"/v1/conversations/{answer.body['conversationId']}/insights"
    (item,) = (await caller.get(path)).body["insights"]
    assert item["dueBy"] == f"2026-03-02T{due}:00.000Z"
