from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from symbl_aio.server import ServerLimits
from symbl_aio.server.live import live_socket
from tests.server.live.conftest import LiveCaller, StartLive


async def listen_unread(live: LiveCaller) -> asyncio.StreamWriter:
    """Open the socket of a listener that reads nothing after the handshake."""
    host, port = live.server.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(
        b"GET /v1/subscribe/meeting HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"x-api-key: " + (await live.token()).encode() + b"\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    return writer


@pytest.mark.heavy
async def test_a_client_that_does_not_read_loses_its_connection_and_holds_up_no_other(
    live_of: StartLive,
) -> None:
    live = await live_of(limits=ServerLimits(live_unread=300_000))
    # More than the buffers of two sockets hold.
    lines = [f"{number} " + "word " * 600 for number in range(80)]
    live.server.register_transcript(lines, stream="meeting", paced=False)
    writer = await listen_unread(live)
    sockets = live.server._accounts[0].live.sockets
    speaker = await live.speak()
    await speaker.start()
    await speaker.stop()

    # A long line is several messages.
    heard = " ".join(speaker.texts()).split()
    assert [word for word in heard if word != "word"] == [str(number) for number in range(80)]
    writer.close()
    await speaker.closed()
    await live.server.until(lambda: not sockets)


@pytest.mark.heavy
async def test_a_client_that_reads_nothing_is_waited_for_once(live_of: StartLive) -> None:
    # Less than it may leave unread, and for most of the time more than half of that.
    live = await live_of(limits=ServerLimits(live_unread=32_000_000))
    lines = [f"{number} " + "word " * 600 for number in range(200)]
    live.server.register_transcript(lines, stream="meeting", paced=False)
    writer = await listen_unread(live)
    speaker = await live.speak()
    await speaker.start()
    async with asyncio.timeout(50):  # else a second a sentence
        await speaker.stop()

    writer.close()


async def test_compression_is_not_negotiated(live: LiveCaller) -> None:
    headers = {"x-api-key": await live.token()}

    speaker = await live.connect("/v1/streaming/meeting", headers=headers, compress=15)

    assert speaker.ws.compress == 0


@pytest.mark.heavy
async def test_a_client_that_leaves_the_end_unread_loses_its_connection(live_of: StartLive) -> None:
    live = await live_of(limits=ServerLimits(live_unread=50_000_000, silence=0.2))
    lines = [f"{number} " + "word " * 600 for number in range(100)]
    live.server.register_transcript(lines, stream="meeting", paced=False)
    writer = await listen_unread(live)
    speaker = await live.speak()
    await speaker.start()
    await speaker.stop()
    await speaker.closed()

    await live.server.until(lambda: not live.server._accounts[0].live.sockets)
    writer.close()


@pytest.mark.parametrize("listens", [True, False])
async def test_a_client_that_is_silent_and_answers_no_ping_is_gone(
    live: LiveCaller, monkeypatch: pytest.MonkeyPatch, listens: bool
) -> None:
    monkeypatch.setattr(live_socket, "_PING_SECONDS", 0.05)
    connect = live.subscribe if listens else live.speak
    gone, there = await connect(), await connect("other")
    reading = asyncio.create_task(there.ws.receive())
    sockets = live.server._accounts[0].live.sockets
    # One of them reads nothing.
    await live.server.until(lambda: len(sockets) == 1)

    await there.ws.send_str("__PING__")
    assert (await reading).data == "__PONG__"
    assert not gone.ws.closed


@pytest.mark.parametrize("frame", [b"\x82\x80\0\0\0\0", b"\x89\x80\0\0\0\0"])
async def test_a_burst_of_small_frames_holds_up_no_other(live: LiveCaller, frame: bytes) -> None:
    speaker = await live.speak()
    await speaker.start()
    connection = speaker.ws._response.connection
    assert connection is not None
    assert connection.transport is not None
    handled: list[int] = []
    (socket,) = live.server._accounts[0].live.sockets
    receive = socket._receive

    async def counted(seconds: float) -> Any:
        handled[-1] += 1
        return await receive(seconds)

    socket._receive = counted  # type: ignore[method-assign]
    reading = asyncio.create_task(speaker.until("conversation_completed"))
    handled.append(0)
    connection.transport.write(frame * 5000)
    await speaker.send(type="stop_request")
    while not reading.done():
        handled.append(0)
        await asyncio.sleep(0)
    await reading

    assert sum(handled) >= 5000
    assert max(handled) < 100


async def test_a_speaker_that_sends_nothing_for_long_is_closed(live_of: StartLive) -> None:
    live = await live_of(limits=ServerLimits(live_idle=0.05))

    assert await (await live.speak()).closed() == 1000


async def test_a_socket_outlives_the_limits_of_requests(live_of: StartLive) -> None:
    # More bytes than a head may have, and longer than a connection may be idle between requests.
    live = await live_of(limits=ServerLimits(idle=0.05, head=0.05, silence=0.05, buffered=1000))
    speaker = await live.speak()
    await speaker.start()
    await speaker.hear(60)
    await asyncio.sleep(0.2)
    await speaker.stop()

    assert speaker.texts()[0].startswith("[60.0 s")


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\x81\xff" + b"\xff" * 8,
        # The rest of a message whose length, with that of the first part, is beyond 2**63.
        b"\x01\x81\0\0\0\0a" + b"\x80\xff\x7f" + b"\xff" * 7 + b"\0\0\0\0a",
    ],
)
async def test_bytes_that_are_no_frame_end_their_connection_alone(
    live: LiveCaller, data: bytes
) -> None:
    speaker, other = await live.speak(), await live.speak("other")
    await other.start()
    transport = speaker.ws.get_extra_info("socket")
    assert transport is not None
    connection = speaker.ws._response.connection
    assert connection is not None
    assert connection.transport is not None
    connection.transport.write(data)

    await speaker.closed()
    await other.stop()
    assert speaker.ws.close_code != aiohttp.WSCloseCode.INTERNAL_ERROR


async def test_a_handshake_that_offers_many_protocols_is_refused(live: LiveCaller) -> None:
    headers = {"x-api-key": await live.token()}
    protocols = [f"p{number}" for number in range(33)]

    speaker = await live.connect("/v1/streaming/a", headers=headers, protocols=protocols[:32])

    assert speaker.ws.protocol == "p0"
    for shown in (headers, {}):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await live.connect("/v1/streaming/a", headers=shown, protocols=protocols)
        assert refused.value.status == 431
