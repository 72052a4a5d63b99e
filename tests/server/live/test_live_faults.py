from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.server.live.conftest import LiveCaller


@pytest.mark.parametrize("status", [401, 500, 503])
async def test_a_handshake_fails_with_a_status(live: LiveCaller, status: int) -> None:
    await live.token()
    live.server.inject(f"status:{status}", on="/v1/streaming/")
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        await live.speak()

    assert raised.value.status == status
    await (await live.speak()).start()


async def test_a_socket_is_dropped_after_some_frames(live: LiveCaller) -> None:
    live.server.inject("drop_after_frames:3")
    speaker = await live.speak()
    await speaker.start(noConnectionTimeout=60)
    await speaker.hear(1, frame=16_000)

    assert await speaker.closed() == aiohttp.WSCloseCode.ABNORMAL_CLOSURE
    assert live.server.live == 1


async def test_a_socket_is_dropped_before_its_first_frame(live: LiveCaller) -> None:
    live.server.inject("drop_after_frames")
    speaker = await live.speak()

    assert await speaker.closed() == aiohttp.WSCloseCode.ABNORMAL_CLOSURE


async def test_a_frozen_socket_reads_nothing_and_sends_nothing(live: LiveCaller) -> None:
    live.server.inject("freeze_after_frames:2", on="/v1/streaming/")
    frozen, other = await live.speak(), await live.speak()
    await frozen.start(speaker={"name": "Ann"}, noConnectionTimeout=60)
    await frozen.ws.send_str("__PING__")
    await other.start(speaker={"name": "Bob"})
    await other.hear(1)
    await other.stop()

    # All that the other socket got after that, this one did not get: nor a close frame.
    assert "recognition_result" in other.kinds()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            while (await frozen.next())["type"] != "recognition_result":
                pass


async def test_a_ping_stays_without_an_answer(live: LiveCaller) -> None:
    live.server.inject("no_pong")
    speaker = await live.speak()
    await speaker.ws.send_str("__PING__")
    await speaker.start()

    assert speaker.kinds()[0] == "conversation_created"


async def test_an_error_frame_follows_the_start(live: LiveCaller) -> None:
    live.server.inject("error_frame")
    speaker = await live.speak()
    await speaker.start()

    assert "was told" in (await speaker.until("error"))["details"]
    await speaker.stop()


async def test_the_last_frame_may_be_late(live: LiveCaller) -> None:
    live.server.inject("late_completed:0.3")
    speaker = await live.speak()
    await speaker.start()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await speaker.stop()

    assert loop.time() - began >= 0.3


async def test_a_fault_of_a_socket_waits_for_one(live: LiveCaller) -> None:
    live.server.inject("no_pong")
    assert (await live.caller.text("Hello.")).status == 201
    live.server.inject("job_fails")
    speaker = await live.speak()
    await speaker.ws.send_str("__PING__")
    await speaker.start()

    assert speaker.kinds()[0] == "conversation_created"


@pytest.mark.parametrize("fault", ["drop_after_frames:x", "no_pong:1", "late_completed:soon"])
async def test_a_wrong_argument_fails_where_it_is_given(live: LiveCaller, fault: str) -> None:
    with pytest.raises(ValueError):
        live.server.inject(fault)
