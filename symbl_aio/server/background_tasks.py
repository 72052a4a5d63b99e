"""Background tasks of one owner, cancelled together when the owner closes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine


class BackgroundTasks:
    """Tasks that nothing awaits until ``aclose()``."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[object, object, None], *, name: str) -> asyncio.Task[None]:
        """Start a task, own it until it ends, and return it."""
        # The event loop keeps only weak references to tasks.
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def wait(self, seconds: float) -> None:
        """Wait until every task has ended, for some seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._tasks:
                    await asyncio.wait(self._tasks)

    async def aclose(self) -> None:
        """Cancel every task and wait until each has ended. Closing twice is safe."""
        # A task may start another one when it ends.
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
