"""One speaker and several, from their start to their stop, and after a lost connection."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from symbl_aio.server import Line, ServerLimits
from symbl_aio.server.live.handlers import LiveHandlers
from symbl_aio.server.live.session import LiveSession, Turn
from symbl_aio.server.live.speech_stream import SpeechError, SpeechStream, UntranscribedStream
from tests.server.live.conftest import Live, LiveCaller, StartLive

TALK = "One two three four.\nFive six seven eight.\nNine ten eleven twelve."


async def test_audio_before_the_start_is_dropped(live: LiveCaller) -> None:
    speaker = await live.speak()
    await speaker.hear(3)
    await speaker.start()
    await speaker.hear(1)
    await speaker.stop()

    (text,) = speaker.texts()
    assert text.startswith("[1.0 s of audio received, not transcribed")


async def test_an_odd_number_of_bytes_is_no_error(live: LiveCaller) -> None:
    speaker = await live.speak()
    await speaker.start()
    await speaker.hear(1, frame=1023)
    await speaker.stop()

    assert speaker.of("error") == []
    assert speaker.texts()[0].startswith("[1.0 s")


async def test_audio_faster_than_real_time_is_taken_whole(live: LiveCaller) -> None:
    speaker = await live.speak()
    await speaker.start(config={"speechRecognition": {"encoding": "MULAW"}})
    for _ in range(300):
        await speaker.ws.send_bytes(bytes(2048))
    await speaker.stop()

    assert speaker.texts()[0].startswith("[76.8 s")


async def test_the_format_can_change_in_between(live: LiveCaller) -> None:
    speaker = await live.speak()
    await speaker.start()
    await speaker.hear(1)
    await speaker.send(
        type="modify_request", speechRecognition={"encoding": "LINEAR16", "sampleRateHertz": 8000}
    )
    await speaker.until("session_modified")
    await speaker.hear(1)
    await speaker.stop()

    assert speaker.texts()[0].startswith("[3.0 s")


async def test_the_stop_of_the_python_sdk_is_a_stop(live: LiveCaller) -> None:
    speaker = await live.speak()
    await speaker.start()
    await speaker.ws.send_str("{'type': 'stop_request'}")

    await speaker.until("conversation_completed")


async def test_a_ping_of_the_javascript_sdk_is_answered(live: LiveCaller) -> None:
    speaker = await live.speak()
    await speaker.ws.send_str("__PING__")

    assert (await speaker.ws.receive(timeout=30)).data == "__PONG__"


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ("hello", "not JSON"),
        ('{"type": "begin"}', "no known"),
        ('{"type": "modify_request"}', "has not started"),
        ('{"type": "start_request", "config": {"encoding": "MP3"}}', '"encoding" must be'),
        ('{"type": "bookmark_request"}', "has not started"),
    ],
)
async def test_a_wrong_frame_is_answered_by_an_error_and_ends_nothing(
    live: LiveCaller, frame: str, words: str
) -> None:
    speaker = await live.speak()
    await speaker.ws.send_str(frame)
    error = await speaker.until("error")

    assert words in error["details"]
    await speaker.start()
    await speaker.stop()


async def test_a_bookmark_is_made_changed_and_deleted(live: LiveCaller) -> None:
    live.server.register_transcript(TALK, stream="meeting", paced=False)
    speaker, path = await live.speak(), "/v1/conversations/{}/bookmarks"
    conversation = await speaker.start()
    await speaker.until("message_response", sequenceNumber=2)
    texts = {"label": "Budget", "description": "It is short.", "user": {"name": "Ann"}}
    position = {"beginTimeOffset": 0, "duration": 2}
    await speaker.send(type="bookmark_request", operation="create", **texts, **position)
    made = (await speaker.until("bookmark_response"))["bookmark"]
    assert made["messageRefs"][0]["text"] == "One two three four."
    await speaker.send(
        type="bookmark_request", operation="update", id=made["id"], label="Numbers", **position
    )
    await speaker.until("bookmark_response", operation="update")
    (stored,) = (await live.caller.get(path.format(conversation))).body["bookmarks"]
    assert (stored["id"], stored["label"]) == (made["id"], "Numbers")
    await speaker.send(type="bookmark_request", operation="delete", id=made["id"])
    await speaker.until("bookmark_response", operation="delete")

    assert (await live.caller.get(path.format(conversation))).body["bookmarks"] == []
    for wrong in ({"operation": "delete", "id": "none"}, {"operation": "hide"}, {}):
        await speaker.send(type="bookmark_request", **wrong)
        await speaker.until("error")


async def test_a_second_start_is_an_error(live: LiveCaller) -> None:
    speaker = await live.speak()
    await speaker.start()
    await speaker.send(type="start_request")

    assert "stop it" in (await speaker.until("error"))["details"]


async def test_two_speakers_of_one_id_share_a_conversation(live: LiveCaller) -> None:
    ann, bob = await live.speak(), await live.speak()
    first = await ann.start(speaker={"userId": "ann@example.com", "name": "Ann"})
    second = await bob.start(speaker={"userId": "bob@example.com", "name": "Bob"})
    await ann.stop()
    assert await ann.closed() == 1000
    await bob.hear(1)
    await bob.stop()

    assert first == second
    answer = await live.caller.get(f"/v1/conversations/{first}/members")
    assert [member["name"] for member in answer.body["members"]] == ["Ann", "Bob"]
    assert live.server.live == 0


async def test_each_speaker_gets_the_frames_of_the_other(live: LiveCaller) -> None:
    live.server.register_transcript(TALK, stream="meeting")
    ann, bob = await live.speak(), await live.speak()
    await ann.start(speaker={"name": "Ann", "peerId": "a"})
    await bob.start(speaker={"name": "Bob", "peerId": "b"})
    await bob.hear(1.7)
    heard = await ann.until("recognition_result", isFinal=True)

    assert heard["user"]["peerId"] == "b"
    assert (await ann.until("message_response"))["messages"][0]["from"]["name"] == "Bob"


async def test_without_a_wait_a_lost_socket_completes_the_conversation(live: LiveCaller) -> None:
    listener, speaker = await live.subscribe(), await live.speak()
    conversation = await speaker.start()
    await speaker.hear(1)
    await speaker.ws.close()

    assert await listener.closed() == 1000
    assert listener.kinds()[-1] == "conversation_completed"
    # The work went on without the socket.
    (message,) = await live.messages(conversation)
    assert message["text"].startswith("[1.0 s")


async def test_a_lost_socket_continues_the_conversation_within_its_time(live: LiveCaller) -> None:
    live.server.register_transcript(TALK, stream="meeting")
    listener, first = await live.subscribe(), await live.speak()
    conversation = await first.start(noConnectionTimeout=60)
    await first.hear(1.7)
    await first.until("message_response")
    abort(first)
    second = await live.speak()

    assert await second.start(noConnectionTimeout=60) == conversation
    await second.hear(1.7)
    await second.until("message_response")
    await second.stop()
    assert await listener.closed() == 1000
    assert listener.texts() == TALK.splitlines()
    assert [m["text"] for m in await live.messages(conversation)] == TALK.splitlines()
    starts = [m["timeOffset"] for m in await live.messages(conversation)]
    assert starts == sorted(starts)


async def test_a_stop_of_another_speaker_does_not_end_the_wait(live: LiveCaller) -> None:
    listener, ann, bob = await live.subscribe(), await live.speak(), await live.speak()
    conversation = await ann.start(speaker={"name": "Ann"}, noConnectionTimeout=60)
    await bob.start(speaker={"name": "Bob"})
    abort(ann)
    await live.server.until(lambda: len(live.server._accounts[0].live.sockets) == 2)
    await bob.stop()
    assert await bob.closed() == 1000

    ann = await live.speak()
    assert await ann.start(speaker={"name": "Ann"}, noConnectionTimeout=60) == conversation
    await ann.stop()
    # The speaker who was waited for has stopped, so nothing is waited for.
    assert await listener.closed() == 1000
    assert listener.kinds().count("conversation_completed") == 1


async def test_a_connection_that_was_lost_without_a_word_is_heard_to_its_end(
    live_of: StartLive,
) -> None:
    live = await live_of(limits=ServerLimits(live_answer=0.05))
    listener, lost = await live.subscribe(), await live.speak()
    # Its network is gone: it answers no ping, and its connection is not closed.
    conversation = await lost.start(speaker={"name": "Ann"}, noConnectionTimeout=60)
    await lost.hear(1)
    again = await live.speak()
    assert await again.start(speaker={"name": "Ann"}, noConnectionTimeout=60) == conversation
    await again.until("message_response")
    await again.hear(2)
    await again.stop()

    # Ann has come back, so she is not waited for.
    assert await listener.closed() == 1000
    assert [text[:6] for text in listener.texts()] == ["[1.0 s", "[2.0 s"]


async def test_a_speaker_who_is_there_stays_when_another_one_joins(live_of: StartLive) -> None:
    live = await live_of(limits=ServerLimits(live_answer=0.05))
    ann, bob = await live.speak(), await live.speak()
    await ann.start()
    reading = asyncio.create_task(ann.until("message_response"))
    await bob.start()
    tasks = live.server._accounts[0].live.tasks._tasks
    await asyncio.wait([task for task in tasks if task.get_name() == "probe of a speaker"])
    await bob.hear(1)
    await bob.stop()
    await reading

    await ann.hear(2)
    await ann.stop()
    assert [text[:6] for text in ann.texts()] == ["[1.0 s", "[2.0 s"]


async def test_a_socket_may_stay_open_for_another_start(live: LiveCaller) -> None:
    live.server.register_transcript(TALK, stream="meeting")
    speaker = await live.speak()
    first = await speaker.start(disconnectOnStopRequest=False)
    await speaker.stop()
    second = await speaker.start()
    await speaker.stop()

    assert first == second
    assert await speaker.closed() == 1000


async def test_listeners_of_a_socket_that_was_kept_open_get_the_end_once_it_closes(
    live: LiveCaller,
) -> None:
    listener, speaker = await live.subscribe(), await live.speak()
    await speaker.start(disconnectOnStopRequest=False, speaker={"name": "Ann"})
    await speaker.stop()
    # Not only the speaker of the last start, but each one on this socket.
    await speaker.start(disconnectOnStopRequest=False, speaker={"name": "Bob"})
    await speaker.stop()
    await speaker.ws.close()

    await listener.until("conversation_completed")
    assert await listener.closed() == 1000


async def test_another_speaker_on_a_socket_that_was_kept_open_is_the_one_who_is_awaited(
    live: LiveCaller,
) -> None:
    listener, speaker = await live.subscribe(), await live.speak()
    await speaker.start(disconnectOnStopRequest=False, speaker={"name": "Ann"})
    await speaker.stop()
    await speaker.start(speaker={"name": "Bob"})
    await speaker.stop()

    await listener.until("conversation_completed")


async def test_a_conversation_that_was_deleted_while_its_speaker_was_away_is_not_continued(
    live: LiveCaller,
) -> None:
    speaker = await live.speak()
    deleted = await speaker.start(noConnectionTimeout=60)
    await speaker.ws.close()
    again = await live.speak()
    await live.caller.request("DELETE", f"/v1/conversations/{deleted}")
    assert await again.start() != deleted


async def test_a_socket_without_a_start_is_closed_when_its_time_is_over(live: LiveCaller) -> None:
    speaker = await live.speak()
    await speaker.start(disconnectOnStopRequest=False, disconnectOnStopRequestTimeout=0)
    await speaker.stop()

    assert await speaker.closed() == 1000
    await live.server.until(lambda: live.server.live == 0)


async def test_a_stop_without_a_start_is_harmless(live: LiveCaller) -> None:
    speaker = await live.speak()
    await speaker.send(type="stop_request")
    await speaker.start()
    await speaker.stop()

    assert await speaker.closed() == 1000


async def test_a_client_that_leaves_after_its_stop_loses_no_result(live: LiveCaller) -> None:
    live.server.register_transcript(TALK, stream="meeting")
    speaker = await live.speak()
    conversation = await speaker.start()
    await speaker.send(type="stop_request")
    abort(speaker)
    await live.server.until(lambda: live.server.live == 0)

    assert len(await live.messages(conversation)) == 3


async def test_what_comes_after_a_ping_is_heard_although_the_client_has_left(
    live: LiveCaller,
) -> None:
    ann, bob = await live.speak(), await live.speak()
    conversation = await ann.start()
    session = live.server._accounts[0].live.find("meeting")
    assert session is not None
    # All of it waits while the start waits for the conversation.
    async with session._conversations.change(conversation):
        await bob.send(type="start_request")
        await bob.ws.ping()
        await bob.hear(1)
        await bob.send(type="stop_request")
        abort(bob)
        await asyncio.sleep(0.2)
    await ann.until("message_response")

    assert ann.texts()[0].startswith("[1.0 s")


async def test_the_lines_of_a_transcript_may_name_their_speakers(live: LiveCaller) -> None:
    lines = [Line("Hello.", "Ann", email="ann@example.com"), Line("Hi."), Line("Bye.", "Bob")]
    live.server.register_transcript(lines, stream="meeting")
    speaker = await live.speak()
    conversation = await speaker.start(speaker={"name": "Zoe"})
    await speaker.stop()

    names = [message["from"]["name"] for message in await live.messages(conversation)]
    assert names == ["Ann", "Zoe", "Bob"]


async def test_personal_data_is_masked_where_a_start_wants_it(live: LiveCaller) -> None:
    live.server.register_transcript("Zoe has the number 555 1234.", stream="meeting")
    speaker = await live.speak()
    conversation = await speaker.start(
        speaker={"name": "Zoe"},
        config={"redaction": {"redactContent": True, "redactionString": r"\1"}},
    )
    await speaker.stop()

    assert speaker.texts() == [r"\1 has the number \1."]
    assert [m["text"] for m in await live.messages(conversation)] == speaker.texts()
    assert not any("555 1234" in str(frame) for frame in speaker.seen)


async def test_messages_have_their_entities_where_a_start_wants_them(live: LiveCaller) -> None:
    live.server.register_transcript("Zoe: The ferry goes on 2024-05-03.", stream="meeting")
    for redaction, has_entities in [({"identifyContent": True}, True), ({}, False)]:
        speaker = await live.speak()
        await speaker.start(config={"redaction": {"redactContent": False} | redaction})
        await speaker.stop()
        (frame,) = speaker.of("message_response")
        assert ("entities" in frame["messages"][0]) is has_entities


async def test_a_deleted_conversation_is_an_error_for_its_speaker(live: LiveCaller) -> None:
    live.server.register_transcript(TALK, stream="meeting")
    speaker = await live.speak()
    conversation = await speaker.start()
    await live.caller.request("DELETE", f"/v1/conversations/{conversation}")
    await speaker.send(type="stop_request")

    assert "unknown" in (await speaker.until("error"))["details"]
    await speaker.until("conversation_completed")


async def test_stored_trackers_are_used_where_a_start_wants_them(live: LiveCaller) -> None:
    record = {"name": "Count", "vocabulary": ["six"]}
    await live.caller.request("POST", "/v1/manage/trackers", json=[record])
    live.server.register_transcript(TALK, stream="meeting")
    speaker = await live.speak()
    await speaker.start(config={"trackers": {"enableAllTrackers": True}})
    await speaker.stop()

    assert [t["name"] for f in speaker.of("tracker_response") for t in f["trackers"]] == ["Count"]


async def test_a_frame_beyond_the_limit_closes_its_socket_alone(live_of: StartLive) -> None:
    live = await live_of(limits=ServerLimits(live_frame=1000))
    speaker, other = await live.speak(), await live.speak("other")
    await speaker.start()
    await other.start()
    await speaker.ws.send_bytes(bytes(2000))

    assert await speaker.closed() == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
    await other.stop()


async def test_twenty_streams_at_once_lose_nothing(live: LiveCaller) -> None:
    async def talk(number: int) -> tuple[list[str], list[Any]]:
        live.server.register_transcript(TALK.replace("One", f"S{number}"), stream=f"s{number}")
        speaker = await live.speak(f"s{number}")
        conversation = await speaker.start()
        await speaker.hear(5)
        await speaker.stop()
        return speaker.texts(), [m["text"] for m in await live.messages(conversation)]

    for number, (sent, stored) in enumerate(
        await asyncio.gather(*(talk(number) for number in range(20)))
    ):
        assert sent == stored == TALK.replace("One", f"S{number}").splitlines()


def abort(speaker: Live) -> None:
    """Drop the connection without a close frame."""
    transport = speaker.ws.get_extra_info("socket")
    assert transport is not None
    transport.shutdown(2)


async def test_a_stopping_server_opens_no_sockets(live: LiveCaller) -> None:
    speaker = await live.speak()
    await speaker.start()
    await live.server.drain()
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        await live.subscribe()

    assert raised.value.status == 503
    await speaker.stop()


async def test_other_appends_to_the_conversation_are_not_taken_for_speech(live: LiveCaller) -> None:
    live.server.register_transcript(TALK, stream="meeting")
    speaker = await live.speak()
    conversation = await speaker.start()
    await speaker.hear(1.7)
    await speaker.until("message_response")
    await live.caller.text("Bob: By text.", into=conversation)
    await live.server.until(lambda: not live.server.unfinished)
    await speaker.stop()

    assert speaker.texts() == TALK.splitlines()
    assert len(await live.messages(conversation)) == 4


async def test_an_append_that_lets_the_conversation_begin_earlier_moves_no_speech(
    live: LiveCaller,
) -> None:
    live.server.register_transcript(TALK, stream="meeting")
    speaker = await live.speak()
    conversation = await speaker.start()
    await speaker.hear(1.7)
    await speaker.until("message_response")
    (first,) = await live.messages(conversation)
    times = {"startTime": "2020-01-01T10:00:00Z", "endTime": "2020-01-01T10:00:01Z"}
    text = {"payload": {"content": "Long ago."}, "duration": times}
    path = f"/v1/process/text/{conversation}"
    assert (await live.caller.put(path, {"messages": [text]})).status == 201
    await live.server.until(lambda: not live.server.unfinished)
    await speaker.stop()

    messages = await live.messages(conversation)
    assert [message["text"] for message in messages] == ["Long ago.", *TALK.splitlines()]
    assert messages[0]["startTime"] == "2020-01-01T10:00:00.000Z"
    assert messages[1]["startTime"] == first["startTime"]
    assert messages[2]["startTime"] == first["endTime"]
    shown = [m["duration"] for f in speaker.of("message_response") for m in f["messages"]]
    assert [d["startTime"] for d in shown] == [message["startTime"] for message in messages[1:]]


async def test_a_speaker_whose_words_end_early_is_disconnected_and_continues(
    live: LiveCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dying(UntranscribedStream):
        async def feed(self, audio: bytes) -> None:
            self._results.end(SpeechError("the recognition process ended"))

    async def open_stream(self: LiveHandlers, session: LiveSession, turn: Turn) -> SpeechStream:
        return (Dying if turn.number == 1 else UntranscribedStream)(turn.request.audio, turn.offset)

    monkeypatch.setattr(LiveHandlers, "_open_stream", open_stream)
    speaker, again = await live.speak(), await live.speak()
    ines = {"name": "Ines", "userId": "ines@example.com"}
    conversation = await speaker.start(speaker=ines, noConnectionTimeout=60)
    await speaker.hear(0.1)
    assert await speaker.closed() == 1011
    assert "process ended" in speaker.of("error")[0]["details"]

    assert await again.start(speaker=ines) == conversation
    await again.hear(0.1)
    await again.stop()
    assert "0.1 s of audio" in again.texts()[0]
