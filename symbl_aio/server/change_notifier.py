"""One notifier for the whole server: tests wait for a change, never for time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class ChangeNotifier:
    """Wakes every waiter after each change, to evaluate its predicate again."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Wake every waiter; call it after each change of state."""
        if not self._waiters:
            return
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        # Each waiter is for one change; wait_until() adds a new one if it must go on.
        self._waiters.clear()

    async def wait_until(self, predicate: Callable[[], object]) -> None:
        """Wait until ``predicate()`` is true; it is evaluated now and after every change."""
        while not predicate():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                # A cancelled wait leaves nothing behind.
                self._waiters.discard(waiter)
