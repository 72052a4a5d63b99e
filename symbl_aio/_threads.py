"""Threads for blocking calls, with a time limit on every wait for one of them.

Not the event loop's default executor: callers may fill that with calls that wait for this
library, which would be a deadlock. Not ``ThreadPoolExecutor`` either: the interpreter joins
its threads at exit, and a thread that reads from an unreachable share may never return.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar
from weakref import WeakSet

T = TypeVar("T")
P = ParamSpec("P")

_Item: TypeAlias = tuple["Future[Any]", Callable[[], Any]]

_IDLE: Final = 10.0
"""Seconds after which a thread without work ends."""
_MAX_LOST: Final = 64
GRACE: Final = 1.0
"""Seconds that a cancelled caller waits for its thread."""
MOMENT: Final = 0.1
"""Seconds by which a time limit is longer than was asked for.

A process that stood still finds its timers due before it sees what came meanwhile.
"""


class Stalled(Exception):  # noqa: N818
    """A thread did not return in time. It is abandoned."""


class Threads(Executor):
    """At most ``most`` daemon threads, started as they are needed, named ``name``.

    A thread whose call was abandoned (``abandon``) does not count any more, so that a disk
    that hangs takes no thread from another one; of those there are at most 64.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._closed = False
        self._begin()
        _ALL.add(self)

    def _begin(self) -> None:
        """Start with no thread and no call, as in a process that was forked just now."""
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._started = 0
        self._unfinished = 0
        self._lost = 0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a call. Raises ``RuntimeError`` once closed, or if no thread can be started."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._threads < min(self._unfinished + 1, self._allowed()):
                self._start()
            self._unfinished += 1
            self._queue.put((future, lambda: fn(*args, **kwargs)))
        return future

    def abandon(self, future: Future[Any]) -> None:
        """Stop counting the thread that runs a call: its caller no longer waits for it."""
        if future.cancel():
            return
        with self._lock:
            self._lost += 1
        future.add_done_callback(self._found)

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Stop each thread after its call, without a wait; queued calls still run."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)

    def _allowed(self) -> int:
        return self._most + min(self._lost, _MAX_LOST)

    def _start(self) -> None:
        self._started += 1
        thread = threading.Thread(
            target=self._work, name=f"{self._name} {self._started}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            if self._threads <= self._lost:  # else a running thread will take the call
                raise
        else:
            self._threads += 1

    def _found(self, _future: object) -> None:
        with self._lock:
            self._lost -= 1

    def _work(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=_IDLE)
            except queue.Empty:
                with self._lock:
                    if not self._queue.empty():
                        continue
                    self._threads -= 1
                return
            if item is None:
                self._queue.put(None)  # which stops the next thread
                return
            _run(*item)
            del item
            with self._lock:
                self._unfinished -= 1
                if self._threads > self._allowed():
                    self._threads -= 1
                    return


_ALL: Final[WeakSet[Threads]] = WeakSet()


def _begin_all() -> None:
    for one in list(_ALL):
        one._begin()


# The threads of a process do not exist in its fork, which would wait for them; and one of them
# may have held the lock.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all)


def _run(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


class Watch:
    """Time limit of waits for threads: none takes longer than ``seconds``."""

    def __init__(self, threads: Threads, seconds: float) -> None:
        self.threads = threads
        self.seconds = seconds

    async def run(self, call: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        """Run a call in a thread, and return its result.

        Raises ``Stalled`` after ``seconds``. Cancelling waits a moment for the thread (one
        second), then abandons it. ``undo`` is called in that thread with an abandoned result.
        """
        future = self.threads.submit(call)
        try:
            return await self.wait(asyncio.wrap_future(future), lambda: future)
        except BaseException:
            if undo is not None:
                future.add_done_callback(lambda done: _undo(done, undo))
            raise

    async def wait(
        self,
        waited: asyncio.Future[T],
        running: Callable[[], Future[Any] | None],
        seconds: float | None = None,
    ) -> T:
        """Wait for a future that a thread resolves, as ``run`` does; ``running`` is its call."""
        loop = asyncio.get_running_loop()
        until = loop.time() + (self.seconds if seconds is None else seconds)
        cancelled: asyncio.CancelledError | None = None
        has_moment = False
        while not waited.done():
            if (left := until - loop.time()) <= 0:
                if cancelled is not None or has_moment:
                    break
                # The thread goes on when a process that stood still does.
                left, has_moment = MOMENT, True
            try:
                await asyncio.wait({waited}, timeout=left)
            except asyncio.CancelledError as error:
                cancelled = error
                until = min(until, loop.time() + GRACE)
        if not waited.done():
            waited.cancel()
            if (future := running()) is not None:
                self.threads.abandon(future)
            if cancelled is None:
                raise Stalled(f"no answer for {self.seconds:g} s")
        elif cancelled is None:
            return waited.result()
        elif not waited.cancelled():
            waited.exception()  # mark it as retrieved: its caller was cancelled
        raise cancelled


def _undo(future: Future[T], undo: Callable[[T], object]) -> None:
    if not future.cancelled() and future.exception() is None:
        undo(future.result())


async def in_a_thread(call: Callable[[], T]) -> T:
    """Run a call in a thread of its own, without a time limit, and return its result.

    Cancelling ends the wait, not the call.
    """
    future: Future[T] = Future()
    threading.Thread(target=_run, args=(future, call), name="symbl_aio", daemon=True).start()
    return await asyncio.wrap_future(future)
