"""A stream over a real socket: audio out, events in, stop; and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from symbl_aio import (
    AccessToken,
    AuthenticationError,
    Config,
    ConfigurationError,
    Gap,
    Recognition,
    StateEvent,
    Stream,
    StreamLostError,
    StreamRefusedError,
    StreamTimeoutError,
    SymblClient,
    Timeouts,
    TransportError,
    User,
)
from symbl_aio._core.live_audio_account import MAX_FRAME
from tests.live.peer import Peer, Session, enveloped, open_peer, recognised, usual


async def test_a_stream_returns_once_the_server_listens_and_knows_its_conversation(peer: Peer):
    async with (
        peer.client() as symbl,
        symbl.stream(
            "meeting-1", speaker=User(name="Ines", user_id="i@example.com"), title="Pier 4"
        ) as stream,
    ):
        assert stream.conversation.id == peer.conversations["meeting-1"]
        (session,) = peer.sessions
        assert session.requests == [
            {
                "type": "start_request",
                "id": "meeting-1",
                "config": {
                    "speechRecognition": {"encoding": "LINEAR16", "sampleRateHertz": 16000},
                    "meetingTitle": "Pier 4",
                },
                "speaker": {"name": "Ines", "userId": "i@example.com"},
                "noConnectionTimeout": 30,
            }
        ]


async def test_audio_arrives_whole_and_in_order_in_frames_that_the_api_accepts(peer: Peer):
    audio = bytes(range(256)) * 200
    async with peer.client() as symbl, symbl.stream() as stream:
        await stream.send(audio[:100])
        await stream.send(bytearray(audio[100:30_001]))
        await stream.send(memoryview(audio)[30_001:])
        await stream.send(b"")
        conversation = await stream.stop()

        session = await peer.session()
        assert bytes(session.audio) == audio
        assert max(session.frames) <= MAX_FRAME
        assert 0 not in session.frames
        assert stream.position == len(audio)
        assert conversation.id == peer.conversations[stream.id]


async def test_a_buffer_may_be_used_again_once_send_has_returned(peer: Peer):
    buffer = bytearray(b"a" * 4000)
    async with peer.client() as symbl, symbl.stream() as stream:
        await stream.send(buffer)
        buffer[:] = b"b" * 4000
        await stream.send(buffer)
        await stream.stop()
        assert bytes((await peer.session()).audio) == b"a" * 4000 + b"b" * 4000


async def test_events_come_typed_and_end_with_the_conversation(peer: Peer):
    async def answer(session, request):
        if request["type"] == "start_request":
            await session.listening()
        else:
            await session.send(recognised("Good", is_final=False))
            await session.send(recognised("Good morning."))
            await session.completed()

    peer.on_request = answer
    async with peer.client() as symbl, symbl.stream() as stream:
        await stream.stop()
        events = [event async for event in stream]

    assert [type(event) for event in events] == [
        StateEvent, StateEvent, Recognition, Recognition, StateEvent,
    ]  # fmt: skip
    assert [event.text for event in events if isinstance(event, Recognition)] == [
        "Good",
        "Good morning.",
    ]
    assert events[-1].state == "conversation_completed"  # type: ignore[union-attr]


async def test_events_can_be_taken_after_the_block(peer: Peer):
    async with peer.client() as symbl:
        async with symbl.stream() as stream:
            await stream.send(b"1234")
        kinds = [event.kind async for event in stream]
    assert kinds == ["state", "state", "state"]


async def test_leaving_the_block_stops_the_stream(peer: Peer):
    async with peer.client() as symbl, symbl.stream() as stream:
        await stream.send(b"1234")
    session = await peer.session()
    assert [request["type"] for request in session.requests] == ["start_request", "stop_request"]


async def test_stop_is_sent_once_however_often_it_is_called(peer: Peer):
    async with peer.client() as symbl, symbl.stream() as stream:
        found = await asyncio.gather(*(stream.stop() for _ in range(5)))
        assert len({conversation.id for conversation in found}) == 1
        await stream.stop()
        with pytest.raises(ConfigurationError, match="was stopped"):
            await stream.send(b"12")
    session = await peer.session()
    assert [request["type"] for request in session.requests] == ["start_request", "stop_request"]


async def test_a_conversation_that_is_completed_late_ends_the_wait_and_not_the_stream(peer: Peer):
    late = asyncio.Event()

    async def answer(session, request):
        if request["type"] == "start_request":
            await session.listening()
        else:
            late.set()

    peer.on_request = answer
    async with peer.client() as symbl, symbl.stream() as stream:
        with pytest.raises(StreamTimeoutError) as caught:
            await stream.stop(timeout=0.05)
        assert caught.value.conversation_id == stream.conversation.id
        await late.wait()
        await (await peer.session()).completed()
        await stream.stop()
    assert len((await peer.session()).requests) == 2


async def test_a_server_that_refuses_the_start_ends_it_with_its_words(peer: Peer):
    async def answer(session, request):
        await session.send(enveloped("error", message="sampleRateHertz is too low", details="x"))

    peer.on_request = answer
    async with peer.client() as symbl:
        with pytest.raises(StreamRefusedError, match="sampleRateHertz is too low"):
            async with symbl.stream():
                pytest.fail("never listened")
    await (await peer.session()).closed.wait()


async def test_a_server_that_never_listens_ends_the_start(peer: Peer):
    async def silent(session, request): ...

    peer.on_request = silent
    async with peer.client(timeouts=Timeouts(connect=5, read=0.2, stall=1)) as symbl:
        with pytest.raises(StreamTimeoutError, match="did not start to listen"):
            async with symbl.stream(no_connection_timeout=0):
                pytest.fail("never listened")


async def test_a_refused_token_is_replaced_once(peer: Peer):
    peer.refusals = [401]
    async with peer.client() as symbl, symbl.stream() as stream:
        assert stream.conversation.id
    assert len(peer.tokens) == 2
    assert peer.sessions[0].token == peer.tokens[1]

    peer.refusals = [401, 401]
    async with peer.client() as symbl:
        with pytest.raises(AuthenticationError):
            async with symbl.stream():
                pytest.fail("refused")
    assert len(peer.sessions) == 1


async def test_a_token_that_cannot_be_had_is_not_asked_for_again_and_again(peer: Peer):
    asked = 0

    async def no_token() -> str:
        nonlocal asked
        asked += 1
        raise OSError("the vault is closed")

    async with peer.client(credentials=no_token) as symbl:
        with pytest.raises(TransportError, match="no token could be had"):
            async with symbl.stream():
                pytest.fail("has no token")
    assert asked == symbl.config.retries.attempts


async def test_a_handshake_that_fails_on_the_server_is_tried_again(peer: Peer):
    peer.refusals = [503, 500, 502]
    async with peer.client() as symbl, symbl.stream() as stream:
        assert stream.conversation.id
    assert peer.refused == 3


@pytest.mark.parametrize("is_lost", [False, True], ids=["first", "lost"])
async def test_a_server_that_names_a_time_to_come_back_is_not_asked_before(
    peer: Peer, is_lost: bool
):
    loop, refused = asyncio.get_running_loop(), [429, 503]
    if not is_lost:
        peer.refusals, peer.retry_after = refused, "1"
    began = loop.time()
    async with peer.client() as symbl, symbl.stream() as stream:
        if is_lost:
            peer.refusals, peer.retry_after = refused, "1"
            began = loop.time()
            (await peer.session()).break_off()
            await peer.session(at_least=2)
        assert loop.time() - began >= 2.0
        await stream.stop()
    assert peer.refused == 2


async def test_a_modified_encoding_is_announced_and_kept_for_the_next_connection(peer: Peer):
    async with peer.client() as symbl, symbl.stream() as stream:
        await stream.modify(encoding="LINEAR16", sample_rate=8000)
        session = await peer.session()
        await session.until(lambda: len(session.requests) == 2)
        assert session.requests[1] == {
            "type": "modify_request",
            "speechRecognition": {"encoding": "LINEAR16", "sampleRateHertz": 8000},
        }
        session.break_off()
        again = await peer.session(at_least=2)
        await again.until(lambda: bool(again.requests))
        sent = again.requests[0]["config"]["speechRecognition"]
        assert sent == {"encoding": "LINEAR16", "sampleRateHertz": 8000}


async def test_a_stream_that_is_kept_open_starts_again_on_the_same_connection(peer: Peer):
    async with peer.client() as symbl, symbl.stream(keep_open=True) as stream:
        await stream.send(b"1" * 10)
        await stream.stop()
        first = [event async for event in stream]
        assert first[-1].state == "conversation_completed"  # type: ignore[union-attr]
        peer.conversations[stream.id] = "77"
        await stream.start()
        assert stream.conversation.id == "77"
        await stream.send(b"2" * 10)
        await stream.stop()
        second = [event async for event in stream]
        assert len(second) == 3
    (session,) = peer.sessions
    assert [request["type"] for request in session.requests] == [
        "start_request", "stop_request", "start_request", "stop_request",
    ]  # fmt: skip
    assert bytes(session.audio) == b"1" * 10 + b"2" * 10


async def test_two_streams_share_neither_audio_nor_events_nor_across_clients_a_token(peer: Peer):
    async def answer(session, request):
        if request["type"] == "start_request":
            await session.listening()
        else:
            await session.send(recognised(session.id))
            await session.completed()

    peer.on_request = answer

    async def speak(client: SymblClient, name: str) -> list[str]:
        async with client.stream(name) as stream:
            for _ in range(50):
                await stream.send(name.encode() * 100)
            await stream.stop()
            return [event.text async for event in stream if isinstance(event, Recognition)]

    async with peer.client() as one, peer.client() as other:
        found = await asyncio.gather(
            speak(one, "stream-a"), speak(one, "stream-b"), speak(other, "stream-c")
        )
    assert [*found] == [["stream-a"], ["stream-b"], ["stream-c"]]
    by_id = {session.id: session for session in peer.sessions}
    for name, session in by_id.items():
        assert bytes(session.audio) == name.encode() * 100 * 50
    assert by_id["stream-a"].token == by_id["stream-b"].token != by_id["stream-c"].token


async def test_wrong_settings_raise_before_anything_is_opened(peer: Peer):
    async with peer.client() as symbl:
        for settings, words in [
            ({"sample_rate": 7000}, "8000 to 48000"),
            ({"encoding": "MULAW", "sample_rate": 16000}, "8000 Hz"),
            ({"encoding": "MP3"}, "LINEAR16"),
            ({"insight_types": ["joke"]}, "question"),
            ({"no_connection_timeout": 1801}, "0 to 1800"),
            ({"confidence_threshold": 2}, "0.0"),
            ({"tracker": []}, "no setting"),
            ({"extra": {"speaker": "Ines"}}, "setting of its own"),
            ({"title": "a\nb"}, "title"),
        ]:
            with pytest.raises(ConfigurationError, match=words):
                symbl.stream(**settings)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="slash"):
            symbl.stream("a/b")
    assert peer.sessions == []


async def test_a_borrowed_session_is_used_and_left_open(peer: Peer):
    async with aiohttp.ClientSession(headers={"X-Of": "the-caller"}) as session:
        client = SymblClient(
            AccessToken("a-token-of-its-own"),
            config=Config(base_url=f"http://127.0.0.1:{peer.port}"),
            session=session,
        )
        async with client:
            for _ in range(2):
                async with client.stream() as stream:
                    await stream.send(b"1234")
                    await stream.stop()
        assert not session.closed
        assert session.trace_configs == []
    found, _ = peer.sessions
    assert found.token == "a-token-of-its-own"
    assert found.headers["X-Of"] == "the-caller"
    assert bytes(found.audio) == b"1234"


async def test_a_server_that_pings_is_answered(peer: Peer):
    """Most servers close a connection that does not answer."""
    async with peer.client() as symbl, symbl.stream() as stream:
        session = await peer.session()
        await session.ws.ping(b"are you there")
        await session.until(lambda: b"are you there" in session.pongs)
        await stream.stop()


async def test_a_server_is_asked_now_and_then_how_much_audio_it_has(peer: Peer):
    async with peer.client() as symbl, symbl.stream() as stream:
        for _ in range(6):
            await stream.send(bytes(2**19))
        await stream.stop()
    (session,) = peer.sessions
    assert len(session.audio) == 6 * 2**19
    assert 5 <= session.pings < 60


async def test_a_stream_refuses_another_event_loop(peer: Peer):
    async with peer.client() as symbl, symbl.stream() as stream:
        for use in (
            lambda: stream.send(b"12"),
            lambda: stream.send(bytearray(b"12")),
            lambda: stream.stop(),
            lambda: stream.modify(sample_rate=8000),
            lambda: stream.__anext__(),
        ):

            async def elsewhere(use: Callable[[], Awaitable[object]] = use) -> None:
                with pytest.raises(ConfigurationError, match="run_coroutine_threadsafe"):
                    await use()

            await asyncio.to_thread(asyncio.run, elsewhere())
        await stream.stop()
        assert bytes((await peer.session()).audio) == b""


async def test_settings_that_can_be_read_once_are_kept_for_each_connection(peer: Peer):
    types = iter(["question", "topic"])
    async with peer.client() as symbl, symbl.stream(insight_types=types) as stream:  # type: ignore[arg-type]
        await stream.modify(sample_rate=8000)
        (await peer.session()).break_off()
        again = await peer.session(at_least=2)
        await again.until(lambda: bool(again.requests))
        assert again.requests[0]["insightTypes"] == ["question", "topic"]


async def test_other_values_than_audio_are_refused(peer: Peer):
    async with peer.client() as symbl, symbl.stream() as stream:
        for value in (None, 5, "1234", [1, 2]):
            with pytest.raises(ConfigurationError, match="audio is"):
                await stream.send(value)  # type: ignore[arg-type]


async def test_half_a_sample_waits_for_its_other_half(peer: Peer):
    async with peer.client() as symbl, symbl.stream() as stream:
        for part in (b"1", b"", b"122", b"3", memoryview(b"34455"), b"x"):
            await stream.send(part)
        await stream.stop()
    (session,) = peer.sessions
    assert bytes(session.audio) == b"1122334455"
    assert all(size % 2 == 0 for size in session.frames)


async def test_bytes_of_other_encodings_are_sent_as_they_come(peer: Peer):
    async with (
        peer.client() as symbl,
        symbl.stream(encoding="OPUS", sample_rate=48_000) as stream,
    ):
        for packet in (b"1", b"223", b"34"):
            await stream.send(packet)
        await stream.stop()
    assert peer.sessions[0].frames == [1, 3, 2]


async def test_nothing_can_be_changed_after_a_stop(peer: Peer):
    async with peer.client() as symbl, symbl.stream(keep_open=True) as stream:
        await stream.stop()
        for use in (
            lambda: stream.send(b"12"),
            lambda: stream.modify(sample_rate=8000),
            lambda: stream.bookmark(bookmark_id="b-1"),
        ):
            with pytest.raises(ConfigurationError, match="was stopped"):
                await use()


async def test_a_later_start_has_as_much_time_as_the_first(peer: Peer):
    async def answer(session: Session, request: dict[str, Any]) -> None:
        if len(session.requests) != 3:  # the second start, which is answered below
            await usual(session, request)

    peer.on_request = answer
    async with (
        peer.client(timeouts=Timeouts(connect=5, read=60, stall=0.6)) as symbl,
        symbl.stream(keep_open=True) as stream,
    ):
        await stream.stop()
        link, session = stream._link, await peer.session()
        assert link is not None
        assert link.socket is not None
        link.socket.start_sent_at -= 3600  # it has been open for an hour
        starting = asyncio.create_task(stream.start())
        await session.until(lambda: len(session.requests) == 3)
        before = session.pings  # by which the client has looked at its time limits twice
        await session.until(lambda: session.pings > before + 1 or session.closed.is_set())
        assert not session.closed.is_set()
        await session.listening()
        await starting
    assert len(peer.sessions) == 1


async def test_a_start_on_a_connection_that_has_ended_ends_the_events_too(peer: Peer):
    async with peer.client() as symbl, symbl.stream(keep_open=True) as stream:
        await stream.stop()
        (session,) = peer.sessions
        await session.ws.close()
        link = stream._link
        assert link is not None
        while not link.has_ended:
            await link._changed.wait()
        with pytest.raises(StreamLostError):
            await stream.start()
        assert [event async for event in stream]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_start_as_the_connection_breaks_is_made_on_the_next_one(peer: Peer):
    async with peer.client() as symbl, symbl.stream(keep_open=True) as stream:
        await stream.stop()
        link = stream._link
        assert link is not None
        assert link.socket is not None
        connection = link.socket._connection._response.connection
        assert connection is not None
        assert connection.transport is not None
        connection.transport.abort()  # which the client has not noticed yet
        await stream.start()
        await stream.send(b"12")
        await stream.stop()
    assert [bytes(session.audio) for session in peer.sessions] == [b"", b"12"]


async def test_a_server_that_listens_again_after_a_stop_request_gets_no_audio(peer: Peer):
    again = asyncio.Event()

    async def answer(session: Session, request):
        if request["type"] == "stop_request":
            # As for another speaker, who has just begun.
            await session.send(enveloped("started_listening"))
            await again.wait()
        await usual(session, request)

    peer.on_request = answer
    async with peer.client() as symbl, symbl.stream() as stream:
        stopping = asyncio.create_task(stream.stop())
        states = 0
        async for event in stream:
            states += isinstance(event, StateEvent) and event.state == "started_listening"
            if states == 2:
                break
        with pytest.raises(ConfigurationError, match="stopped"):
            await stream.send(bytes(640))
        again.set()
        await stopping
    assert peer.sessions[0].audio == b""


def test_a_send_on_another_loop_of_the_same_thread_is_refused():
    async def close(stream: Stream, symbl: SymblClient) -> None:
        await stream.stop()
        await stream.__aexit__(None, None, None)
        await symbl.aclose()

    async def send(stream: Stream) -> None:
        await stream.send(bytes(640))

    with asyncio.Runner() as first, asyncio.Runner() as second:
        opening = open_peer()
        peer = first.run(opening.__aenter__())
        symbl = peer.client()
        first.run(symbl.start())
        stream = symbl.stream()
        first.run(stream.__aenter__())
        first.run(send(stream))
        with pytest.raises(ConfigurationError, match="another event loop"):
            second.run(send(stream))
        assert stream.position == 640
        first.run(close(stream, symbl))
        first.run(opening.__aexit__(None, None, None))


async def test_a_kept_stream_that_the_server_completed_by_itself_starts_again(peer: Peer):
    async with (
        asyncio.timeout(30),
        peer.client() as symbl,
        symbl.stream(keep_open=True) as stream,
    ):
        session = await peer.session()
        await session.completed()
        assert [event async for event in stream]
        # On an open connection, where nothing would hear it.
        with pytest.raises(StreamLostError, match="completed"):
            await stream.send(b"12")
        await stream.stop()
        await stream.start()
        await stream.send(b"34")
        await stream.stop()
    assert bytes(session.audio) == b"34"


@pytest.mark.parametrize("keep_open", [False, True])
async def test_audio_that_a_conversation_may_have_been_completed_without_is_in_a_gap(
    peer: Peer, keep_open: bool
):
    async with peer.client() as symbl, symbl.stream(keep_open=keep_open) as stream:
        session = await peer.session()
        await stream.send(b"1" * 10)
        await session.until(lambda: len(session.audio) == 10)
        session.reading.clear()
        await session.completed()
        async with asyncio.timeout(30):
            events = [event async for event in stream]
    gaps = [event for event in events if isinstance(event, Gap)]
    assert [(gap.position, gap.bytes_lost) for gap in gaps] == [(0, 10)]
    assert isinstance(events[-1], StateEvent)


async def test_a_conversation_that_is_completed_just_before_the_stop_request_is_no_loss(peer: Peer):
    peer.answers_pings = False
    async with asyncio.timeout(30), peer.client() as symbl, symbl.stream() as stream:
        session = await peer.session()
        await stream.send(b"1" * 10)
        stopping = asyncio.create_task(stream.stop())
        await session.until(lambda: session.pings > 0)
        await session.completed()
        assert (await stopping).id == peer.conversations[stream.id]
    assert [request["type"] for request in session.requests] == ["start_request"]
