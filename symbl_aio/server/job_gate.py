"""A gate that holds jobs until they are let through: tests use it where they would sleep."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum


class Stage(Enum):
    """Where a job may be held: still scheduled, or in progress with its work done."""

    START = "in_progress"
    END = "completed"


class Gate:
    """Open at first. While closed for a stage, jobs wait there in order of arrival."""

    def __init__(self) -> None:
        self._stage: Stage | None = None
        self._let_through = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def hold(self, stage: Stage) -> None:
        """Close the gate for this stage (only)."""
        self.release(None)
        self._stage = stage

    def release(self, count: int | None) -> None:
        """Let ``count`` jobs through, waiting or still to come; None opens the gate for good."""
        if count is None:
            self._stage = None
            self._let_through = 0
        else:
            self._let_through += count
        while self._waiting and (count is None or self._let_through > 0):
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self._let_through -= count is not None

    async def passage(self, stage: Stage) -> None:
        """Wait until a job may pass this stage."""
        if stage is not self._stage:
            return
        if self._let_through > 0:
            self._let_through -= 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter
