"""Events that wait: in order, bounded, and with an account of the dropped ones."""

from __future__ import annotations

import asyncio

import pytest

from symbl_aio import Gap, Missed, Recognition, StreamLostError, UnknownEvent, User
from symbl_aio.live.event_buffer import MAX_EVENTS, EventBuffer


async def taken(buffer: EventBuffer) -> list[object]:
    found: list[object] = []
    with pytest.raises(StopAsyncIteration):
        while True:
            found.append(await buffer.next())
    return found


async def test_events_are_taken_in_order_and_end():
    buffer = EventBuffer()
    events = [UnknownEvent(type=str(index)) for index in range(5)]
    for event in events:
        buffer.put(event)
    buffer.end()
    assert await taken(buffer) == events
    assert await taken(buffer) == []


async def test_a_reader_that_waits_is_woken_and_may_be_cancelled():
    buffer = EventBuffer()
    waiting = asyncio.create_task(buffer.next())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    waiting = asyncio.create_task(buffer.next())
    await asyncio.sleep(0)
    buffer.put(UnknownEvent(type="a"))
    assert await waiting == UnknownEvent(type="a")


async def test_events_beyond_the_bound_are_counted():
    buffer = EventBuffer()
    for index in range(MAX_EVENTS + 7):
        buffer.put(UnknownEvent(type=str(index)))
    assert await buffer.next() == Missed(events=7)
    assert await buffer.next() == UnknownEvent(type="7")
    buffer.end()
    assert len(await taken(buffer)) == MAX_EVENTS - 1


async def test_a_gap_is_never_dropped_for_newer_events():
    buffer = EventBuffer()
    gaps = [Gap(seconds=1.0, bytes_lost=640, position=position) for position in (0, 6400)]
    for gap in gaps:
        buffer.put(UnknownEvent())
        buffer.put(gap)
    for _ in range(2 * MAX_EVENTS):
        buffer.put(UnknownEvent())
    buffer.end()
    found = await taken(buffer)
    assert [event for event in found if isinstance(event, Gap)] == gaps
    assert found[0] == Missed(events=MAX_EVENTS + 4)
    assert len(found) == MAX_EVENTS + 1


async def test_a_slow_reader_gets_the_last_of_the_words_that_were_not_final():
    buffer = EventBuffer()
    ann, ben = User(id="a"), User(id="b")
    for _ in range(MAX_EVENTS // 2):
        buffer.put(UnknownEvent())
    for index in range(5 * MAX_EVENTS):
        buffer.put(Recognition(text=str(index), speaker=ann))
    buffer.put(Recognition(text="end", is_final=True, speaker=ann))
    buffer.put(Recognition(text="b", speaker=ben))
    buffer.put(Recognition(text="next", speaker=ann))
    buffer.end()
    found = await taken(buffer)
    assert not any(isinstance(event, Missed) for event in found)
    assert [event.text for event in found if isinstance(event, Recognition)] == ["end", "b", "next"]


async def test_the_error_of_the_end_is_raised_to_every_reader_after_the_events():
    buffer = EventBuffer()
    buffer.put(UnknownEvent())
    buffer.end(StreamLostError("lost"))
    assert await buffer.next() == UnknownEvent()
    for _ in range(2):
        with pytest.raises(StreamLostError):
            await buffer.next()
