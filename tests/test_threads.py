"""Threads that may hang, and those who wait for them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from symbl_aio._threads import Stalled, Threads, Watch, in_a_thread
from tests.support import LoopClock


class Hanging:
    """A call that does not return before ``release()``."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.name = ""

    def __call__(self) -> str:
        self.name = threading.current_thread().name
        self._loop.call_soon_threadsafe(self.started.set)
        self.gate.wait()
        return "late"


@pytest.fixture
def make() -> Iterator[Callable[[int], Threads]]:
    made: list[Threads] = []

    def threads(most: int) -> Threads:
        made.append(Threads("disk", most))
        return made[-1]

    yield threads
    for one in made:
        one.shutdown()


async def test_what_a_call_returns_or_raises_comes_back(make):
    watch = Watch(make(2), 60.0)

    assert await watch.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await watch.run(lambda: 1 // 0)
    assert (await watch.run(lambda: threading.current_thread().name)).startswith("disk ")


async def test_a_thread_that_does_not_answer_is_given_up(make):
    hanging = Hanging()
    with pytest.raises(Stalled, match=r"no answer for 0\.01 s"):
        await Watch(make(1), 0.01).run(hanging)
    hanging.gate.set()


async def test_a_thread_that_was_given_up_is_replaced(make):
    threads = make(1)
    hanging = Hanging()
    with pytest.raises(Stalled):
        await Watch(threads, 0.01).run(hanging)

    assert await Watch(threads, 60.0).run(lambda: "another") == "another"
    hanging.gate.set()


async def test_at_most_so_many_threads_run_at_once(make):
    watch = Watch(make(3), 60.0)
    calls = [Hanging() for _ in range(5)]
    waiting = [asyncio.create_task(watch.run(call)) for call in calls]
    for call in calls[:3]:
        await call.started.wait()
    assert not any(call.started.is_set() for call in calls[3:])
    for call in calls:
        call.gate.set()
    assert await asyncio.gather(*waiting) == ["late"] * 5
    assert len({call.name for call in calls}) <= 3


async def test_who_is_cancelled_does_not_wait_for_a_thread_that_hangs(make):
    hanging = Hanging()
    waiting = asyncio.create_task(Watch(make(1), 60.0).run(hanging))
    await hanging.started.wait()
    waiting.cancel()

    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await waiting
    hanging.gate.set()


async def test_what_nobody_waited_for_is_undone_in_its_thread(make):
    hanging = Hanging()
    loop, undone = asyncio.get_running_loop(), asyncio.Event()
    watch = Watch(make(1), 0.01)
    while not hanging.started.is_set():  # a call that has not begun has nothing to undo
        with pytest.raises(Stalled):
            await watch.run(hanging, undo=lambda _: loop.call_soon_threadsafe(undone.set))
    hanging.gate.set()
    await undone.wait()


async def test_closing_waits_for_no_thread_and_leaves_nothing_undone(make):
    threads = make(1)
    hanging = Hanging()
    first = threads.submit(hanging)
    await hanging.started.wait()
    second = threads.submit(lambda: "done")

    threads.shutdown(wait=True)

    assert not first.done()
    with pytest.raises(RuntimeError, match="after shutdown"):
        threads.submit(hanging)
    hanging.gate.set()
    assert await asyncio.wrap_future(second) == "done"


async def test_a_thread_that_cannot_start_is_told_unless_another_one_comes_to_it(make, monkeypatch):
    def refuse(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads = make(2)
    watch = Watch(threads, 60.0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            await watch.run(lambda: 1)
    hanging = Hanging()
    first = asyncio.create_task(watch.run(hanging))
    await hanging.started.wait()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        second = threads.submit(lambda: 2)
    hanging.gate.set()
    assert await first == "late"
    assert await asyncio.wrap_future(second) == 2


async def test_a_thread_that_returns_as_the_process_goes_on_is_in_time(make, monkeypatch):
    """The machine slept while the thread read."""
    clock, gate = LoopClock(monkeypatch), threading.Event()
    watch = Watch(make(1), 60.0)

    def go_on() -> None:
        clock.ahead += 3600
        gate.set()

    asyncio.get_running_loop().call_soon(go_on)
    assert await watch.run(gate.wait)


async def test_a_thread_of_its_own_needs_no_other():
    assert await in_a_thread(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        await in_a_thread(lambda: 1 // 0)


FORKING = """
import asyncio, os, warnings
from symbl_aio._threads import Threads, Watch

warnings.simplefilter("ignore")  # of a fork beside threads
watch = Watch(Threads("disk", 1), 10.0)
assert asyncio.run(watch.run(os.getpid)) == os.getpid()
if not (child := os.fork()):
    os._exit(asyncio.run(watch.run(os.getpid)) != os.getpid())
assert os.waitpid(child, 0)[1] == 0
assert asyncio.run(watch.run(os.getpid)) == os.getpid()
"""


def test_a_fork_has_threads_of_its_own():
    """Those of its parent do not exist there: a call waited for one of them, until the limit."""
    run = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
