from __future__ import annotations

import asyncio
import hashlib
import logging
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from symbl_aio.server import Line, processing
from symbl_aio.server.conversations.conversation import Settings
from symbl_aio.server.language.analysis_values import Utterance
from symbl_aio.server.processing import merge_settings
from symbl_aio.server.recognizer import RecognisedSpeech, RecognitionError, Wanted

MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(64)


def wav(seconds: float, rate: int = 8000) -> bytes:
    data = bytes(int(seconds * rate) * 2)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


async def done(caller: Any, answer: Any) -> tuple[str, list[dict[str, Any]]]:
    """The job's last status and the conversation's messages."""
    assert answer.status == 201
    await caller.server.until(lambda: not caller.server.unfinished)
    status = caller.server.jobs[answer.body["jobId"]].status.value
    path = f"/v1/conversations/{answer.body['conversationId']}/messages"
    return status, (await caller.get(path)).body["messages"]


async def link(caller: Any, kind: str, url: str, **fields: Any) -> Any:
    return await caller.request("POST", f"/v1/process/{kind}/url", json={"url": url, **fields})


async def test_a_transcript_is_registered_by_content(start: Any) -> None:
    caller = await start()
    caller.server.register_transcript(
        [Line("Hello.", "Ann", 1.5, 2.5)], sha256=hashlib.sha256(MP4).hexdigest()
    )

    status, (message,) = await done(caller, await caller.video(MP4))

    assert status == "completed"
    assert message["text"] == "Hello."
    assert message["from"]["name"] == "Ann"
    assert (message["timeOffset"], message["duration"]) == (1.5, 1.0)


async def test_a_transcript_is_registered_by_name(start: Any) -> None:
    caller = await start()
    caller.server.register_transcript("By name.", name="standup")
    caller.server.register_transcript("By link.", name="my talk.mp4")

    _, (named,) = await done(caller, await caller.video(MP4, name="standup"))
    _, (linked,) = await done(
        caller, await link(caller, "video", "https://media.test/x/my%20talk.mp4?a=1")
    )

    assert (named["text"], linked["text"]) == ("By name.", "By link.")


async def test_an_appended_recording_follows_the_earlier_messages(caller: Any) -> None:
    opened = await caller.text("Ann: One two three four five.")
    _, messages = await done(caller, await caller.video(MP4, into=opened.body["conversationId"]))

    assert [m["timeOffset"] for m in messages] == [0.0, 2.0]
    assert messages[0]["from"]["id"] == messages[1]["from"]["id"]


async def test_without_recognition_one_placeholder_message_is_published(
    start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "symbl_aio.server")
    caller = await start()

    answer = await caller.audio(wav(2.0), "audio/wav")
    status, (message,) = await done(caller, answer)

    assert status == "completed"
    assert "2.0 s of wav" in message["text"]
    assert "not transcribed" in message["text"]
    assert "pip install" in message["text"]
    path = f"/v1/conversations/{answer.body['conversationId']}"
    for part in ("topics", "insights", "entities"):
        (found,) = (await caller.get(f"{path}/{part}")).body.values()
        assert found == []
    (line,) = [r.message for r in caplog.records if answer.body["jobId"] in r.message]
    assert "not transcribed" in line


@pytest.mark.parametrize("data", [MP4, b"\x00\x00\x00\x18ftypmp42" + b"moov" * 30])
async def test_a_video_that_cannot_be_decoded_fails(start: Any, data: bytes) -> None:
    caller = await start()

    status, messages = await done(caller, await caller.video(data))

    assert (status, messages) == ("failed", [])


async def test_audio_that_cannot_be_decoded_fails(start: Any) -> None:
    caller = await start()

    assert (await done(caller, await caller.audio(b"not a sound in it")))[0] == "failed"


async def test_a_recording_of_more_than_four_hours_fails(
    start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "symbl_aio.server")
    caller = await start()

    assert (await done(caller, await caller.audio(wav(14_401, rate=1))))[0] == "failed"
    assert "4 hours" in caplog.text
    assert (await done(caller, await caller.audio(wav(14_400, rate=1))))[0] == "completed"


async def test_probing_of_media_can_be_switched_off(start: Any) -> None:
    caller = await start(probe_media=False)

    assert (await done(caller, await caller.video(MP4)))[0] == "completed"


