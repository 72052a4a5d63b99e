"""One bell for the whole server: rung at every change, so that tests wait for events, not time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Pulse:
    """Wakes those who wait for a predicate each time anything changes."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Say that something changed."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    async def until(self, predicate: Callable[[], object]) -> None:
        """Wait until ``predicate()`` is true; it is tried now and after every change."""
        while not predicate():
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)
