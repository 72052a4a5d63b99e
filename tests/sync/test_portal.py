from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import sys
import threading
import weakref
from collections.abc import AsyncIterator
from concurrent.futures import Future

import pytest

from symbl_aio import ClientClosedError, ConfigurationError
from symbl_aio.sync.portal import Portal
from symbl_aio.sync.sources import Sources


def waiting_call(portal: Portal) -> tuple[threading.Thread, list[BaseException]]:
    """Start a call that waits for ever, and return its thread and the errors that it gets."""
    waiting = threading.Event()
    found: list[BaseException] = []

    async def wait_for_ever() -> None:
        waiting.set()
        await asyncio.Event().wait()

    def call() -> None:
        try:
            portal.call(wait_for_ever)
        except ClientClosedError as error:
            found.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    waiting.wait()
    return thread, found


def test_calls_run_in_one_loop_of_another_thread(portal: Portal):
    async def where() -> tuple[int, int]:
        return threading.get_ident(), id(asyncio.get_running_loop())

    first = portal.call(where)

    assert first == portal.call(where)
    assert first[0] != threading.get_ident()
    assert portal.run(lambda: id(asyncio.get_running_loop())) == first[1]


def test_an_exception_is_raised_in_the_caller(portal: Portal):
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        portal.run(fail)


async def numbers(closed: list[str]) -> AsyncIterator[int]:
    try:
        for number in range(3):
            await asyncio.sleep(0)
            yield number
    finally:
        closed.append("closed")


def test_an_async_generator_is_iterated_and_closed(portal: Portal):
    closed: list[str] = []
    assert list(portal.iterate(lambda: numbers(closed))) == [0, 1, 2]

    early = portal.iterate(lambda: numbers(closed))
    assert next(early) == 0
    early.close()

    assert closed == ["closed", "closed"]


def test_tasks_that_are_left_are_cancelled_when_it_stops():
    portal = Portal()
    portal.start()
    ended: list[str] = []

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def begin() -> asyncio.Task[None]:
        task = asyncio.create_task(wait_for_ever())
        await asyncio.sleep(0)
        return task

    portal.call(begin)
    portal.stop()
    portal.stop()

    assert ended == ["cancelled"]


def test_a_call_that_waits_when_it_stops_ends_with_the_error_of_a_closed_client():
    portal = Portal()
    portal.start()
    thread, found = waiting_call(portal)
    portal.stop()
    thread.join()

    assert len(found) == 1


def test_calls_of_many_threads_around_its_stop_all_end():
    portal = Portal()
    portal.start()
    begun = threading.Barrier(9)
    ended: list[object] = []

    def call() -> None:
        begun.wait()
        try:
            while True:
                portal.run(int)
        except ClientClosedError as error:
            ended.append(error)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    begun.wait()
    portal.stop()
    for thread in threads:
        thread.join()

    assert len(ended) == 8


def test_it_cannot_be_used_before_its_start_after_its_end_or_twice():
    portal = Portal()
    with pytest.raises(ClientClosedError):
        portal.run(int)
    portal.start()
    with pytest.raises(ConfigurationError):
        portal.start()
    portal.stop()
    with pytest.raises(ClientClosedError):
        portal.run(int)


def test_a_call_from_its_own_thread_is_refused(portal: Portal):
    with pytest.raises(ConfigurationError, match="own background thread"):
        portal.run(lambda: portal.run(int))


def test_garbage_that_is_collected_inside_a_call_closes_its_iteration(portal: Portal):
    closed: list[str] = []

    def call_and_collect() -> None:
        # At each of the first allocations of a call, some of which it makes under its lock.
        for allocations in range(1, 60):
            gc.disable()
            early = portal.iterate(lambda: numbers(closed))
            next(early)
            circle: list[object] = [early]
            circle.append(circle)
            del early, circle
            gc.set_threshold(allocations)
            gc.enable()
            portal.run(int)
            gc.collect()

    thresholds = gc.get_threshold()
    thread = threading.Thread(target=call_and_collect, daemon=True)
    try:
        thread.start()
        thread.join(30)
        assert not thread.is_alive(), "a call waits for itself"
    finally:
        gc.set_threshold(*thresholds)
        gc.enable()

    assert len(closed) == 59


