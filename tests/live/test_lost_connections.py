"""Connections that are cut in every state: nothing hangs, no byte is sent twice or unaccounted."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from symbl_aio import (
    APIError,
    AuthenticationError,
    ClientClosedError,
    Config,
    Gap,
    PermissionDeniedError,
    Recognition,
    StateEvent,
    Stream,
    StreamLostError,
    SymblClient,
    Timeouts,
    TransportError,
)
from tests.live.peer import TOKEN, Cutter, Peer, Session, enveloped, open_cutter, recognised, usual


@pytest.fixture
async def cutter(peer: Peer) -> AsyncIterator[Cutter]:
    async with open_cutter(peer.port) as running:
        yield running


def numbered(first: int, count: int) -> bytes:
    """Return audio of which each sample of four bytes occurs once."""
    return struct.pack(f"<{count}I", *range(first, first + count))


def samples(audio: bytes) -> list[int]:
    whole = len(audio) // 4
    return list(struct.unpack(f"<{whole}I", audio[: 4 * whole]))


def assert_accounted(peer: Peer, gaps: list[Gap], sent: int) -> None:
    """Check that each sample arrived once, or lies in a gap; and none twice."""
    arrived = [sample for session in peer.sessions for sample in samples(bytes(session.audio))]
    assert len(arrived) == len(set(arrived)), "a sample was sent twice"
    lost = {
        sample
        for gap in gaps
        for sample in range(gap.position // 4, -(-(gap.position + gap.bytes_lost) // 4))
    }
    assert set(range(sent)) - set(arrived) <= lost


async def rest(stream: Stream) -> list[Gap]:
    return [event async for event in stream if isinstance(event, Gap)]


async def last_of(stream: Stream) -> object:
    """Return the last event before the loss, which the iteration raises."""
    last: object = None
    with pytest.raises(StreamLostError):
        async for event in stream:
            last = event
    return last


async def test_a_cut_before_the_start_is_tried_again_with_the_same_id(peer: Peer, cutter: Cutter):
    # The token's connection; then in the handshake, and in the start request.
    cutter.cut_after = [10_000, 40, 400]
    async with peer.client(cutter.port) as symbl, symbl.stream("pier-4") as stream:
        await stream.send(numbered(0, 100))
        await stream.stop()
        assert await rest(stream) == []
    assert {session.id for session in peer.sessions} == {"pier-4"}
    assert len(peer.conversations) == 1
    assert samples(bytes(peer.sessions[-1].audio)) == list(range(100))


async def test_a_cut_between_the_start_request_and_its_answer_opens_no_second_conversation(
    peer: Peer,
):
    async def answer(session: Session, request):
        if len(peer.sessions) == 1:
            await session.created()
            session.break_off()
        else:
            await usual(session, request)

    peer.on_request = answer
    async with peer.client() as symbl, symbl.stream() as stream:
        await stream.stop()
        assert await rest(stream) == []
    assert len(peer.sessions) == 2
    assert len(peer.conversations) == 1


async def test_a_cut_in_the_middle_of_a_frame_leaves_a_gap_and_no_sample_twice(
    peer: Peer, cutter: Cutter
):
    cutter.cut_after = [10_000, 50_001]
    async with peer.client(cutter.port) as symbl, symbl.stream() as stream:
        for index in range(100):
            await stream.send(numbered(1000 * index, 1000))
        await stream.stop()
        gaps = await rest(stream)
    assert len(peer.sessions) == 2
    assert len(peer.conversations) == 1
    (gap,) = gaps
    assert gap.bytes_lost > 0
    assert gap.seconds > 0
    assert gap.audio_seconds == gap.bytes_lost / 32_000
    assert_accounted(peer, gaps, 100_000)


async def test_audio_that_a_ping_has_confirmed_is_in_no_gap(peer: Peer):
    async with peer.client() as symbl, symbl.stream() as stream:
        await stream.send(bytes(20_000))
        link = stream._link
        assert link is not None
        await link.until(lambda: link.account.open == 0)  # by the ping that is due
        (await peer.session()).break_off()
        await peer.session(at_least=2)
        await stream.stop()
        (gap,) = await rest(stream)
    assert (gap.position, gap.bytes_lost) == (20_000, 0)


async def test_a_cut_after_stop_is_not_resumed_and_names_the_conversation(peer: Peer):
    async def answer(session: Session, request):
        if request["type"] == "stop_request":
            session.break_off()
        else:
            await usual(session, request)

    peer.on_request = answer
    async with peer.client() as symbl, symbl.stream() as stream:
        await stream.send(numbered(0, 10))
        with pytest.raises(StreamLostError, match="after the stop request") as caught:
            await stream.stop()
        assert caught.value.conversation_id == stream.conversation.id
        gap = await last_of(stream)
        assert isinstance(gap, Gap)
        assert_accounted(peer, [gap], 10)
        with pytest.raises(StreamLostError):
            await stream.stop()
    assert len(peer.sessions) == 1


async def test_a_close_after_stop_without_a_last_word_completes_it(peer: Peer):
    async def answer(session: Session, request):
        if request["type"] == "stop_request":
            await session.ws.close()
        else:
            await usual(session, request)

    peer.on_request = answer
    async with peer.client() as symbl, symbl.stream() as stream:
        assert (await stream.stop()).id == peer.conversations[stream.id]


async def test_a_frozen_connection_is_noticed_and_replaced(peer: Peer, cutter: Cutter):
    times = Timeouts(connect=5, read=5, stall=0.3)
    async with peer.client(cutter.port, timeouts=times) as symbl, symbl.stream() as stream:
        cutter.running.clear()
        frozen_at = asyncio.get_running_loop().time()
        sending = asyncio.create_task(stream.send(bytes(30_000_000)))  # more than any buffer
        cutter.thawed_by_next = True
        await peer.session(at_least=2)
        seconds = asyncio.get_running_loop().time() - frozen_at
        sending.cancel()
        await asyncio.wait([sending])
        await stream.stop()
        gaps = await rest(stream)
    assert len(gaps) == 1
    assert 0 < gaps[0].bytes_lost < 8_000_000
    assert gaps[0].seconds >= seconds


async def test_a_subscription_that_was_frozen_states_all_of_the_time_without_events(
    peer: Peer, cutter: Cutter
):
    times = Timeouts(connect=5, read=5, stall=0.3)
    async with peer.client(cutter.port, timeouts=times) as symbl, symbl.subscribe("a") as events:
        loop = asyncio.get_running_loop()
        await peer.until(lambda: bool(peer.subscribers))
        cutter.running.clear()
        frozen_at = loop.time()
        cutter.thawed_by_next = True
        await peer.until(lambda: len(peer.subscribers) == 2)
        seconds = loop.time() - frozen_at
        gap = await anext(events)
        assert isinstance(gap, Gap)
        assert gap.seconds >= seconds


async def test_a_connection_that_died_unnoticed_is_replaced_before_the_stop_request(
    peer: Peer, cutter: Cutter
):
    async with peer.client(cutter.port) as symbl, symbl.stream() as stream:
        await stream.send(numbered(0, 100))
        link = stream._link
        assert link is not None
        await link.until(lambda: link.account.open == 0)
        assert link.socket is not None
        link.socket.last_frame_at -= 10
        # As of a laptop that slept: the first bytes show that the connection is gone.
        cutter.cuts_next = True
        assert (await stream.stop()).id == stream.conversation.id
        (gap,) = await rest(stream)
    assert gap.bytes_lost == 0
    assert len(peer.sessions) == 2
    assert len(peer.conversations) == 1


async def test_a_server_without_pongs_that_speaks_is_kept_and_a_silent_one_is_replaced(peer: Peer):
    peer.answers_pings = False
    times = Timeouts(connect=5, read=5, stall=0.3)
    async with peer.client(timeouts=times) as symbl, symbl.stream() as stream:
        session = await peer.session()
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.8  # more than twice the limit of silence
        while loop.time() < until:
            await stream.send(bytes(320))
            await session.send(recognised("on", is_final=False))
            await asyncio.sleep(0.02)
        assert len(peer.sessions) == 1
        await peer.session(at_least=2)
        await stream.stop()


async def test_a_connection_that_does_not_come_back_in_time_ends_the_stream(
    peer: Peer, cutter: Cutter
):
    async with (
        peer.client(cutter.port) as symbl,
        symbl.stream(no_connection_timeout=1) as stream,
    ):
        await stream.send(numbered(0, 100))
        cutter.cut_after = [1] * 1000
        cutter.cut()
        with pytest.raises(StreamLostError) as caught:
            while True:
                await stream.send(numbered(100, 100))
        assert caught.value.conversation_id == stream.conversation.id
        assert isinstance(caught.value.__cause__, TransportError)
        gap = await last_of(stream)
        assert isinstance(gap, Gap)
        assert gap.seconds >= 0.5


async def test_without_a_timeout_for_it_a_lost_connection_is_not_replaced(peer: Peer):
    async with peer.client() as symbl, symbl.stream(no_connection_timeout=0) as stream:
        (await peer.session()).break_off()
        with pytest.raises(StreamLostError):
            async for _ in stream:
                pass
    assert len(peer.sessions) == 1


async def test_a_loss_that_was_not_noticed_is_raised_at_the_end_of_the_block(peer: Peer):
    async with peer.client() as symbl:
        with pytest.raises(StreamLostError):
            async with symbl.stream(no_connection_timeout=0) as stream:
                (await peer.session()).break_off()
                task = stream._opened()._task
                assert task is not None
                await asyncio.wait([task])


async def test_a_server_that_resumes_with_another_conversation_is_not_believed(peer: Peer):
    async with peer.client() as symbl, symbl.stream() as stream:
        first = stream.conversation.id
        peer.conversations[stream.id] = "999"
        (await peer.session()).break_off()
        with pytest.raises(StreamLostError, match="999") as caught:
            async for _ in stream:
                pass
        assert caught.value.conversation_id == first == stream.conversation.id


@pytest.mark.parametrize(
    "code, resumed", [(1000, False), (1008, False), (1001, True), (1011, True)]
)
async def test_the_code_of_the_close_decides_whether_a_stream_is_resumed(
    peer: Peer, code: int, resumed: bool
):
    async with peer.client() as symbl, symbl.stream() as stream:
        await (await peer.session()).ws.close(code=code)
        if resumed:
            await peer.session(at_least=2)
            await stream.stop()
        else:
            with pytest.raises(StreamLostError):
                async for _ in stream:
                    pass
    assert len(peer.sessions) == (2 if resumed else 1)


@pytest.mark.parametrize("is_started", [True, False])
async def test_the_reason_of_a_close_is_in_the_error_without_a_secret(peer: Peer, is_started: bool):
    async def answer(session: Session, request):
        if is_started:
            await usual(session, request)
        await session.ws.close(code=1008, message=b"quota of a-secret-of-the-app is used up")

    peer.on_request = answer
    expected = StreamLostError if is_started else TransportError
    async with peer.client() as symbl:
        with pytest.raises(expected, match=r"code 1008: quota of .* is used up") as caught:
            async with symbl.stream() as stream:
                async for _ in stream:
                    pass
    assert "a-secret-of-the-app" not in str(caught.value)


async def test_a_token_that_was_refused_meanwhile_is_replaced_before_the_stream_resumes(peer: Peer):
    async with peer.client() as symbl, symbl.stream() as stream:
        peer.refusals = [401]
        (await peer.session()).break_off()
        again = await peer.session(at_least=2)
        assert again.token == peer.tokens[1] != peer.sessions[0].token
        await stream.stop()


async def test_a_refusal_that_is_final_ends_the_stream(peer: Peer):
    async with peer.client() as symbl, symbl.stream() as stream:
        peer.refusals = [403]
        (await peer.session()).break_off()
        with pytest.raises(StreamLostError) as caught:
            async for _ in stream:
                pass
    assert isinstance(caught.value.__cause__, PermissionDeniedError)
    assert len(peer.sessions) == 1


async def test_a_server_that_listens_and_breaks_again_and_again_is_given_up(peer: Peer):
    async def answer(session: Session, request):
        await usual(session, request)
        session.break_off()

    peer.on_request = answer
    async with peer.client() as symbl, symbl.stream(no_connection_timeout=1) as stream:
        with pytest.raises(StreamLostError):
            async with asyncio.timeout(30):
                async for _ in stream:
                    pass
    assert len(peer.sessions) > 2


async def test_a_page_in_place_of_a_websocket_is_final(peer: Peer):
    """As of a host that serves another API, or a gateway that knows no WebSockets."""
    peer.refusals = [200]
    async with peer.client() as symbl:
        with pytest.raises(TransportError, match="did not open a WebSocket") as raised:
            async with symbl.stream():
                pytest.fail("not a WebSocket")
    assert (raised.value.final, peer.refused) == (True, 1)
    assert peer.sessions == []


async def test_an_error_of_the_server_is_an_event_and_an_odd_frame_ends_nothing(peer: Peer):
    async def answer(session: Session, request):
        if request["type"] == "start_request":
            await session.listening()
        else:
            await session.send({"type": "error", "details": "slow down"})
            for odd in ("{", "[]", '"a"', "__PONG__", '{"type": 3}', '{"type": "message"}'):
                await session.send(odd)
            await session.ws.send_bytes(b"\0\1")
            await session.send({"type": "message_response", "messages": [None]})
            await session.completed()

    peer.on_request = answer
    async with peer.client() as symbl, symbl.stream() as stream:
        await stream.stop()
        kinds = [event.kind async for event in stream]
    assert kinds == ["state", "state", "error", *["unknown"] * 6, "state"]


async def test_closing_the_client_ends_its_streams(peer: Peer):
    client = peer.client()
    await client.start()
    stream = client.stream()
    await stream.__aenter__()
    await client.aclose()
    with pytest.raises(ClientClosedError):
        await stream.send(b"12")
    with pytest.raises(ClientClosedError):
        async for _ in stream:
            pass
    await (await peer.session()).closed.wait()


@pytest.mark.parametrize("status", [301, 303, 307])
@pytest.mark.parametrize("is_borrowed", [False, True])
async def test_a_redirect_of_the_handshake_is_not_followed(
    peer: Peer, is_borrowed: bool, status: int
):
    seen = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(dict(request.headers))
        return web.Response()

    async def redirect(request: web.Request) -> web.Response:
        target = f"http://localhost:{request.url.port}/elsewhere"
        return web.Response(status=status, headers={"Location": target})

    app = web.Application()
    app.router.add_get("/v1/streaming/{id}", redirect)
    app.router.add_get("/elsewhere", elsewhere)
    app.router.add_post("/oauth2/token:generate", peer._token)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as session:
            base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            client = SymblClient(
                TOKEN,
                config=Config(base_url=base_url, auth_header="x-api-key"),
                session=session if is_borrowed else None,
            )
            async with client:
                with pytest.raises(APIError, match=str(status)):
                    async with client.stream():
                        pytest.fail("not a WebSocket")
                # The session's owner may follow redirects.
                answer = await session.get(f"{base_url}/v1/streaming/x")
                assert answer.url.path == "/elsewhere"
            assert session.trace_configs == []
    finally:
        await runner.cleanup()
    assert ["x-api-key" in {name.lower() for name in headers} for headers in seen] == [False]


async def test_a_token_request_after_a_refused_handshake_may_be_redirected():
    requests: list[str] = []

    async def refuse(_request: web.Request) -> web.Response:
        requests.append("handshake")
        return web.Response(status=401)

    async def redirect(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/issued"})

    async def issue(_request: web.Request) -> web.Response:
        return web.Response(text=f"token-{len(requests)}")

    app = web.Application()
    app.router.add_get("/v1/streaming/{id}", refuse)
    app.router.add_get("/token", redirect)
    app.router.add_get("/issued", issue)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with aiohttp.ClientSession() as session:

            async def provide() -> str:
                async with session.get(f"{base_url}/token") as answer:
                    return await answer.text()

            config = Config(base_url=base_url)
            async with SymblClient(provide, config=config, session=session) as client:
                with pytest.raises(AuthenticationError):
                    async with client.stream():
                        pytest.fail("not a WebSocket")
    finally:
        await runner.cleanup()
    assert requests == ["handshake", "handshake"]


def is_state(event: object, state: str) -> bool:
    return isinstance(event, StateEvent) and event.state == state


async def test_a_subscription_is_resumed_with_a_gap_and_repeats_nothing(peer: Peer):
    async with peer.client() as symbl, symbl.subscribe("pier-4") as events:
        await peer.until(lambda: bool(peer.subscribers))
        await peer.subscribers[0].send(recognised("one"))
        assert (await anext(events)).text == "one"  # type: ignore[union-attr]
        peer.subscribers[0].break_off()
        await peer.until(lambda: len(peer.subscribers) == 2)
        second = peer.subscribers[1]
        await second.send(recognised("two"))
        await second.send(enveloped("conversation_completed", conversationId="7"))
        rest = [event async for event in events]
    assert isinstance(rest[0], Gap)
    assert isinstance(rest[1], Recognition)
    assert is_state(rest[2], "conversation_completed")
    assert len(rest) == 3


async def test_a_host_that_accepts_and_does_not_answer_ends_the_stream_with_its_window(
    peer: Peer, cutter: Cutter
):
    loop = asyncio.get_running_loop()
    async with (
        peer.client(cutter.port, timeouts=Timeouts(connect=60, read=60, stall=60)) as symbl,
        symbl.stream(no_connection_timeout=1) as stream,
    ):
        cutter.running.clear()
        began = loop.time()
        cutter.cut()
        with pytest.raises(StreamLostError):
            async for _ in stream:
                pass
        assert 0.5 < loop.time() - began < 10
        cutter.running.set()


async def test_a_host_that_does_not_answer_leaves_time_for_the_next_one(peer: Peer):
    async with peer.client() as symbl, symbl.stream(no_connection_timeout=30) as stream:
        link = stream._link
        assert link is not None
        assert link._limit(60) == 60
        link._lost_at = asyncio.get_running_loop().time()
        assert link._limit(60) == 10
        assert link._limit(3) == 3
        link._lost_at -= 28
        assert 1 < link._limit(60) <= 2
        link._lost_at -= 28
        assert link._limit(60) == 0
        link._lost_at = None


async def test_the_seconds_of_a_gap_are_those_of_each_encoding(peer: Peer):
    peer.answers_pings = False
    async with peer.client() as symbl, symbl.stream() as stream:
        await stream.send(bytes(32_000))
        await stream.modify(encoding="MULAW", sample_rate=8000)
        await stream.send(bytes(8_000))
        session = await peer.session()
        await session.until(lambda: len(session.audio) == 40_000)
        session.break_off()
        await peer.session(at_least=2)
        peer.answers_pings = True
        await stream.stop()
        (gap,) = await rest(stream)
    assert (gap.bytes_lost, gap.audio_seconds) == (40_000, 2.0)