async def test_linked_media_is_fetched(start: Any, tmp_path: Path) -> None:
    sound = wav(1.0)
    app = web.Application()

    async def give(request: web.Request) -> web.Response:
        return web.Response(body=sound)

    app.router.add_get("/talk.wav", give)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    caller = await start(directory=tmp_path)

    status, (message,) = await done(caller, await link(caller, "audio", f"{base}/talk.wav"))
    no_video, _ = await done(caller, await link(caller, "video", f"{base}/talk.wav"))
    missing, _ = await done(caller, await link(caller, "audio", f"{base}/none.wav"))
    caller.server.register_transcript("Known.", sha256=hashlib.sha256(sound).hexdigest())
    _, (known,) = await done(caller, await link(caller, "audio", f"{base}/talk.wav"))
    await runner.cleanup()

    assert (status, no_video, missing) == ("completed", "failed", "failed")
    assert "1.0 s of wav" in message["text"]
    assert known["text"] == "Known."
    assert files(tmp_path) == []


@pytest.fixture
async def slow_link() -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Event]]:
    """The link to a recording, whether it was asked for, and what lets it come."""
    asked, come = asyncio.Event(), asyncio.Event()

    async def give(request: web.Request) -> web.Response:
        asked.set()
        await come.wait()
        return web.Response(body=wav(1.0))

    app = web.Application()
    app.router.add_get("/talk.wav", give)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/talk.wav", asked, come
    await runner.cleanup()


@pytest.mark.parametrize("kind", ["audio", "video"])
async def test_a_link_leaves_nothing_of_a_conversation_that_is_deleted_meanwhile(
    start: Any, tmp_path: Path, slow_link: Any, kind: str
) -> None:
    url, asked, come = slow_link
    caller = await start(directory=tmp_path)
    accepted = await link(caller, kind, url)
    await asked.wait()
    await caller.request("DELETE", f"/v1/conversations/{accepted.body['conversationId']}")
    come.set()
    await caller.server.until(lambda: not caller.server.unfinished)

    job = await caller.get(f"/v1/job/{accepted.body['jobId']}")
    assert job.body["reason"] == "its conversation was deleted"
    assert files(tmp_path) == []


async def test_a_linked_recording_is_not_kept(start: Any, tmp_path: Path, slow_link: Any) -> None:
    url, _, come = slow_link
    come.set()
    caller = await start(data=tmp_path / "data", keep_days=30)
    await done(caller, await link(caller, "audio", url))

    assert files(tmp_path / "data" / "bodies") == []


def size(path: Path) -> int:
    return path.stat().st_size


class FakeRecognizer:
    """Stands in for the recognition process."""

    def __init__(self) -> None:
        self.english_only = True
        self.sizes: list[int] = []
        self.closed = False

    async def transcribe(self, path: Path, wanted: Wanted, **options: object) -> RecognisedSpeech:
        self.sizes.append(size(path))
        assert wanted == Wanted(None, False, 3.0)
        if len(self.sizes) > 1:
            raise RecognitionError("there is no audio track")
        return RecognisedSpeech(((Utterance("Fellow citizens.", None, 0.5, 1.5),),), 3.0, "en")

    async def aclose(self) -> None:
        self.closed = True


