"""Sessions over the restarts of a server: a stop or a kill is one more lost connection."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from symbl_aio.server.live import sessions
from symbl_aio.server.live.client_frames import StartRequest
from symbl_aio.server.storage.store import StorageError
from tests.server.live.conftest import LiveCaller, StartLive

TALK = "Ann: I will send the report on Friday.\nBob: When does the ferry go?"


def files_of(data: Path, to: Path) -> Path:
    """Return a copy of the files of a running server, as a kill leaves them behind."""
    # A killed server holds no lock.
    return Path(shutil.copytree(data, to, ignore=shutil.ignore_patterns("lock")))


@pytest.mark.parametrize("speaker", [{"name": "Ann"}, {}])
@pytest.mark.parametrize("is_killed", [False, True])
async def test_a_speaker_who_comes_back_after_a_restart_continues_the_conversation(
    live_of: StartLive, tmp_path: Path, speaker: dict[str, Any], is_killed: bool
) -> None:
    data = tmp_path / "data"
    live = await live_of(data=data)
    live.server.register_transcript(TALK, stream="meeting")
    before = await live.speak()
    conversation = await before.start(speaker=speaker, noConnectionTimeout=60)
    await before.hear(30)
    while len(before.texts()) < 2:
        await before.next()
    if is_killed:
        data = files_of(data, tmp_path / "copy")
    else:
        await live.server.aclose()

    live = await live_of(data=data)
    listener, after = await live.subscribe(), await live.speak()
    assert await after.start(speaker=speaker, noConnectionTimeout=60) == conversation
    await after.hear(2)
    await after.stop()

    # Nothing is awaited any more, and the new audio follows the old.
    await listener.until("conversation_completed")
    times = [message["timeOffset"] for message in await live.messages(conversation)]
    assert len(times) == 3
    assert times == sorted(times)


@pytest.mark.parametrize("identity", ["meeting", "a%00b", "%ff", "%ED%A0%80", "a;b'", "x" * 2000])
async def test_a_session_that_has_ended_is_not_continued(
    live_of: StartLive, tmp_path: Path, identity: str
) -> None:
    live = await live_of(data=tmp_path)
    speaker = await live.speak(identity)
    ended = await speaker.start(noConnectionTimeout=60)
    await speaker.stop()
    assert await speaker.closed() == 1000
    again = await live.speak(identity)
    held = await again.start(noConnectionTimeout=60)
    await live.server.aclose()

    live = await live_of(data=tmp_path)
    found = await (await live.speak(identity)).start()
    assert found == held != ended


@pytest.mark.parametrize("is_killed", [False, True])
async def test_a_session_without_a_wait_ends_with_its_server_and_its_listeners_get_the_end(
    live_of: StartLive, tmp_path: Path, is_killed: bool
) -> None:
    data = tmp_path / "data"
    live = await live_of(data=data)
    lost = await (await live.speak()).start(noConnectionTimeout=0)
    if is_killed:
        data = files_of(data, tmp_path / "copy")
    else:
        await live.server.aclose()

    live = await live_of(data=data)
    listener = await live.subscribe()
    assert await listener.closed() == 1000
    assert [frame["conversationId"] for frame in listener.seen] == [lost]
    assert await (await live.speak()).start() != lost


async def test_a_server_that_stops_hears_the_audio_that_it_has_received(
    live_of: StartLive, tmp_path: Path
) -> None:
    live = await live_of(data=tmp_path)
    speaker = await live.speak()
    conversation = await speaker.start()
    session = live.server._accounts[0].live.find("meeting")
    assert session is not None
    await speaker.hear(1)
    # Its words come late.
    async with session._conversations.change(conversation):
        closing = asyncio.create_task(live.server.aclose())
        await speaker.closed()
        done, _ = await asyncio.wait([closing], timeout=0.5)
        assert not done
    await closing

    live = await live_of(data=tmp_path)
    (message,) = await live.messages(conversation)
    assert message["text"].startswith("[1.0 s")


async def test_a_call_ends_with_its_server_and_its_listeners_get_the_end(
    live_of: StartLive, tmp_path: Path
) -> None:
    live = await live_of(data=tmp_path)
    endpoint = {"type": "pstn", "phoneNumber": "14155550123"}
    body = {"operation": "start", "endpoint": endpoint}
    call = (await live.caller.request("POST", "/v1/endpoint:connect", json=body)).body
    await live.server.aclose()

    live = await live_of(data=tmp_path)
    listener = await live.connect(f"/session/subscribe/{call['connectionId']}")
    assert await listener.closed() == 1000
    assert [frame["conversationId"] for frame in listener.seen] == [call["conversationId"]]


async def test_a_speaker_who_does_not_come_back_is_awaited_no_longer_than_it_asked(
    live_of: StartLive, tmp_path: Path
) -> None:
    live = await live_of(data=tmp_path)
    lost = await (await live.speak()).start(noConnectionTimeout=3)
    await live.server.aclose()

    live = await live_of(data=tmp_path)
    listener = await live.subscribe()
    assert (await listener.until("conversation_completed"))["conversationId"] == lost


@pytest.mark.parametrize("end", ["stopped", "lost", "deleted"])
async def test_a_listener_of_a_session_that_has_just_ended_gets_its_end(
    live: LiveCaller, end: str
) -> None:
    speaker, witness = await live.speak(), await live.subscribe()
    conversation = await speaker.start()
    if end == "deleted":
        await live.caller.request("DELETE", f"/v1/conversations/{conversation}")
    if end == "lost":
        await speaker.ws.close()
    else:
        await speaker.stop()
    assert await witness.closed() == 1000

    listener = await live.subscribe()
    assert await listener.closed() == 1000
    assert listener.kinds() == ["conversation_completed"]
    assert listener.seen[0]["conversationId"] == conversation


async def test_a_listener_of_the_next_session_of_an_id_gets_that_one(live: LiveCaller) -> None:
    first = await live.speak()
    await first.start()
    await first.stop()
    second = await live.speak()
    conversation = await second.start()
    listener = await live.subscribe()
    await second.stop()

    assert await listener.closed() == 1000
    assert [f["conversationId"] for f in listener.of("conversation_completed")] == [conversation]


async def test_a_listener_of_an_id_without_a_session_waits_for_one(live: LiveCaller) -> None:
    listener, speaker = await live.subscribe(), await live.speak()
    conversation = await speaker.start()
    await speaker.stop()

    assert await listener.closed() == 1000
    assert listener.seen[-1]["conversationId"] == conversation


async def test_a_speaker_who_starts_while_another_stops_is_in_the_conversation(
    live: LiveCaller,
) -> None:
    listener, speaker = await live.subscribe(), await live.speak()
    conversation = await speaker.start()
    sessions = live.server._accounts[0].live
    session = sessions.find("meeting")
    assert session is not None
    # The other's start waits for the conversation, and the stop comes meanwhile.
    async with session._conversations.change(conversation):
        beginning = asyncio.create_task(session.begin(StartRequest()))
        await speaker.stop()
    turn = await beginning
    assert sessions.find("meeting") is session

    session.end(turn)
    sessions.end(session, "")
    assert await listener.closed() == 1000
    assert listener.kinds().count("conversation_completed") == 1


async def test_a_speaker_who_starts_while_the_wait_of_another_ends_is_in_the_conversation(
    live: LiveCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, bob = await live.speak(), await live.speak()
    conversation = await kept.start(speaker={"name": "Ann"}, disconnectOnStopRequest=False)
    await kept.stop()
    session = live.server._accounts[0].live.find("meeting")
    assert session is not None
    asked, exists = asyncio.Event(), session.exists

    async def slow() -> bool:
        asked.set()
        await live.server.until(lambda: len(live.server._accounts[0].live.sockets) == 1)
        return await exists()

    monkeypatch.setattr(session, "exists", slow)
    starting = asyncio.create_task(bob.start(speaker={"name": "Bob"}))
    await asked.wait()
    await kept.ws.close()

    assert await starting == conversation
    assert live.server._accounts[0].live.find("meeting") is session
    await bob.stop()
    await live.server.until(lambda: live.server.live == 0)


async def test_a_start_that_cannot_read_its_conversation_leaves_the_wait_as_it_was(
    live: LiveCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    speaker, again = await live.speak(), await live.speak()
    await speaker.start(noConnectionTimeout=1)
    await speaker.ws.close()
    await live.server.until(lambda: len(live.server._accounts[0].live.sockets) == 1)
    session = live.server._accounts[0].live.find("meeting")
    assert session is not None

    async def broken() -> bool:
        raise StorageError("no disk")

    monkeypatch.setattr(session, "exists", broken)
    await again.send(type="start_request")
    await again.until("error")

    await live.server.until(lambda: live.server.live == 0)


async def test_no_more_than_so_many_sessions_wait_for_their_speakers(
    live: LiveCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_MOST_WAITING", 2)
    sockets = live.server._accounts[0].live.sockets
    found = []
    for identity in "abc":
        speaker = await live.speak(identity)
        found.append(await speaker.start(noConnectionTimeout=60))
        await speaker.ws.close()
        await live.server.until(lambda: not sockets)
    await live.server.until(lambda: live.server.live == 2)

    listener = await live.subscribe("a")
    assert await listener.closed() == 1000
    assert await (await live.speak("b")).start() == found[1]


async def test_a_start_that_fails_ends_the_session(live: LiveCaller) -> None:
    listener, speaker = await live.subscribe(), await live.speak()
    conversation = await speaker.start(noConnectionTimeout=60)
    other = await live.speak()
    await live.caller.request("DELETE", f"/v1/conversations/{conversation}")
    await other.send(type="start_request")
    await other.until("error")
    await speaker.stop()

    assert await listener.closed() == 1000
