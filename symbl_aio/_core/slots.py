"""Job slots: how many jobs may run, and how long a submission waits for a slot. No clock, no I/O.

The account's limit counts unfinished *jobs* (FAQ page, "concurrent jobs"), so a slot is
reserved before the first byte goes out and freed when the job ends. The API does not name
the limit: it is learned. It grows by one with each acceptance while work waits; a 429 means
that it was reached, with so many jobs as are ours now (other programs may hold the
rest). From then on the limit is only filled up again, and going beyond it is a *probe*:
one at a time, after a pause that doubles with every refused probe, up to a minute.
"""

from __future__ import annotations

from enum import Enum
from heapq import heappop, heappush
from typing import Final

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0


class Permission(Enum):
    """Whether one more submission may start now."""

    NO = "no"
    YES = "yes"
    PROBE = "probe"
    """Yes, though it may well be refused: choose the one that costs least to send."""


class JobSlots:
    """The job slots of one client. Starts are named by submission key, jobs by job id."""

    def __init__(self, *, first: int, most: int) -> None:
        self.limit = first
        self._most = max(first, most)
        self._starting: dict[str, float] = {}
        self._jobs: set[str] = set()
        self._unseen: set[str] = set()
        self._probe: str | None = None
        self._pause = 0.0
        self._refused_at = 0.0
        self._probe_at: float | None = None
        """When the next probe may start; ``None`` before the first refusal."""
        self._blocked = False

    @property
    def unfinished(self) -> int:
        """Accepted jobs that have not ended."""
        return len(self._jobs)

    @property
    def occupied(self) -> int:
        """Slots in use: unfinished jobs, and starts whose answer is awaited."""
        return len(self._starting) + len(self._jobs)

    def may_start(self, now: float) -> Permission:
        """Return whether one more may start, and if only as a probe."""
        occupied = len(self._starting) + len(self._jobs)
        if not self._blocked and occupied < self.limit:
            return Permission.YES
        at = self.wakes_at()
        return Permission.NO if at is None or now < at else Permission.PROBE

    def wakes_at(self) -> float | None:
        """Return when a probe may start, perhaps long ago; ``None`` if only events help."""
        return self._probe_at if self._probe is None and self.occupied < self._most else None

    def start(self, key: str, now: float) -> None:
        """Reserve a slot, before the first byte goes out."""
        if self._probe_at is not None and self.may_start(now) is Permission.PROBE:
            self._probe = key
        self._starting[key] = now

    def accept(self, key: str, job_id: str, *, more_waiting: bool) -> None:
        """Turn a reserved slot into a job's."""
        self._jobs.add(job_id)
        if self._end_start(key):
            self._pause = 0.0
        elif more_waiting and self._probe_at is None:
            self.limit += 1
        self._allow_beyond(len(self._jobs))

    def refuse(self, key: str, now: float, *, retry_after: float | None = None) -> None:
        """Record a 429: the account is full. ``retry_after``: seconds, if the server named any."""
        self.limit = min(self._most, max(1, len(self._jobs)))
        # One that took the place of a job of ours came too late, which is no reason to back off
        # further: jobs may be accepted in between for hours.
        pause = self._pause * 2 if self._end_start(key) else self._pause
        self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, pause, retry_after or 0.0))
        self._refused_at = now
        self._probe_at = now + self._pause
        self._blocked = True

    def free(self, key: str) -> None:
        """Release the slot of a start that failed or is ambiguous."""
        self._end_start(key)

    def adopt(self, job_id: str) -> None:
        """Count a job that an earlier client, or process, submitted."""
        self._jobs.add(job_id)
        self._unseen.add(job_id)

    def see(self, job_id: str) -> bool:
        """Record that an adopted job is indeed unfinished, so that the account allows as many.

        Returns whether that raised the limit.
        """
        if job_id not in self._unseen:
            return False
        self._unseen.remove(job_id)
        before = self.limit
        self._allow_beyond(len(self._jobs) - len(self._unseen))
        return self.limit > before

    def end(self, job_id: str) -> None:
        """Free the slot of a job that ended. No-op if it holds none."""
        if job_id in self._jobs:
            self._jobs.remove(job_id)
            self._unseen.discard(job_id)
            self._blocked = False

    def _allow_beyond(self, running: int) -> None:
        """Raise the limit to the number of running jobs, and by one for a trial.

        Otherwise work that comes one by one, after the last acceptance or after a restart,
        would wait for the end of a job that takes an hour.
        """
        room = 1 if self._probe_at is None else 0
        self.limit = min(self._most, max(self.limit, running + room))

    def _end_start(self, key: str) -> bool:
        """Forget a start. Returns whether it was a probe, and none was refused since it began.

        Starts that were on their way when another one was refused add nothing new.
        """
        began = self._starting.pop(key, 0.0)
        if key != self._probe:
            return False
        self._probe = None
        return began > self._refused_at


class SlotDeadlines:
    """Deadlines for acquiring a job slot (``Limits.wait_for_slot``), by submission key.

    The time runs while a submission is ready and only a slot is missing. It goes on where it
    was when the server refused the submission and it waits again. ``seconds``: ``None`` for no
    deadline.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._deadlines: dict[str, float] = {}
        self._waiting: set[str] = set()
        self._heap: list[tuple[float, str]] = []

    def wait(self, key: str, now: float) -> None:
        """Record that a submission waits for a slot, for the first time or again."""
        if self.seconds is not None:
            deadline = self._deadlines.setdefault(key, now + self.seconds)
            self._waiting.add(key)
            heappush(self._heap, (deadline, key))

    def start(self, key: str) -> None:
        """Record that it has a slot, perhaps not for long."""
        self._waiting.discard(key)

    def forget(self, key: str) -> None:
        """Forget a settled submission; no-op for an unknown one."""
        self._waiting.discard(key)
        self._deadlines.pop(key, None)

    def expired(self, now: float) -> list[str]:
        """Return the submissions that passed their deadline, each once."""
        late = []
        while (at := self.next_at()) is not None and at <= now:
            _, key = heappop(self._heap)
            self._waiting.discard(key)
            late.append(key)
        return late

    def next_at(self) -> float | None:
        """Return the next deadline; ``None`` without one."""
        while self._heap:
            deadline, key = self._heap[0]
            if key in self._waiting and self._deadlines[key] == deadline:
                return deadline
            heappop(self._heap)
        return None
