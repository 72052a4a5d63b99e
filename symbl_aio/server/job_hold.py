"""A gate that holds jobs before a status, so that tests need no sleep."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum


class HoldPoint(Enum):
    """The status before which a job is held: still scheduled, or in progress with its work done."""

    BEFORE_START = "in_progress"
    BEFORE_COMPLETION = "completed"


class JobGate:
    """A gate that is open at first; while it holds a point, jobs wait there in order of arrival."""

    def __init__(self) -> None:
        self._held_at: HoldPoint | None = None
        self._permits = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    def hold(self, hold_point: HoldPoint) -> None:
        """Hold jobs at this point; a point held before is released."""
        # Jobs held at another point would otherwise wait there for ever.
        self.release(None)
        self._held_at = hold_point

    def release(self, count: int | None) -> None:
        """Release ``count`` jobs that wait now or arrive later; None opens the gate."""
        if count is None:
            self._held_at = None
            self._permits = 0
        else:
            self._permits += count
        while self._waiters and (count is None or self._permits > 0):
            waiter = self._waiters.popleft()
            # A cancelled job leaves a finished waiter; it uses no permit.
            if not waiter.done():
                waiter.set_result(None)
                self._permits -= count is not None

    async def wait_for_permit(self, hold_point: HoldPoint) -> None:
        """Wait until the gate lets a job pass this point."""
        if hold_point is not self._held_at:
            return
        if self._permits > 0:
            # A release() before the job arrived left a permit.
            self._permits -= 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter
