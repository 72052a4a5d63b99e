from __future__ import annotations

import asyncio
import socket

import pytest

from symbl_aio._io.deadlines import Deadline, Deadlines
from tests.support import LoopClock


async def test_a_block_that_takes_too_long_raises_timeout_error():
    deadlines = Deadlines()
    with pytest.raises(TimeoutError), Deadline(deadlines, 0.01):
        await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_block_that_ends_in_time_is_left_alone_afterwards():
    deadlines = Deadlines()
    with Deadline(deadlines, 0.01):
        pass
    with Deadline(deadlines, 60), pytest.raises(TimeoutError), Deadline(deadlines, 0.02):
        await asyncio.Event().wait()


async def test_the_earliest_of_many_expires_first():
    deadlines, expired = Deadlines(), []

    async def wait(seconds: float) -> None:
        with pytest.raises(TimeoutError), Deadline(deadlines, seconds):
            await asyncio.Event().wait()
        expired.append(seconds)

    await asyncio.gather(*map(wait, (0.06, 0.02, 0.04)))
    assert expired == [0.02, 0.04, 0.06]


@pytest.mark.parametrize("later", [True, False])
async def test_a_deadline_that_is_postponed_expires_at_its_new_time(later):
    deadlines = Deadlines()
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError), Deadline(deadlines, 0.02 if later else 60) as deadline:
        deadline.postpone(0.05)
        await asyncio.Event().wait()
    assert loop.time() - began >= 0.049


async def test_what_arrived_while_the_process_stood_still_is_in_time(monkeypatch):
    clock, loop = LoopClock(monkeypatch), asyncio.get_running_loop()
    deadlines = Deadlines()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)

        def stand_still() -> None:
            theirs.send(b"the answer")
            clock.ahead += 3600

        loop.call_soon(stand_still)
        with Deadline(deadlines, 60):
            assert await loop.sock_recv(ours, 100) == b"the answer"
    deadlines.close()


async def test_standing_still_again_and_again_ends_a_wait_for_nothing(monkeypatch):
    clock, loop = LoopClock(monkeypatch), asyncio.get_running_loop()
    deadlines = Deadlines()

    def stand_still() -> None:
        clock.ahead += 3600
        loop.call_later(1, stand_still)

    loop.call_soon(stand_still)
    with pytest.raises(TimeoutError), Deadline(deadlines, 60):
        await asyncio.Event().wait()
    assert clock.ahead <= 4 * 3600


async def test_a_cancellation_from_elsewhere_stays_one():
    deadlines = Deadlines()

    async def work() -> None:
        with Deadline(deadlines, 60):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_at_the_moment_of_the_deadline_is_not_lost():
    deadlines = Deadlines()

    async def work() -> None:
        with Deadline(deadlines, 60) as deadline:
            deadline.expire()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(work())
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_block_stays_though_its_time_is_over():
    deadlines = Deadlines()
    with pytest.raises(KeyError), Deadline(deadlines, 0.01):
        try:
            await asyncio.Event().wait()
        finally:
            raise KeyError
    await asyncio.sleep(0)  # a cancellation that is left would end this wait


async def test_exchanges_that_end_in_time_make_no_timer_of_their_own(monkeypatch):
    loop = asyncio.get_running_loop()
    made: list[float] = []
    call_at = loop.call_at

    def counting(when, *rest, **options):
        made.append(when)
        return call_at(when, *rest, **options)

    monkeypatch.setattr(loop, "call_at", counting)
    deadlines = Deadlines()
    for _ in range(100):
        with Deadline(deadlines, 60) as deadline:
            deadline.postpone(70)
    assert len(made) == 1
    deadlines.close()
