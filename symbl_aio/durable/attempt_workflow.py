"""The workflow of an attempt: from its slot to its end, step by step, in this process.

Nothing is kept but the records of the steps (``ItemSteps``): a worker that takes an item over
starts the workflow again, and reads from the records how far it has come.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from symbl_aio._core.polls import HINT_GAP
from symbl_aio.durable.attempt_steps import ItemSteps
from symbl_aio.durable.items import Attempt

_MAX_INTERVAL: Final = 600.0
"""Seconds between two polls, at most: a job that is followed for days must cost little."""
_BACK_OFF_AFTER: Final = 8
"""Polls after which each interval is twice as long as the one before."""
_MAX_CANCELS: Final = 3
_CANCEL_INTERVAL: Final = 1.0


class ItemWorkflows:
    """The workflows that run in this process."""

    def __init__(self, steps: ItemSteps) -> None:
        self.active: dict[Attempt, list[asyncio.Task[object]]] = {}
        """The tasks of each attempt. An attempt that was taken over and came back has two,
        until the older one notices."""
        self._steps = steps
        self._webhooks: dict[Attempt, asyncio.Event] = {}

    def wake(self, attempt: Attempt) -> None:
        """Poll early: a webhook call came for an attempt. No-op if it does not run here."""
        if attempt in self._webhooks:
            self._webhooks[attempt].set()

    async def run(self, attempt: Attempt) -> str:
        """Run an attempt to its end, and return the item's state. Raises nothing."""
        task = asyncio.current_task()
        assert task is not None
        tasks = self.active.setdefault(attempt, [])
        tasks.append(task)
        webhook = self._webhooks.setdefault(attempt, asyncio.Event())
        try:
            return await self._run(attempt, webhook)
        finally:
            tasks.remove(task)
            if not tasks:
                del self.active[attempt], self._webhooks[attempt]
                self._steps.forget(attempt)

    async def cancel_all(self) -> None:
        """Cancel all workflows in this process; their records stay as they are."""
        await cancel_tasks({task for tasks in self.active.values() for task in tasks})

    async def _run(self, attempt: Attempt, webhook: asyncio.Event) -> str:
        steps = self._steps
        result = await steps.send(attempt)
        # For a job that existed before, a webhook call may have come while no worker had it.
        poll = result.was_accepted
        polls = resent = 0
        next_poll_at = 0.0
        while result.state in ("unsent", "in_doubt", "accepted"):
            before = result.state
            if before == "unsent":
                result = await steps.send(attempt)
                poll = result.was_accepted
            elif before == "in_doubt":
                if polls:  # the first search is for evidence that exists already
                    await _wait(webhook, _interval(steps.reconcile_interval, polls))
                result = await steps.reconcile(attempt, resent)
                resent += result.state == "unsent"
                poll = True  # the webhook call may have reported the end of the job
            elif result.has_webhook and not poll:
                await _wait(webhook, _interval(steps.webhook_timeout, polls))
                poll = True
            else:
                # A true call after a false one is late by this, and a leaked URL costs no more.
                if (pause := next_poll_at - monotonic()) > 0:
                    await asyncio.sleep(pause)
                webhook.clear()
                result = await steps.follow(attempt, result.has_webhook)
                next_poll_at = monotonic() + HINT_GAP
                poll = False
            polls = polls + 1 if result.state == before else 0
        return result.state


async def _wait(webhook: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await webhook.wait()
    webhook.clear()


def _interval(seconds: float, polls: int) -> float:
    return min(max(seconds, _MAX_INTERVAL), seconds * 2.0 ** max(0, polls - _BACK_OFF_AFTER))


async def cancel_tasks(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait until they have ended."""
    # A task of DBOS that waits for a thread ends only when it is cancelled twice; and during an
    # outage that thread waits for ever.
    for _ in range(_MAX_CANCELS):
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=_CANCEL_INTERVAL)