async def test_available_recognition_is_used(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = FakeRecognizer()
    monkeypatch.setattr("symbl_aio.server.local_server.make_recognizer", lambda *given: recognizer)
    caller = await start(asr="auto")
    sound = wav(3.0)

    answer = await caller.audio(sound)
    status, (message,) = await done(caller, answer)
    conversation = (await caller.get(f"/v1/conversations/{answer.body['conversationId']}")).body
    failed, _ = await done(caller, await caller.audio(sound))
    await caller.server.aclose()

    assert (status, failed) == ("completed", "failed")
    assert message["text"] == "Fellow citizens."
    assert message["timeOffset"] == 0.5
    assert conversation["endTime"] > message["endTime"]
    assert recognizer.sizes == [len(sound)] * 2
    assert recognizer.closed


def text_message(text: str, start: str, end: str) -> dict[str, Any]:
    return {
        "payload": {"content": text},
        "from": {"name": "Ann", "userId": "ann@example.test"},
        "duration": {"startTime": start, "endTime": end},
    }


async def test_text_with_times_keeps_them(caller: Any) -> None:
    items = [
        text_message("First.", "2026-03-01T10:00:00.000Z", "2026-03-01T10:00:02.500Z"),
        text_message("Second.", "2026-03-01T10:00:05.99Z", "2026-03-01T10:00:07Z"),
    ]
    answer = await caller.request("POST", "/v1/process/text", json={"messages": items})
    _, messages = await done(caller, answer)

    assert messages[0]["startTime"] == "2026-03-01T10:00:00.000Z"
    assert messages[0]["endTime"] == "2026-03-01T10:00:02.500Z"
    assert messages[1]["startTime"] == "2026-03-01T10:00:05.990Z"
    assert messages[0]["from"]["email"] == "ann@example.test"


async def test_an_append_of_earlier_times_keeps_them_and_the_times_give_the_order(
    caller: Any,
) -> None:
    answer = await caller.request(
        "POST",
        "/v1/process/text",
        json={
            "messages": [
                text_message("At ten.", "2026-03-01T10:00:00.000Z", "2026-03-01T10:00:02.500Z"),
                text_message("At half past.", "2026-03-01T10:30:00Z", "2026-03-01T10:30:02Z"),
            ]
        },
    )
    _, before = await done(caller, answer)
    path = f"/v1/conversations/{answer.body['conversationId']}"
    mark = {"label": "a", "description": "b", "user": {"name": "Ann"}}
    marked = await caller.request(
        "POST", f"{path}/bookmarks", json=mark | {"beginTimeOffset": 1800, "duration": 2}
    )
    earlier = [
        text_message("At a quarter past.", "2026-03-01T10:15:00Z", "2026-03-01T10:15:02Z"),
        text_message("At nine.", "2026-03-01T09:00:00.300Z", "2026-03-01T09:00:01Z"),
    ]
    put = await caller.put(path.replace("conversations", "process/text"), {"messages": earlier})
    _, messages = await done(caller, put)

    assert [(m["text"], m["startTime"][11:], m["endTime"][11:]) for m in messages] == [
        ("At nine.", "09:00:00.300Z", "09:00:01.000Z"),
        ("At ten.", "10:00:00.000Z", "10:00:02.500Z"),
        ("At a quarter past.", "10:15:00.000Z", "10:15:02.000Z"),
        ("At half past.", "10:30:00.000Z", "10:30:02.000Z"),
    ]
    assert [m["timeOffset"] for m in messages] == [0, 3599.7, 4499.7, 5399.7]
    assert [m["id"] for m in messages if m["text"] in ("At ten.", "At half past.")] == [
        m["id"] for m in before
    ]
    about = (await caller.get(path)).body
    assert (about["startTime"], about["endTime"]) == (
        "2026-03-01T09:00:00.300Z",
        "2026-03-01T10:30:02.000Z",
    )
    # A bookmark stays where it is, and its messages are those that follow one another by time.
    (kept,) = (await caller.get(f"{path}/bookmarks")).body["bookmarks"]
    assert kept["messageRefs"] == marked.body["messageRefs"]
    refs = [{"id": m["id"]} for m in messages[:3]]
    several = await caller.request("POST", f"{path}/bookmarks", json=mark | {"messageRefs": refs})
    assert [ref["id"] for ref in several.body["messageRefs"]] == [ref["id"] for ref in refs]
    for kind in ("text/srt", "text/markdown"):
        body = {"contentType": kind}
        text = (await caller.request("POST", f"{path}/transcript", json=body)).body["transcript"]
        places = [text["payload"].index(m["text"]) for m in messages]
        assert places == sorted(places)


async def test_an_empty_time_is_none(caller: Any) -> None:
    items = [text_message("First.", "2026-03-01T10:00:00Z", ""), text_message("Second.", "", "")]
    answer = await caller.request("POST", "/v1/process/text", json={"messages": items})
    _, messages = await done(caller, answer)
    assert [m["startTime"] for m in messages] == [
        "2026-03-01T10:00:00.000Z",
        "2026-03-01T10:00:00.400Z",
    ]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        # Out of order: the times give the order.
        ([(10, 12), (0, 5)], [(1, 0.0, 5.0), (0, 10.0, 2.0)]),
        # Without an end: speech of 1.2 s, and not into the next message.
        ([(0, None), (30, 31)], [(0, 0.0, 1.2), (1, 30.0, 1.0)]),
        ([(0, None), (0.6, 1)], [(0, 0.0, 0.6), (1, 0.6, 0.4)]),
        # Without a start, or both: before the next message, in which another speaks.
        ([(None, 10), (30, 31)], [(0, 0.0, 1.2), (1, 21.2, 1.0)]),
        ([(None, None), (30, 31)], [(0, 0.0, 1.2), (1, 1.2, 1.0)]),
        ([(0, 5), (None, None), (5.6, 7)], [(0, 0.0, 5.0), (1, 5.0, 0.6), (2, 5.6, 1.4)]),
        # An end before the start has no length, and is no start of the conversation.
        ([(10, 5), (12, 13)], [(0, 0.0, 0.0), (1, 2.0, 1.0)]),
    ],
)
async def test_messages_with_some_times_are_in_order_and_overlap_nothing(
    caller: Any, times: list[tuple[float | None, float | None]], expected: list[Any]
) -> None:
    def at(seconds: float | None) -> str | None:
        return None if seconds is None else f"2020-07-21T16:00:{seconds:06.3f}Z"

    messages = [
        {
            "payload": {"content": f"Number {index} speaks."},
            "from": {"name": f"Speaker {index}"},
            "duration": {"startTime": at(start), "endTime": at(end)},
        }
        for index, (start, end) in enumerate(times)
    ]
    answer = await caller.request("POST", "/v1/process/text", json={"messages": messages})
    _, found = await done(caller, answer)

    assert [(int(m["text"].split()[1]), m["timeOffset"], m["duration"]) for m in found] == expected
    path = f"/v1/conversations/{answer.body['conversationId']}"
    metrics = (await caller.get(f"{path}/analytics")).body["metrics"]
    last = max(offset + length for _, offset, length in expected)
    spoken = sum(length for _, _, length in expected)
    assert [round(m["seconds"], 3) for m in metrics] == [
        round(last - spoken, 3), round(spoken, 3), 0
    ]  # fmt: skip


