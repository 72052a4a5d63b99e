"""Deadlines of the exchanges of one client: all of them are watched by one timer.

``asyncio.timeout`` makes a timer for each exchange, and a new one for each chunk that goes out.
Here the timer is moved only when an earlier deadline is added: most exchanges touch no timer.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Deadlines:
    """The deadlines that are open, on the event loop that runs when it is made."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._open: set[Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None

    def after(self, seconds: float) -> Deadline:
        """Return a deadline for a block of the current task, to be used with ``with``."""
        return Deadline(self, self.loop.time() + seconds)

    def add(self, deadline: Deadline) -> None:
        """Watch a deadline."""
        self._open.add(deadline)
        self._watch_until(deadline.at)

    def remove(self, deadline: Deadline) -> None:
        """Forget a deadline. The timer stays, for the next one."""
        self._open.discard(deadline)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _watch_until(self, at: float) -> None:
        if self._timer is None or at < self._timer.when():
            self.close()
            self._timer = self.loop.call_at(at, self._check)

    def _check(self) -> None:
        assert self._timer is not None
        # The loop runs a timer early, by the resolution of its clock.
        now = max(self.loop.time(), self._timer.when())
        self._timer = None
        for deadline in sorted(self._open, key=lambda deadline: deadline.at):
            if deadline.at > now:
                break
            self._open.discard(deadline)
            deadline.expire()
        if self._open:
            self._watch_until(min(deadline.at for deadline in self._open))


class Deadline:
    """Cancels the current task's block at ``at``, which then raises ``TimeoutError``.

    As ``asyncio.timeout``: a cancellation from elsewhere stays one.
    """

    __slots__ = ("_all", "_cancelling", "_is_expired", "_task", "at")

    def __init__(self, deadlines: Deadlines, at: float) -> None:
        self.at = at
        self._all = deadlines
        self._is_expired = False

    def __enter__(self) -> Deadline:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._all.add(self)
        return self

    def postpone(self, seconds: float) -> None:
        """Move the deadline to ``seconds`` from now, which may be sooner than before."""
        self.at = self._all.loop.time() + seconds
        if not self._is_expired:
            self._all.add(self)

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
        self._all.remove(self)
        if (
            self._is_expired
            and self._task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error
