from __future__ import annotations

import asyncio
import gc
import logging
from functools import partial

import pytest

from symbl_aio._shared_futures import Shared


async def waiting(shared: Shared[int], count: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.ensure_future(shared.wait()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_every_waiter_gets_the_result_in_the_order_in_which_they_came():
    shared: Shared[int] = Shared()
    woken: list[int] = []
    tasks = await waiting(shared, 3)
    for number, task in enumerate(tasks):
        task.add_done_callback(partial(lambda number, _: woken.append(number), number))
    shared.set_result(7)
    assert await asyncio.gather(*tasks) == [7, 7, 7]
    await asyncio.sleep(0)
    assert woken == [0, 1, 2]
    assert await shared.wait() == 7


async def test_a_waiter_that_is_cancelled_takes_nothing_from_the_others():
    shared: Shared[int] = Shared()
    first, second = await waiting(shared, 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    shared.set_result(7)
    assert await second == 7


async def test_a_waiter_that_is_cancelled_as_the_work_ends_is_cancelled():
    shared: Shared[int] = Shared()
    (task,) = await waiting(shared, 1)
    task.cancel()
    shared.set_result(7)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nothing_is_kept_for_waiters_that_left():
    shared: Shared[int] = Shared()
    tasks = await waiting(shared, 100)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert shared._waiters is None


async def test_an_error_is_raised_for_each_waiter_with_no_more_frames_than_for_the_first():
    shared: Shared[int] = Shared()
    shared.fail(KeyError("gone"), "work", expected=False)

    async def frames() -> int:
        with pytest.raises(KeyError) as raised:
            await shared.wait()
        return len(raised.traceback)

    assert await frames() == await frames()


@pytest.mark.parametrize(
    "retrieve, lines",
    [
        (lambda shared: None, 1),
        (lambda shared: shared.failed(), 1),
        (lambda shared: shared.exception(), 0),
        (lambda shared: shared.mark_retrieved(), 0),
    ],
    ids=["nothing", "failed", "exception", "mark_retrieved"],
)
async def test_an_error_that_was_not_retrieved_is_logged_once(caplog, retrieve, lines):
    shared: Shared[int] = Shared()
    with caplog.at_level(logging.ERROR, "symbl_aio"):
        shared.fail(KeyError("a secret"), "the work", expected=False)
        retrieve(shared)
        del shared
        gc.collect()
    assert [r.getMessage() for r in caplog.records] == [
        "the work ended with KeyError, and nobody awaited it"
    ] * lines


async def test_a_cancelled_outcome_raises_and_has_no_error():
    shared: Shared[int] = Shared()
    shared.cancel()
    assert (shared.done(), shared.cancelled(), shared.failed()) == (True, True, True)
    assert shared.exception() is None
    with pytest.raises(asyncio.CancelledError):
        await shared.wait()
