"""An event loop in a background thread, and calls into it from any other thread."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Final, TypeVar

from symbl_aio._error_classes import ConfigurationError
from symbl_aio.job import ClientClosedError

T = TypeVar("T")

_END: Final = object()

SLICE: Final = 1.0
"""Seconds of one wait of a thread.

Python raises an exception that comes from another thread, such as the time limit of a worker of
Dramatiq, between two waits.
"""


class Portal:
    """Runs coroutines in its own event loop, for callers that have none."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._close: Callable[[], Awaitable[object]] | None = None
        # Kept at the end of the interpreter, where a task that is collected is an error in the log.
        self._iterations: set[object] = set()
        self._stopped = asyncio.Event()
        # A call is scheduled before the stop of the loop, or not at all: none waits for ever.
        # Reentrant: the garbage collector, which may run inside it, closes iterations.
        self._scheduling = threading.RLock()
        self._pid = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        return _PortalOfCopy, ()

    def start(self, close: Callable[[], Awaitable[object]] | None = None) -> None:
        """Start the thread. Raises ``ConfigurationError`` if it runs already.

        ``close`` is awaited if the loop ends without ``stop``. The thread keeps it: an owner of
        sockets is not collected by another thread, which may not close them.
        """
        if self._thread is not None:
            raise ConfigurationError("the client was started before; make a new one")
        self._pid = os.getpid()
        self._close = close
        ready: Future[asyncio.AbstractEventLoop] = Future()
        # A daemon: a client that was never closed must not keep the interpreter from ending.
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="symbl_aio sync", daemon=True
        )
        try:
            self._thread.start()
            self._loop = ready.result()
        except BaseException:  # Ctrl-C, or no thread can be started
            if not ready.cancel():
                self._loop = ready.result()
                self.stop()
            raise

    @property
    def is_open(self) -> bool:
        """Whether it runs, in this process, whose end freezes its thread."""
        return self._loop is not None and self._pid == os.getpid() and not sys.is_finalizing()

    def stop(self) -> None:
        """End the thread, after it has cancelled the tasks that are left. Idempotent.

        The calls of other threads that still wait raise ``ClientClosedError``. Does nothing
        in a process that was forked since the start.
        """
        if self._is_forked() or self._is_here() or sys.is_finalizing():
            return  # the call that led here has raised: a thread cannot wait for itself
        with self._scheduling:
            loop, self._loop = self._loop, None
            if loop is not None:
                loop.call_soon_threadsafe(self._stopped.set)
        if loop is not None and self._thread is not None:
            self._thread.join()

    def call(
        self,
        function: Callable[[], Awaitable[T]],
        wait: Callable[[Future[Any]], None] = lambda _: None,
    ) -> T:
        """Await what ``function`` returns, in the loop, and return or raise its outcome.

        ``wait`` is called first with the future of the outcome, in the waiting thread.

        An exception in the waiting thread, such as ``KeyboardInterrupt`` or one that another thread
        raises in it, cancels that await.
        Raises ``ClientClosedError`` while the portal does not run, or if it stops meanwhile,
        and ``ConfigurationError`` in its own thread and in a forked process.
        """

        async def perform() -> T:
            return await function()

        # Before the lock: a process that was forked may have it locked for ever, and this
        # thread is the one for which its owner may be waiting.
        self._check_caller()
        future: Future[T] | None = None
        try:
            with self._scheduling:
                if self._loop is None:
                    raise ClientClosedError("the client is not open; use it inside `with`")
                future = asyncio.run_coroutine_threadsafe(perform(), self._loop)
            wait(future)
            while not future.done():
                with suppress(TimeoutError):
                    future.exception(SLICE)
            return future.result()
        except CancelledError:
            if self._loop is None:
                raise ClientClosedError("the client was closed during the call") from None
            raise
        except BaseException:
            if future is not None:
                future.cancel()  # no-op for a failure of the call itself
            raise
        finally:
            # Its exception has this frame in its traceback. The circle would keep both, and the
            # variables of all callers, until the garbage collector runs.
            future = None

    def run(self, function: Callable[[], T]) -> T:
        """Call a plain function in the loop, and return or raise its outcome."""

        async def perform() -> T:
            return function()

        return self.call(perform)

    def iterate(
        self,
        function: Callable[[], AsyncIterator[T]],
        wait: Callable[[Future[Any]], None] = lambda _: None,
    ) -> Generator[T, None, None]:
        """Yield what the async generator yields that ``function`` returns; close it at the end."""
        generator = self.run(function)
        self._iterations.add(generator)
        step: asyncio.Task[T | object] | None = None

        async def next_item() -> T | object:
            nonlocal step
            step = asyncio.current_task()
            return await anext(generator, _END)

        async def close() -> None:
            if step is not None and not step.done():  # Ctrl-C
                step.cancel()
                await asyncio.wait([step])
            await generator.aclose()  # type: ignore[attr-defined]

        try:
            while (item := self.call(next_item, wait)) is not _END:
                yield item  # type: ignore[misc]  # no type checker knows the sentinel
        finally:
            if not sys.is_finalizing():
                self._iterations.discard(generator)
            # After the client was closed, its loop has closed the generator. It also closes one
            # that is collected as garbage, which may happen in any thread.
            if self.is_open and not self._is_here():
                self.call(close)

    def _is_forked(self) -> bool:
        return self._loop is not None and self._pid != os.getpid()

    def _is_here(self) -> bool:
        return threading.current_thread() is self._thread

    def _check_caller(self) -> None:
        if self._is_forked():
            raise ConfigurationError(
                "the client was started before this process was forked, and its background thread "
                "is in the parent; make and start a client in each process"
            )
        if self._is_here():
            raise ConfigurationError(
                "the client was called from its own background thread, which would wait for "
                "itself: an observer may not call it"
            )
        if sys.is_finalizing():
            raise ClientClosedError("the interpreter ends, and the client has ended with it")

    def _run(self, ready: Future[asyncio.AbstractEventLoop]) -> None:
        with asyncio.Runner() as runner:
            try:
                runner.run(self._serve(ready))
            except (SystemExit, KeyboardInterrupt):  # of an observer: it has ended the loop
                with self._scheduling:
                    self._loop = None
                # This begins the calls that are scheduled, and the end of the runner ends them.
                runner.run(self._abandon())

    async def _serve(self, ready: Future[asyncio.AbstractEventLoop]) -> None:
        if ready.set_running_or_notify_cancel():
            ready.set_result(asyncio.get_running_loop())
            await self._stopped.wait()

    async def _abandon(self) -> None:
        await asyncio.sleep(0)
        if self._close is not None:
            await self._close()


class _PortalOfCopy(Portal):
    """The portal of a handle that was copied by ``pickle`` or ``copy``, which has no client."""

    def call(self, function: object, wait: object = None) -> Any:
        """Raise ``ConfigurationError``."""
        raise ConfigurationError(
            "this handle is a copy, by pickle or copy, and has no client; client.job(job.token) "
            "and client.conversation(id) return handles that have one"
        )

    def run(self, function: Callable[[], T]) -> T:
        """Call a plain function here: it needs no loop, or raises as ``call`` does."""
        return function()
