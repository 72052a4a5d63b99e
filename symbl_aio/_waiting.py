"""Wait for what others wait for, too."""

from __future__ import annotations

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def result_of(shared: asyncio.Future[T]) -> T:
    """Give the result of a future that is not the caller's alone. Cancelling this leaves it be.

    Not ``asyncio.shield``: from Python 3.14 on, once a waiter was cancelled, that logs as an
    error whatever the future raises later, though others handle it.
    """
    if not shared.done():
        await asyncio.wait([shared])
    return shared.result()
