"""A gate that holds jobs until they are let through: tests use it where they would sleep."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum


class HoldPoint(Enum):
    """Where a job may be held: still scheduled, or in progress with its work done."""

    BEFORE_START = "in_progress"
    BEFORE_COMPLETION = "completed"


class JobGate:
    """Open at first. While closed for a stage, jobs wait there in order of arrival."""

    def __init__(self) -> None:
        self._held_at: HoldPoint | None = None
        self._permits = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    def hold(self, hold_point: HoldPoint) -> None:
        """Close the gate for this stage (only)."""
        self.release(None)
        self._held_at = hold_point

    def release(self, count: int | None) -> None:
        """Let ``count`` jobs through, waiting or still to come; None opens the gate for good."""
        if count is None:
            self._held_at = None
            self._permits = 0
        else:
            self._permits += count
        while self._waiters and (count is None or self._permits > 0):
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self._permits -= count is not None

    async def wait_for_permit(self, hold_point: HoldPoint) -> None:
        """Wait until a job may pass this stage."""
        if hold_point is not self._held_at:
            return
        if self._permits > 0:
            self._permits -= 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter
