"""Deadlines of the exchanges of one client: all of them are watched by one timer.

``asyncio.timeout`` makes a timer for each exchange, and a new one for each chunk that goes out.
Here the timer is moved only when an earlier deadline is added: most exchanges touch no timer.
"""

from __future__ import annotations

import asyncio
from math import inf
from types import TracebackType

from symbl_aio._threads import MOMENT


class Deadlines:
    """The deadlines that are open, on the event loop that runs when it is made."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.open: set[Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.timer_at = inf
        """When the timer is set for: at the earliest deadline, or before."""

    def watch(self, deadline: Deadline) -> None:
        """Set the timer for a deadline that is earlier than ``timer_at``."""
        self.close()
        self.timer_at = deadline.at
        self._timer = self.loop.call_at(deadline.at, self._check)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        # The loop runs a timer early, by the resolution of its clock.
        now = max(self.loop.time(), self.timer_at)
        self._timer, self.timer_at = None, inf
        for deadline in [one for one in self.open if one.at <= now]:
            if deadline.has_moment:
                self.open.discard(deadline)
                deadline.expire()
            else:
                # A process that stood still finds its timers due before it has read what
                # arrived meanwhile: an answer, perhaps, without which a submission is ambiguous.
                deadline.at, deadline.has_moment = now + MOMENT, True
        if self.open:
            self.watch(min(self.open, key=lambda deadline: deadline.at))


class Deadline:
    """Cancels a ``with`` block of the current task, which then raises ``TimeoutError``.

    ``seconds`` from when it is made, unless it is postponed. As ``asyncio.timeout``: a
    cancellation from elsewhere stays one.
    """

    __slots__ = ("_all", "_cancelling", "_is_expired", "_task", "at", "has_moment")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self.at = deadlines.loop.time() + seconds
        self._all = deadlines
        self.has_moment = False
        """Whether its time is over, but for the moment in which the loop reads what arrived."""
        self._is_expired = False

    def __enter__(self) -> Deadline:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._all.open.add(self)
        if self.at < self._all.timer_at:
            self._all.watch(self)
        return self

    def postpone(self, seconds: float) -> None:
        """Move the deadline to ``seconds`` from now, which may be sooner than before."""
        self.at, self.has_moment = self._all.loop.time() + seconds, False
        if self.at < self._all.timer_at and not self._is_expired:
            self._all.watch(self)

    def expire(self) -> None:
        """Cancel the block."""
        self._is_expired = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # The timer stays, for the next one.
        self._all.open.discard(self)
        if (
            self._is_expired
            and self._task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error