def test_garbage_that_its_own_thread_collects_is_closed(portal: Portal):
    closed: list[str] = []
    early = portal.iterate(lambda: numbers(closed))
    next(early)
    circle: list[object] = [early]
    circle.append(circle)
    del early, circle

    portal.run(gc.collect)
    portal.stop()

    assert closed == ["closed"]


def test_ctrl_c_ends_an_iteration_whose_step_takes_a_moment_to_end(portal: Portal):
    waiting = threading.Event()

    async def wait_for_ever() -> AsyncIterator[int]:
        try:
            waiting.set()
            await asyncio.Event().wait()
            yield 1
        finally:
            for _ in range(20):
                await asyncio.sleep(0)

    def interrupt() -> None:
        waiting.wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        next(portal.iterate(wait_for_ever))
    thread.join()


class TimeLimitExceeded(Exception): ...


def read_nothing(_: Future[object]) -> None: ...


@pytest.mark.parametrize("reads", [read_nothing, Sources([]).wait], ids=["call", "map"])
def test_an_exception_of_another_thread_ends_a_wait(portal: Portal, reads):
    # So a queue of jobs, such as Dramatiq, enforces its time limits in the threads of a worker.
    waiting = threading.Event()

    async def wait_for_ever() -> None:
        waiting.set()
        await asyncio.Event().wait()

    def call() -> None:
        with pytest.raises(TimeLimitExceeded):
            portal.call(wait_for_ever, reads)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    waiting.wait()
    assert thread.ident is not None
    limit = ctypes.py_object(TimeLimitExceeded)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), limit)

    thread.join(timeout=20)
    assert not thread.is_alive()


def test_an_error_that_was_handled_is_freed_at_once(portal: Portal):
    class OwnError(Exception): ...

    def fail() -> None:
        raise OwnError

    gc.collect()
    gc.disable()
    try:
        with pytest.raises(OwnError) as found:
            portal.run(fail)
        freed = weakref.ref(found.value)
        del found
        assert freed() is None
    finally:
        gc.enable()


def test_an_exit_in_its_thread_ends_it_and_every_call():
    portal = Portal()
    portal.start()
    thread, found = waiting_call(portal)

    with pytest.raises(SystemExit):
        portal.run(sys.exit)
    thread.join()
    assert len(found) == 1
    with pytest.raises(ClientClosedError):
        portal.run(int)
    portal.stop()


def test_calls_of_many_threads_around_an_exit_in_its_thread_all_end():
    portal = Portal()
    portal.start()
    begun = threading.Barrier(9)
    ended: list[object] = []

    def call() -> None:
        begun.wait()
        try:
            while True:
                portal.run(int)
        except ClientClosedError as error:
            ended.append(error)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    begun.wait()
    with pytest.raises(SystemExit):
        portal.run(sys.exit)
    for thread in threads:
        thread.join()

    assert len(ended) == 8


def test_what_it_keeps_is_not_collected_while_it_runs():
    class Owner:
        async def close(self) -> None: ...

    portal = Portal()
    owner = Owner()
    freed = weakref.ref(owner)
    portal.start(owner.close)
    del owner
    gc.collect()
    assert freed() is not None
    portal.stop()
    del portal
    gc.collect()
    assert freed() is None


def test_ctrl_c_while_it_starts_leaves_no_thread():
    interrupted = threading.Event()

    class Slow(Portal):
        """Interrupts the thread that waits for the start, and goes on after that."""

        async def _serve(self, ready: Future[asyncio.AbstractEventLoop]) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            interrupted.wait()
            await super()._serve(ready)

    def interrupt(*_: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    usual = signal.signal(signal.SIGINT, interrupt)
    try:
        portal = Slow()
        with pytest.raises(KeyboardInterrupt):
            portal.start()
    finally:
        signal.signal(signal.SIGINT, usual)

    assert portal._thread is not None
    portal._thread.join(30)
    assert not portal._thread.is_alive()
    assert not portal.is_open
