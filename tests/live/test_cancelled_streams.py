"""Cancelling a stream, a subscription or a call at any await leaves no task and no socket."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from symbl_aio import Pstn, SpeakerEvent, SymblClient, User
from symbl_aio._core.live_audio_account import MAX_UNCONFIRMED
from tests.live.peer import Peer, recognised, usual, wav


def live_tasks() -> list[str]:
    names = (task.get_name() for task in asyncio.all_tasks() if not task.done())
    return [name for name in names if name.startswith("symbl_aio") and "call" not in name]


async def speak(symbl: SymblClient) -> None:
    async with symbl.stream() as stream:
        for _ in range(2):
            await stream.send(bytes(20_000))
            await anext(stream)
        await stream.modify(sample_rate=8000)
        await stream.stop()
        async for _ in stream:
            pass


async def listen(symbl: SymblClient) -> None:
    async with symbl.subscribe("pier-4") as events:
        async for _ in events:
            pass


async def record(symbl: SymblClient, path: Path) -> None:
    async with symbl.stream_file(path, realtime=False) as stream:
        async for _ in stream:
            pass
        await stream.stop()


async def start_again(symbl: SymblClient) -> None:
    async with symbl.stream(keep_open=True) as stream:
        await stream.send(bytes(20_000))
        await stream.stop()
        await stream.start()
        await stream.bookmark(bookmark_id="b-1")
        await stream.send(bytes(3))


async def call(symbl: SymblClient) -> None:
    running = await symbl.telephony.start(Pstn("14155550123"))
    async with running.events():
        await running.push(SpeakerEvent("joined", User(name="Ines")))
        await running.stop()


async def steps_of(work: Callable[[SymblClient], Awaitable[Any]], peer: Peer) -> int:
    """Count the rounds of the event loop that undisturbed work takes, as an upper bound."""
    async with peer.client() as symbl:
        task = asyncio.ensure_future(work(symbl))
        steps = 0
        while not task.done():
            await asyncio.sleep(0)
            steps += 1
        await task
    return steps


@pytest.mark.parametrize("work", [speak, listen, record, start_again, call])
async def test_work_that_is_cancelled_after_any_step_leaves_nothing(
    work: Any, peer: Peer, tmp_path: Path
):
    if work is record:
        work = partial(record, path=wav(tmp_path / "a.wav", bytes(60_000)))
    logged: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))

    async def subscribed(session):
        await session.send(recognised("one"))
        await session.send({"type": "conversation_completed", "conversationId": "7"})

    peer.on_subscribe = subscribed
    most = await steps_of(work, peer)
    for step in sorted({*range(60), *range(60, most, max(1, most // 60))}):
        peer.sessions.clear()
        peer.subscribers.clear()
        async with peer.client() as symbl:
            task = asyncio.ensure_future(work(symbl))
            for _ in range(step):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.exception() is None
            assert [name for name in live_tasks() if "token" not in name] == []
        for session in (*peer.sessions, *peer.subscribers):
            await session.closed.wait()
    gc.collect()
    assert logged == []


async def test_a_send_that_is_cancelled_leaves_no_half_frame(peer: Peer):
    async with peer.client() as symbl, symbl.stream() as stream:
        session = await peer.session()
        session.reading.clear()
        sending = asyncio.create_task(stream.send(bytes(8_000_000)))
        position = -1
        while position != stream.position:  # until it waits for room
            position = stream.position
            await asyncio.sleep(0.05)
        sending.cancel()
        await asyncio.wait([sending])
        session.reading.set()
        await stream.send(b"\1" * 10)
        await stream.stop()
        assert set(session.frames[:-1]) == {8192}
        assert bytes(session.audio) == bytes(position) + b"\1" * 10


async def test_memory_on_the_way_is_bounded_if_the_server_reads_nothing(peer: Peer):
    async with peer.client() as symbl, symbl.stream() as stream:
        session = await peer.session()
        session.reading.clear()
        sending = asyncio.create_task(stream.send(bytes(8_000_000)))
        position = -1
        while position != stream.position:
            position = stream.position
            await asyncio.sleep(0.05)
        assert position <= MAX_UNCONFIRMED + 8192
        session.reading.set()
        await sending
        await stream.stop()
        assert len(session.audio) == 8_000_000


async def test_a_stop_that_is_cancelled_leaves_the_stream_stopping(peer: Peer):
    arrived, held = asyncio.Event(), asyncio.Event()

    async def answer(session, request):
        if request["type"] == "stop_request":
            arrived.set()
            await held.wait()
        await usual(session, request)

    peer.on_request = answer
    async with peer.client() as symbl, symbl.stream() as stream:
        stopping = asyncio.create_task(stream.stop())
        await arrived.wait()
        stopping.cancel()
        await asyncio.wait([stopping])
        held.set()
        await stream.stop()
    assert len((await peer.session()).requests) == 2


async def test_a_call_whose_start_was_cancelled_is_ended_once_it_is_accepted(peer: Peer):
    from aiohttp import web

    from tests.live.peer import started

    arrived, held = asyncio.Event(), asyncio.Event()

    async def answer(path: str, body: Any) -> web.StreamResponse:
        arrived.set()
        await held.wait()
        return web.json_response(started("c-9", "90"))

    peer.on_post = answer
    async with peer.client() as symbl:
        starting = asyncio.create_task(symbl.telephony.start(Pstn("+14155550123")))
        await arrived.wait()
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
        held.set()
        await peer.until(lambda: len(peer.posts) == 2)
    assert [body["operation"] for _, body in peer.posts] == ["start", "stop"]
    assert peer.posts[1][1]["connectionId"] == "c-9"
