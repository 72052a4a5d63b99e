from __future__ import annotations

import asyncio

import aiohttp
import pytest

from symbl_aio.server import ServerLimits
from tests.server.live.conftest import LiveCaller, StartLive


async def test_a_client_that_does_not_read_loses_its_connection_and_holds_up_no_other(
    live_of: StartLive,
) -> None:
    live = await live_of(limits=ServerLimits(live_unread=300_000))
    # More than the buffers of two sockets hold.
    lines = [f"{number} " + "word " * 600 for number in range(80)]
    live.server.register_transcript(lines, stream="meeting", paced=False)
    host, port = live.server.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(
        b"GET /v1/subscribe/meeting HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"x-api-key: " + (await live.token()).encode() + b"\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
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


async def test_compression_is_not_negotiated(live: LiveCaller) -> None:
    headers = {"x-api-key": await live.token()}

    speaker = await live.connect("/v1/streaming/meeting", headers=headers, compress=15)

    assert speaker.ws.compress == 0


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


@pytest.mark.parametrize("data", [b"\x81\xff" + b"\xff" * 8, b"\xff\xff\xff\xff"])
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