def test_an_append_adds_to_the_settings_and_removes_none() -> None:
    first = merge_settings(
        Settings(),
        {
            "detectEntities": True,
            "confidenceThreshold": 0.7,
            "entities": [{"customType": "a", "text": "b", "value": "c"}],
            "trackers": [{"name": "n", "vocabulary": ["v"]}, {"id": "7"}],
        },
    )
    second = merge_settings(
        first, {"detectPhrases": True, "trackers": [{"name": "n", "vocabulary": ["v"]}]}
    )

    assert first.confidence_threshold == second.confidence_threshold == 0.7
    assert second.detect_entities
    assert second.detect_phrases
    assert second.custom_entities == first.custom_entities
    assert second.custom_entities[0].value == "c"
    assert second.trackers == first.trackers
    assert len(second.trackers) == 1


async def test_a_conversation_that_would_be_too_long_keeps_what_it_has(caller: Any) -> None:
    first = (await caller.text("Ann: Hello.", "Ann: " + "yes " * 2_000_000)).body
    await caller.server.until(lambda: not caller.server.unfinished)
    second = (await caller.text("Bob: " + "no " * 300_000, into=first["conversationId"])).body
    await caller.server.until(lambda: not caller.server.unfinished)

    job = (await caller.get(f"/v1/job/{second['jobId']}")).body
    assert job["status"] == "failed"
    assert "more than 8,388,608 characters" in job["reason"]
    # The list needs no analysis.
    (found,) = (await caller.get("/v1/conversations")).body["conversations"]
    assert [member["name"] for member in found["members"]] == ["Ann"]


async def test_short_messages_count_as_the_memory_that_they_need(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processing, "_MAX_TEXT", 5_000)
    caller = await start()

    jobs = [await caller.text(*["a"] * count) for count in (100, 101)]
    await caller.server.until(lambda: not caller.server.unfinished)

    statuses = [(await caller.get(f"/v1/job/{job.body['jobId']}")).body["status"] for job in jobs]
    assert statuses == ["completed", "failed"]


async def test_the_names_of_the_speakers_of_a_conversation_have_a_limit(start: Any) -> None:
    caller = await start()
    # 500 characters each, and room for 76 more.
    opened = await caller.text(*(f"{number:0450}: Hello." for number in range(2_097)))
    conversation = opened.body["conversationId"]
    path = f"/v1/conversations/{conversation}"
    await caller.server.until(lambda: not caller.server.unfinished)

    one = await caller.text("Ann: Hello.", into=conversation)
    more = await caller.text(f"{'Bob':450}: Hello.", into=conversation)
    await caller.server.until(lambda: not caller.server.unfinished)
    reasons = [
        (await caller.get(f"/v1/job/{job.body['jobId']}")).body.get("reason") for job in (one, more)
    ]
    members = (await caller.get(f"{path}/members")).body["members"]
    longer = {**members[-1], "name": "A" * 480}
    event = {"type": "started_speaking", "user": {"name": "C" * 450}, "offset": {"seconds": 0}}

    assert reasons[0] is None
    assert "names" in reasons[1]
    assert (await caller.put(f"{path}/members/{longer['id']}", longer)).status == 400
    assert (await caller.put(f"{path}/speakers", {"speakerEvents": [event]})).status == 400
    assert (await caller.get(f"{path}/members")).body["members"] == members
    assert len(members) == 2_098


async def test_the_phrases_of_a_conversation_have_a_limit(start: Any) -> None:
    caller = await start()
    most = {"name": "a", "vocabulary": [str(number) for number in range(52_000)]}
    opened = await caller.text("Ann: Hello.", trackers=[most])
    conversation = opened.body["conversationId"]
    await caller.server.until(lambda: not caller.server.unfinished)

    refused = await caller.text("Ann: Hello.", trackers=[most, most])
    entities = [{"customType": "a", "text": str(number)} for number in range(1_000)]
    more = await caller.text("Ann: Hello.", into=conversation, entities=entities)
    await caller.server.until(lambda: not caller.server.unfinished)

    assert (opened.status, refused.status, more.status) == (201, 400, 201)
    job = (await caller.get(f"/v1/job/{more.body['jobId']}")).body
    assert job["status"] == "failed"
    assert "trackers and entities" in job["reason"]
