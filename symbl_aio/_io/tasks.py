"""Every task of one client: started in a context of its own, cancelled when the client closes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar

from symbl_aio._shared_futures import running_loop
from symbl_aio._threads import GRACE
from symbl_aio.errors import ClientClosedError

T = TypeVar("T")


async def cancel_and_wait(task: asyncio.Task[Any]) -> None:
    """Cancel a task whose end takes a short and limited time, and wait for it.

    A cancellation of the wait itself is raised once the task has ended, so that nothing of it
    is left behind.
    """
    task.cancel()
    was_cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            was_cancelled = True
    if was_cancelled:
        raise asyncio.CancelledError


async def result_within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a caller's work, or raise ``TimeoutError`` after ``seconds``.

    The work is cancelled then, and when this wait is. If it goes on nevertheless, since it
    waits for a thread, it is left alone after a moment.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=GRACE)
        task.add_done_callback(_retrieve)
    if not task.done() or task.cancelled():
        raise TimeoutError
    return task.result()


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


class Tasks:
    """The tasks of one client, all on the event loop on which it was opened."""

    def __init__(self) -> None:
        self.running: set[asyncio.Task[Any]] = set()
        self.loop: asyncio.AbstractEventLoop
        self._context: Context

    def open(self) -> None:
        """Bind to the running event loop, and to the context of the caller."""
        self.loop = running_loop()
        self._context = copy_context()

    def start(
        self,
        work: Coroutine[Any, Any, T],
        name: str,
        context: Context | None = None,
        *,
        on_end: Callable[[asyncio.Task[T]], None] | None = None,
    ) -> asyncio.Task[T]:
        """Start a task in ``context``, by default that of the client's start.

        Never in the context of the current caller: a trace or a log line would name the request
        of another one. ``on_end`` is called with the ended task, also if it was cancelled before
        its first step, and has to discard it from ``running``.
        """
        # A copy, since only one task at a time can enter a context, and it keeps what it sets.
        context = (context or self._context).copy()
        # Not by the loop's task factory: an eager one would run the first step inside the
        # caller's, before the caller has recorded the task, and as deep in its stack as there
        # are submissions waiting.
        task = asyncio.Task(work, loop=self.loop, name=f"symbl_aio {name}", context=context)
        self.running.add(task)
        # One callback, since each is an event of the loop of its own.
        task.add_done_callback(on_end or self.running.discard)
        return task

    def start_unowned(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start a task, in the context of the caller, that ``cancel_all`` leaves alone."""
        task = self.start(work, name, copy_context())
        self.running.discard(task)
        return task

    async def run(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Run what a caller waits for as a task of the client. Cancelling either cancels both.

        Raises ``ClientClosedError`` when the client closes first.
        """
        task = self.start(work, name, copy_context())
        try:
            return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if task.cancelled() and caller is not None and not caller.cancelling():
                raise ClientClosedError("the client was closed before the answer came") from None
            raise

    async def cancel_all(self) -> None:
        """Cancel every owned task and wait for its end."""
        while tasks := list(self.running):  # a task may start another one while it ends
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
