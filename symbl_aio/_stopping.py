"""Work that a request to stop cuts short."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def run_unless(stopped: asyncio.Event, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Run ``work`` to its end, or cancel it once ``stopped`` is set; return its ended task.

    Cancelling this cancels ``work`` as well, and waits for its end.
    """
    task = asyncio.create_task(work)
    stopping = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
    return task
