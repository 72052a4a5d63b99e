"""The client's streams, subscriptions and calls on the local server: the words come back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from symbl_aio import (
    Config,
    Credentials,
    ErrorEvent,
    Gap,
    InsightEvent,
    MessageEvent,
    Missed,
    Pstn,
    Question,
    Recognition,
    Retries,
    SpeakerEvent,
    StateEvent,
    StreamTimeoutError,
    SymblClient,
    Timeouts,
    Tracker,
    TrackerEvent,
    User,
)
from symbl_aio.server import LocalServer
from symbl_aio.testing import LocalSymbl
from tests.live.peer import open_cutter
from tests.support import QUICK

LINES = [
    "Ines: Good morning, everyone.",
    "Ben: The ferry at four is running late.",
    "Ines: When does it arrive?",
]
SPOKEN = [line.partition(": ")[2] for line in LINES]


@pytest.fixture
def server_settings() -> dict[str, Any]:
    return {"probe_media": False}


async def texts_of(stream: Any) -> list[str]:
    return [event.message.text async for event in stream if isinstance(event, MessageEvent)]


async def test_words_insights_and_trackers_come_back_and_stay_in_the_conversation(
    server: LocalSymbl,
):
    server.register_transcript("\n".join(LINES), stream="pier-4", paced=False)
    async with (
        server.client(**QUICK) as symbl,
        symbl.stream(
            "pier-4",
            insight_types=["question"],
            trackers=[Tracker("Delay", ["running late"])],
            title="Pier 4",
        ) as stream,
    ):
        await stream.send(bytes(32_000))
        conversation = await stream.stop()
        events = [event async for event in stream]
        stored = await conversation.messages()
        info = await conversation.info()

    assert [e.message.text for e in events if isinstance(e, MessageEvent)] == SPOKEN
    assert [e.text for e in events if isinstance(e, Recognition) and e.is_final] == SPOKEN
    assert [message.text for message in stored] == SPOKEN
    assert [message.id for message in stored] == [
        e.message.id for e in events if isinstance(e, MessageEvent)
    ]
    assert info.name == "Pier 4"
    (insight,) = (e.insight for e in events if isinstance(e, InsightEvent))
    assert isinstance(insight, Question)
    assert insight.text == SPOKEN[2]
    assert [e.tracker.name for e in events if isinstance(e, TrackerEvent)] == ["Delay"]
    states = [e.state for e in events if isinstance(e, StateEvent)]
    assert states[0] == "conversation_created"
    assert states[-1] == "conversation_completed"
    assert not any(isinstance(e, Gap | Missed) for e in events)


@pytest.mark.heavy
async def test_twenty_streams_at_once_lose_nothing(server: LocalSymbl):
    names = [f"stream-{index:02}" for index in range(20)]
    for name in names:
        lines = [f"Ines: Sentence {index} of {name}." for index in range(50)]
        server.register_transcript("\n".join(lines), stream=name, paced=False)

    async def speak(symbl: Any, name: str) -> list[str]:
        async with symbl.stream(name) as stream:
            for _ in range(20):
                await stream.send(bytes(3200))
            await stream.stop()
            return await texts_of(stream)

    async with server.client(**QUICK) as symbl:
        found = await asyncio.gather(*(speak(symbl, name) for name in names))
    for name, texts in zip(names, found, strict=True):
        assert texts == [f"Sentence {index} of {name}." for index in range(50)]


async def test_a_listener_has_the_events_of_the_speaker(server: LocalSymbl):
    server.register_transcript("\n".join(LINES), stream="pier-4")
    async with server.client(**QUICK) as symbl, symbl.stream("pier-4") as stream:
        async with symbl.subscribe("pier-4") as events:
            await stream.send(bytes(32_000))
            await stream.stop()
            heard = await texts_of(events)
        assert heard == await texts_of(stream) == SPOKEN


async def test_a_listener_that_is_cut_off_at_the_end_gets_the_end(server: LocalSymbl):
    port = urlsplit(server.base_url).port
    assert port is not None
    async with open_cutter(port) as cutter:
        through = Config(base_url=f"http://127.0.0.1:{cutter.port}", **QUICK)
        async with (
            server.client(**QUICK) as speaking,
            SymblClient(Credentials(server.app_id, server.app_secret), config=through) as listening,
            speaking.stream("pier-4") as stream,
            listening.subscribe("pier-4") as events,
        ):
            cutter.running.clear()
            await stream.stop()
            cutter.cut()
            cutter.running.set()
            seen = [event async for event in events]
        assert isinstance(seen[0], Gap)
        assert events.conversation.id == stream.conversation.id
    assert isinstance(seen[-1], StateEvent)
    assert seen[-1].state == "conversation_completed"


async def test_a_subscription_after_the_end_ends_at_once(server: LocalSymbl):
    async with server.client(**QUICK) as symbl:
        async with symbl.stream("pier-4") as stream:
            pass
        call = await symbl.telephony.start(Pstn("+14155550123"))
        await call.stop()
        for subscription, conversation in (
            (symbl.subscribe("pier-4"), stream.conversation),
            (call.events(), call.conversation),
        ):
            (event,) = [event async for event in subscription]
            assert isinstance(event, StateEvent)
            assert event.state == "conversation_completed"
            assert event.conversation_id == conversation.id


async def test_a_second_speaker_joins_the_same_conversation(server: LocalSymbl):
    async with (
        server.client(**QUICK) as symbl,
        symbl.stream("pier-4", speaker=User(name="Ines", user_id="i@example.com")) as one,
        symbl.stream("pier-4", speaker=User(name="Ben", user_id="b@example.com")) as other,
    ):
        assert one.conversation.id == other.conversation.id


async def test_a_call_plays_its_transcript_and_ends_once(server: LocalSymbl):
    server.register_transcript("\n".join(LINES), number="+14155550123", paced=False)
    async with server.client(**QUICK) as symbl:
        call = await symbl.telephony.start(Pstn("+14155550123"), session_name="Monday, pier 4")
        await call.push(SpeakerEvent("joined", User(name="Ines", user_id="i@example.com")))
        ended = await asyncio.gather(call.stop(), call.stop())
        assert ended[0] is ended[1]
        assert ended[0].conversation_id == call.conversation.id
        assert [message.text for message in await call.conversation.messages()] == SPOKEN


async def test_a_dropped_stream_goes_on_in_the_same_conversation(server: LocalSymbl):
    server.register_transcript("\n".join(LINES), stream="pier-4", paced=False)
    server.inject("drop_after_frames:5")
    async with server.client(**QUICK) as symbl, symbl.stream("pier-4") as stream:
        first = stream.conversation.id
        for _ in range(20):
            await stream.send(bytes(3200))
        conversation = await stream.stop()
        assert conversation.id == first
        gaps = [event async for event in stream if isinstance(event, Gap)]
        stored = await conversation.messages()
    assert len(gaps) == 1
    assert [message.text for message in stored] == SPOKEN


async def test_a_stream_outlives_a_restart_of_the_server(tmp_path: Path):
    secret = "a-secret-of-the-app"
    async with LocalServer(data=tmp_path, app_secret=secret) as before:
        before.register_transcript("\n".join(LINES), stream="pier-4", paced=False)
        config = Config(base_url=before.base_url, retries=Retries(base=0.01, cap=0.1))
        async with (
            SymblClient(Credentials("app", secret), config=config) as symbl,
            symbl.stream("pier-4") as stream,
        ):
            first = stream.conversation.id
            await stream.send(bytes(3200))
            while len(await stream.conversation.messages()) < len(LINES):
                await anext(stream)
            await before.aclose()
            port = int(before.base_url.rpartition(":")[2])
            async with LocalServer(data=tmp_path, app_secret=secret, port=port):
                await stream.send(bytes(3200))
                conversation = await stream.stop()
                stored = await conversation.messages()
            gaps = [event async for event in stream if isinstance(event, Gap)]
    assert conversation.id == first
    assert [message.text for message in stored][:3] == SPOKEN
    assert len(gaps) == 1


async def test_a_frozen_stream_is_replaced(server: LocalSymbl):
    server.register_transcript("\n".join(LINES), stream="pier-4", paced=False)
    server.inject("freeze_after_frames:3")
    times = Timeouts(stall=0.5)
    async with server.client(**QUICK, timeouts=times) as symbl, symbl.stream("pier-4") as stream:
        first = stream.conversation.id
        for _ in range(5):
            await stream.send(bytes(3200))
        conversation = await stream.stop()
        assert conversation.id == first
        assert any([isinstance(event, Gap) async for event in stream])


async def test_a_late_end_is_waited_for(server: LocalSymbl):
    server.inject("late_completed:0.3")
    async with server.client(**QUICK) as symbl, symbl.stream() as stream:
        with pytest.raises(StreamTimeoutError):
            await stream.stop(timeout=0.1)
        await stream.stop()


async def test_an_error_frame_is_an_event_and_the_stream_goes_on(server: LocalSymbl):
    server.register_transcript("\n".join(LINES), stream="pier-4", paced=False)
    server.inject("error_frame")
    async with server.client(**QUICK) as symbl, symbl.stream("pier-4") as stream:
        await stream.send(bytes(3200))
        await stream.stop()
        events = [event async for event in stream]
    errors = [event.message for event in events if isinstance(event, ErrorEvent)]
    assert errors == ["The server was told to send an error."]
    assert sum(isinstance(event, MessageEvent) for event in events) == len(LINES)


async def test_without_pongs_a_stream_still_ends(server: LocalSymbl):
    server.register_transcript("\n".join(LINES), stream="pier-4", paced=False)
    server.inject("no_pong")
    async with (
        server.client(**QUICK, timeouts=Timeouts(stall=3)) as symbl,
        symbl.stream("pier-4") as stream,
    ):
        await stream.send(bytes(3200))
        await stream.stop()
        assert await texts_of(stream) == SPOKEN


async def test_a_handshake_that_fails_is_tried_again(server: LocalSymbl):
    server.inject("status:503", on="/v1/streaming/", times=2)
    async with server.client(**QUICK) as symbl, symbl.stream() as stream:
        assert (await stream.stop()).id
