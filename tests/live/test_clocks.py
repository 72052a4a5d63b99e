"""Clocks that jump under a connection: a wall clock that is set, a process that was stopped."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from signal import SIGCONT, SIGSTOP

import pytest

from symbl_aio import (
    Gap,
    MessageEvent,
    Pstn,
    SpeakerEvent,
    StateEvent,
    Stream,
    Timeouts,
    User,
)
from symbl_aio.testing import LocalSymbl
from tests.forks import Fork
from tests.live.peer import (
    Peer,
    Session,
    enveloped,
    next_of,
    recognised,
    speak_until_completed,
    through_cutter,
)
from tests.support import LoopClock

HOUR, DAY = 3600, 86_400


class WallClock:
    """The wall clock of this process, which ``ahead`` seconds are added to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0
        seconds, nanoseconds = time.time, time.time_ns
        monkeypatch.setattr(time, "time", lambda: seconds() + self.ahead)
        monkeypatch.setattr(time, "time_ns", lambda: nanoseconds() + self.ahead * 10**9)


@pytest.mark.parametrize("jump", [HOUR, -HOUR, DAY, -DAY])
async def test_events_of_a_call_keep_their_order_and_distance_when_the_wall_clock_is_set(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, jump: int
):
    wall, ines = WallClock(monkeypatch), User(name="Ines")
    async with peer.client() as symbl:
        wall.ahead = -jump  # of a clock that is wrong, and is then set
        call = await symbl.telephony.start(Pstn("14155550123"))
        await call.push(SpeakerEvent("joined", ines))
        wall.ahead = 0
        await call.push(SpeakerEvent("started_speaking", ines))
        await call.push(SpeakerEvent("stopped_speaking", ines, 60))
    times = [datetime.fromisoformat(body["timestamp"]) for _, body in peer.posts[1:]]
    assert times == sorted(times)
    assert 0 < (times[-1] - times[0]).total_seconds() <= 60


@pytest.mark.parametrize("jump", [HOUR, -HOUR, DAY, -DAY])
async def test_a_wall_clock_that_is_set_ends_no_stream_and_no_wait_for_one(
    monkeypatch: pytest.MonkeyPatch, jump: int
):
    wall = WallClock(monkeypatch)
    async with (
        LocalSymbl(clock=lambda: time.time()) as server,
        through_cutter(server) as (cutter, symbl),
    ):
        server.register_transcript(["One.", "Two.", "Three."], stream="pier-4")
        server.register_transcript(["Four.", "Five."], number="14155550123")
        call = await symbl.telephony.start(Pstn("14155550123"))
        async with (
            symbl.stream("pier-4", no_connection_timeout=30) as stream,
            symbl.subscribe("pier-4") as listener,
            call.events() as called,
        ):
            await stream.send(bytes(32_000))
            await next_of(stream, MessageEvent)
            wall.ahead += jump
            cutter.cut()
            await asyncio.gather(*(next_of(one, Gap) for one in (stream, listener, called)))
            await stream.send(bytes(32_000))
            messages = await (await stream.stop()).messages()
            await call.stop()
            events = [[event async for event in one] for one in (listener, called)]
    assert [message.text for message in messages] == ["One.", "Two.", "Three."]
    starts = [message.start_time for message in messages if message.start_time]
    assert starts == sorted(starts)
    assert len(starts) == 3
    for *_, last in events:
        assert isinstance(last, StateEvent)
        assert last.state == "conversation_completed"


async def pinged(session: Session, times: int) -> None:
    """Wait until the client has sent so many more pings."""
    count = session.pings + times
    await session.until(lambda: session.pings >= count or session.closed.is_set())
    assert not session.closed.is_set()


@pytest.mark.parametrize("subscribes", [True, False])
async def test_a_process_that_was_stopped_keeps_a_connection_whose_server_is_there(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, subscribes: bool
):
    clock = LoopClock(monkeypatch)
    async with (
        peer.client(timeouts=Timeouts(connect=5, read=5, stall=1)) as symbl,
        symbl.subscribe("pier-4") if subscribes else symbl.stream("pier-4") as handle,
    ):
        link = handle._opened()
        if isinstance(handle, Stream):
            await handle.send(bytes(32_000))
        await peer.until(lambda: len(peer.subscribers) + len(peer.sessions) == 1)
        (session,) = peer.subscribers + peer.sessions
        for _ in range(3):
            clock.ahead += 120
            await pinged(session, 2)
            await link.until(lambda: link.account.open == 0)
        if isinstance(handle, Stream):
            await handle.stop()
        else:
            await session.send(enveloped("conversation_completed", conversationId="7"))
        kinds = [type(event) async for event in handle]
    assert Gap not in kinds
    assert len(peer.sessions + peer.subscribers) == 1


async def test_a_stopped_process_goes_on_with_its_connection(peer: Peer):
    stall = 0.6
    speaker = await Fork.start(speak_until_completed, peer.port, stall)
    session = await peer.session()
    await pinged(session, 1)
    # The times are the fault itself: it is stopped while it waits, for longer than a server may
    # be silent, and there is a frame to be read when it goes on.
    await asyncio.sleep(stall / 6)
    speaker.send(SIGSTOP)
    await session.send(recognised("on"))
    await asyncio.sleep(2 * stall)
    speaker.send(SIGCONT)
    await pinged(session, 4)
    await session.completed()
    assert await speaker.ended() == 0
    assert len(peer.sessions) == 1
