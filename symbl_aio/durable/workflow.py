"""Bring items from their slot to their end, in this process: the journey of each, step by step.

Nothing of a turn is kept but what its steps write down (``Duty``): whoever takes an item over
begins the turn anew, and finds out from the records how far it has come.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from symbl_aio.durable.items import Turn
from symbl_aio.durable.steps import Duty

_LONGEST: Final = 600.0
"""Seconds between two looks, at most: what is looked at for days is to cost little."""
_PATIENT_AFTER: Final = 8
"""Looks after which each wait is twice as long as the one before."""
_MOST_CANCELLED: Final = 3
_CANCELLED_AGAIN: Final = 1.0


class Turns:
    """What is under way in this process."""

    def __init__(self, duty: Duty) -> None:
        self.active: dict[Turn, list[asyncio.Task[object]]] = {}
        """The runs of each turn here. Of one that was taken over and came
        back there are two, until the older one notices."""
        self._duty = duty
        self._told: dict[Turn, asyncio.Event] = {}

    def tell(self, turn: Turn) -> None:
        """Wake a turn that runs here: a webhook call tells of its item."""
        if turn in self._told:
            self._told[turn].set()

    async def bring(self, turn: Turn) -> str:
        """Bring an item to its end, and return the state that it has then. Raises nothing."""
        task = asyncio.current_task()
        assert task is not None
        runs = self.active.setdefault(turn, [])
        runs.append(task)
        told = self._told.setdefault(turn, asyncio.Event())
        try:
            return await self._bring(turn.key, turn.attempt, told)
        finally:
            runs.remove(task)
            if not runs:
                del self.active[turn], self._told[turn]
                self._duty.forget(turn)

    async def leave(self) -> None:
        """End all runs in this process, where they stand."""
        await end_tasks({task for tasks in self.active.values() for task in tasks})

    async def _bring(self, key: str, attempt: int, told: asyncio.Event) -> str:
        duty = self._duty
        report = await duty.attempt(key, attempt)
        # Of a job that was there already, a call may have come while nobody followed it.
        ask = report["found"]
        looks = resent = 0
        while report["state"] in ("again", "unknown", "accepted"):
            before = report["state"]
            if before == "again":
                report = await duty.attempt(key, attempt)
                ask = report["found"]
            elif before == "unknown":
                if looks:  # the first look is at what there is already
                    await _wait(told, _longer(duty.patience, looks))
                report = await duty.settle(key, attempt, resent)
                resent += report["state"] == "again"
                ask = True  # the end of the job may be what was told
            elif report["hears"] and not ask:
                await _wait(told, _longer(duty.interval, looks))
                ask = True
            else:
                told.clear()
                report = await duty.follow(key, attempt, report["hears"])
                ask = False
            looks = looks + 1 if report["state"] == before else 0
        return report["state"]


async def _wait(told: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await told.wait()
    told.clear()


def _longer(seconds: float, looks: int) -> float:
    return min(max(seconds, _LONGEST), seconds * 2.0 ** max(0, looks - _PATIENT_AFTER))


async def end_tasks(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait for their end.

    One of the engine's that waits for a thread does so until it is cancelled twice; and
    while the database is away, that thread waits for ever.
    """
    for _ in range(_MOST_CANCELLED):
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=_CANCELLED_AGAIN)
