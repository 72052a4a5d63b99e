from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from symbl_aio.server.server_limits import ServerLimits

MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(64)
LINK = {"url": "https://media.test/talk.mp4"}
SAID = {"messages": [{"payload": {"content": "Good morning."}}]}
CALLS = [
    ("text", SAID),
    ("audio", b"any bytes"),
    ("audio/url", LINK),
    ("video", MP4),
    ("video/url", LINK),
]


def entries(directory: Path) -> list[Path]:
    return list(directory.rglob("*"))


def sizes(directory: Path) -> list[int]:
    return [path.stat().st_size for path in entries(directory) if path.is_file()]


async def submit(caller: Any, kind: str, body: Any, into: str | None = None, **query: str) -> Any:
    path = f"/v1/process/{kind}" + (f"/{into}" if into else "")
    method = "PUT" if into else "POST"
    if isinstance(body, bytes):
        headers = {"Content-Type": "video/mp4"} if kind == "video" else {}
        return await caller.request(method, path, data=body, headers=headers, params=query)
    return await caller.request(method, path, json=body, params=query)


@pytest.mark.parametrize("kind,body", CALLS)
async def test_each_kind_opens_a_conversation(caller: Any, kind: str, body: Any) -> None:
    answer = await submit(caller, kind, body)

    assert answer.status == 201
    assert set(answer.body) == {"conversationId", "jobId"}
    assert answer.body["conversationId"].isdigit()
    (received,) = caller.server.submissions
    assert (received.method, received.kind, received.status) == ("POST", kind, 201)
    assert received.conversation_id == answer.body["conversationId"]
    assert received.job_id == answer.body["jobId"]
    assert received.complete


@pytest.mark.parametrize("kind,body", CALLS)
async def test_each_kind_is_appended_to_a_conversation(caller: Any, kind: str, body: Any) -> None:
    opened = (await caller.text("Hello.")).body["conversationId"]

    answer = await submit(caller, kind, body, into=opened)

    assert answer.status == 201
    assert answer.body["conversationId"] == opened
    (appended,) = caller.server.appended(opened)
    assert appended.job_id == answer.body["jobId"]
    assert len(caller.server.arrivals(opened)) == 2


@pytest.mark.parametrize("kind,body", CALLS)
async def test_an_unknown_conversation_is_404(caller: Any, kind: str, body: Any) -> None:
    answer = await submit(caller, kind, body, into="4000000000000000")

    assert answer.status == 404
    assert list(answer.body) == ["message"]
    assert caller.server.jobs == {}


async def test_a_submission_is_recorded(caller: Any) -> None:
    await caller.video(MP4, name="board", confidenceThreshold="0.6")

    (received,) = caller.server.submissions
    assert received.size == len(MP4)
    assert received.sha256 == hashlib.sha256(MP4).hexdigest()
    assert received.query == {"name": "board", "confidenceThreshold": "0.6"}
    assert received.parameters == {"name": "board", "confidenceThreshold": 0.6}
    assert received.headers["Content-Type"] == "video/mp4"
    assert caller.token not in repr(received)


async def test_lists_in_a_query_are_json_text(caller: Any) -> None:
    trackers = '[{"name":"price","vocabulary":["how much","cost"]}]'

    answer = await caller.video(MP4, trackers=trackers, customVocabulary='["a","b"]', new="[1]")

    assert answer.status == 201
    assert caller.server.submissions[0].parameters["customVocabulary"] == ["a", "b"]
    assert caller.server.submissions[0].parameters["new"] == "[1]"


@pytest.mark.parametrize(
    "query",
    [
        {"confidenceThreshold": "1.5"},
        {"confidenceThreshold": "high"},
        {"detectPhrases": "yes"},
        {"enableSpeakerDiarization": "1"},
        {"diarizationSpeakerCount": "-1"},
        {"diarizationSpeakerCount": "2.5"},
        {"customVocabulary": '{"a": 1}'},
        {"trackers": '[{"name":"x"}]'},
        {"entities": '[{"text":"x"}]'},
        {"channelMetadata": '[{"channel":"one","speaker":{}}]'},
        {"mode": "radio"},
        {"features": "[]"},
        {"timezoneOffset": '"0"'},
    ],
)
async def test_a_wrong_parameter_is_refused_by_its_name(caller: Any, query: Any) -> None:
    answer = await caller.video(MP4, **query)

    assert answer.status == 400
    assert next(iter(query)) in answer.body["message"]


async def test_a_repeated_parameter_is_refused(caller: Any) -> None:
    path = "/v1/process/video?detectPhrases=true&detectPhrases=false"
    answer = await caller.request("POST", path, data=MP4, headers={"Content-Type": "video/mp4"})

    assert answer.status == 400


async def test_parameters_of_the_body_are_checked_and_unknown_ones_pass(
    caller: Any,
) -> None:
    refused = await caller.text("Hi.", detectEntities="yes")
    taken = await caller.text("Hi.", somethingNew={"a": 1}, name=None)

    assert refused.status == 400
    assert "detectEntities" in refused.body["message"]
    assert taken.status == 201


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": "Hello."},
        {"messages": ["Hello."]},
        {"messages": [{"payload": {}}]},
        {"messages": [{"payload": {"content": " "}}]},
        {"messages": [{"payload": {"content": "x"}, "from": "Ann"}]},
        {"messages": [{"payload": {"content": "x"}, "from": {"name": 1}}]},
        {"messages": [{"payload": {"content": "x"}, "duration": {"startTime": "noon"}}]},
        ["messages"],
    ],
)
async def test_text_without_proper_messages_is_refused(caller: Any, body: Any) -> None:
    answer = await submit(caller, "text", body)

    assert answer.status == 400
    assert list(answer.body) == ["message"]


@pytest.mark.parametrize("url", [None, 7, "ftp://media.test/x.mp4", "talk.mp4"])
async def test_a_link_must_be_http(caller: Any, url: Any) -> None:
    assert (await submit(caller, "video/url", {"url": url})).status == 400


@pytest.mark.parametrize(
    "kind,content_type",
    [
        ("text", None),
        ("text", "text/plain"),
        ("audio/url", None),
        ("audio", "audio/flac"),
        ("audio", "text/plain"),
        ("video", "audio/wav"),
        ("video", "video/quicktime"),
    ],
)
async def test_a_wrong_content_type_is_refused(
    caller: Any, kind: str, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}

    answer = await caller.request("POST", f"/v1/process/{kind}", data=MP4, headers=headers)

    assert answer.status == 400
    assert "Content-Type" in answer.body["message"]


@pytest.mark.parametrize(
    "content_type", [None, "audio/wav", "audio/wave", "audio/mpeg", "audio/mp3"]
)
async def test_audio_has_four_content_types_or_none(caller: Any, content_type: str | None) -> None:
    assert (await caller.audio(b"sound", content_type)).status == 201


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize(
    "content_type",
    ["", "video/mp4", "application/octet-stream", "application/x-www-form-urlencoded", None],
)
async def test_a_video_may_come_without_a_length_and_without_a_type(
    caller: Any, content_type: str | None
) -> None:
    answer = await caller.request(
        "POST",
        "/v1/process/video",
        data=_pieces(MP4[:5], MP4[5:]),
        headers={} if content_type is None else {"Content-Type": content_type},
    )

    assert answer.status == 201
    (received,) = caller.server.submissions
    assert received.size == len(MP4)


@pytest.mark.parametrize("content_type", ["", "application/octet-stream", "multipart/form-data"])
async def test_audio_of_an_unknown_type_is_accepted(caller: Any, content_type: str) -> None:
    answer = await caller.request(
        "POST",
        "/v1/process/audio",
        data=_pieces(b"sound"),
        headers={"Content-Type": content_type},
    )

    assert answer.status == 201


async def test_a_form_with_a_file_in_it_is_refused_with_the_remedy(caller: Any) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nsound\r\n--x--\r\n'
    answer = await caller.request(
        "POST",
        "/v1/process/audio",
        data=form,
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )

    assert answer.status == 400
    assert "as the body" in answer.body["message"]


async def test_an_empty_body_without_a_length_is_refused(caller: Any) -> None:
    answer = await caller.request("POST", "/v1/process/audio", data=_pieces())

    assert answer.status == 400
    assert "empty" in answer.body["message"]


async def test_an_empty_file_is_refused(caller: Any) -> None:
    assert (await caller.video(b"")).status == 400


@pytest.mark.parametrize("data", [b"plain text, which is no video", b"ftyp"])
async def test_a_video_that_is_no_mp4_is_refused(caller: Any, data: bytes) -> None:
    answer = await caller.video(data)

    assert answer.status == 400
    assert "mp4" in answer.body["message"]


async def test_invalid_json_is_refused(caller: Any) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await caller.request("POST", "/v1/process/text", data=b"{", headers=headers)

    assert answer.status == 400


async def test_unknown_paths_and_methods_have_messages_too(caller: Any) -> None:
    for method, path, status in (("GET", "/v1/nothing", 404), ("GET", "/v1/process/text", 405)):
        answer = await caller.request(method, path)

        assert answer.status == status
        assert list(answer.body) == ["message"]


async def test_the_job_limit_is_checked_before_a_body_is_sent(start: Any) -> None:
    caller = await start(job_limit=1)
    caller.server.hold_jobs()
    assert (await caller.text("One.")).status == 201
    url = urlsplit(caller.server.base_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)

    writer.write(
        b"POST /v1/process/video HTTP/1.1\r\nHost: x\r\nContent-Type: video/mp4\r\n"
        b"Content-Length: 4294967296\r\nAuthorization: Bearer "
        + caller.token.encode()
        + b"\r\n\r\n"
    )
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readuntil(b"}")
    writer.close()
    await writer.wait_closed()

    assert head.startswith(b"HTTP/1.1 429 ")
    assert b'"statusCode":429' in body
    assert b'"message"' in body
    assert caller.server.submissions[1].status == 429


async def test_an_incoming_body_holds_a_slot_and_releases_it_when_it_breaks_off(
    start: Any,
) -> None:
    caller = await start(job_limit=1, default_transcript="Hello.")
    await caller.get("/v1/conversations")
    url = urlsplit(caller.server.base_url)
    _, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(
        b"POST /v1/process/video HTTP/1.1\r\nHost: x\r\nContent-Type: video/mp4\r\n"
        b"Content-Length: 1000\r\nAuthorization: Bearer "
        + caller.token.encode()
        + b"\r\n\r\n"
        + MP4
    )
    await caller.server.until(lambda: any(r.size for r in caller.server.submissions))

    assert (await caller.video()).status == 429
    writer.close()
    await caller.server.until(lambda: len(caller.server.requests) == 4)
    broken = caller.server.submissions[0]
    assert (broken.complete, broken.status, broken.job_id) == (False, None, None)
    assert (await caller.video()).status == 201


async def test_bodies_are_on_disk_while_needed_and_gone_afterwards(
    start: Any, tmp_path: Path
) -> None:
    caller = await start(directory=tmp_path, default_transcript="Hello.")
    caller.server.hold_jobs(before="in_progress")
    await caller.video(MP4 + bytes(5_000_000))
    assert sizes(tmp_path) == [len(MP4) + 5_000_000]

    caller.server.release()
    await caller.server.until(lambda: not caller.server.unfinished)
    assert sizes(tmp_path) == []
    await caller.server.aclose()
    assert entries(tmp_path) == []


async def test_the_body_of_a_held_job_goes_with_its_conversation(
    start: Any, tmp_path: Path
) -> None:
    caller = await start(directory=tmp_path)
    caller.server.hold_jobs()
    accepted = await caller.video()
    assert sizes(tmp_path) == [len(MP4)]

    await caller.request("DELETE", f"/v1/conversations/{accepted.body['conversationId']}")

    assert sizes(tmp_path) == []


async def test_bodies_need_be_neither_kept_nor_hashed(start: Any, tmp_path: Path) -> None:
    caller = await start(keep_bodies=False, hash_bodies=False, directory=tmp_path)

    answer = await caller.video(MP4 + bytes(5_000_000))

    assert answer.status == 201
    assert caller.server.submissions[0].sha256 is None
    assert caller.server.submissions[0].size == len(MP4) + 5_000_000
    await caller.server.until(lambda: not caller.server.unfinished)
    assert sizes(tmp_path) == []


async def test_refused_bodies_leave_no_file(start: Any, tmp_path: Path) -> None:
    caller = await start(directory=tmp_path)

    assert (await caller.video(b"x" * 9_000_000)).status == 400
    assert sizes(tmp_path) == []


async def test_json_has_a_largest_size(start: Any) -> None:
    caller = await start(limits=ServerLimits(text_body=1000))

    assert (await caller.text("x" * 2000)).status == 413
