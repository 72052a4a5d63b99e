"""Decide how many jobs may run. Knows no clock, network or event loop.

The account's limit counts unfinished *jobs* (FAQ page, "concurrent jobs"), so a slot is
reserved before the first byte goes out and freed when the job ends. Nobody tells the
limit: it is learned. It grows by one with each acceptance while work waits; a 429 says
that it was reached, with so many jobs as are ours now (other programs may hold the
rest). From then on the limit is only filled up again, and going beyond it is a *probe*:
one at a time, after a pause that doubles with every refused probe, up to a minute.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0


class Permission(Enum):
    """Whether one more submission may start now."""

    NO = "no"
    YES = "yes"
    PROBE = "probe"
    """Yes, though it may well be refused: choose the one that costs least to send."""


class Governor:
    """The job slots of one client. Starts are named by submission key, jobs by job id."""

    def __init__(self, *, first: int, most: int) -> None:
        self.limit = first
        self._most = max(first, most)
        self._starting: dict[str, float] = {}
        self._jobs: set[str] = set()
        self._unseen: set[str] = set()
        self._probe: str | None = None
        self._pause = 0.0
        self._refused_at: float | None = None
        self._probe_at = 0.0
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
        """Say whether one more may start."""
        if not self._blocked and self.occupied < self.limit:
            return Permission.YES
        if (
            self._refused_at is not None
            and self._probe is None
            and self.occupied < self._most
            and now >= self._probe_at
        ):
            return Permission.PROBE
        return Permission.NO

    def wakes_at(self) -> float | None:
        """Say from when on a probe may start, perhaps long ago; ``None`` if only events help."""
        waits = self._refused_at is not None and self._probe is None and self.occupied < self._most
        return self._probe_at if waits else None

    def start(self, key: str, now: float) -> None:
        """Reserve a slot, before the first byte goes out."""
        if self.may_start(now) is Permission.PROBE:
            self._probe = key
        self._starting[key] = now

    def accept(self, key: str, job_id: str, now: float, *, more_waiting: bool) -> None:
        """Turn a reserved slot into a job's."""
        was_probe, began = self._end_start(key, now)
        self._jobs.add(job_id)
        # Unless another start was refused meanwhile: that is the newer news.
        if was_probe and self._refused_at is not None and began > self._refused_at:
            self._pause = 0.0
            self._probe_at = now
            self._blocked = False
        elif more_waiting and self._refused_at is None:
            self.limit += 1
        self._allow_beyond(len(self._jobs))

    def refuse(self, key: str, now: float, *, retry_after: float | None = None) -> None:
        """Note a 429: the account is full. ``retry_after``: seconds, if the server named any."""
        was_probe, began = self._end_start(key, now)
        self.limit = min(self._most, max(1, len(self._jobs)))
        # Starts that were on their way when an earlier one was refused tell nothing new; and
        # one that took the place of a job of ours came too late, which is no reason to come
        # back later and later: jobs may be accepted in between for hours.
        tells_more = was_probe and self._refused_at is not None and began > self._refused_at
        pause = self._pause * 2 if tells_more else self._pause
        self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, pause, retry_after or 0.0))
        self._refused_at = now
        self._probe_at = now + self._pause
        self._blocked = True

    def free(self, key: str) -> None:
        """Give back a slot whose start came to nothing, or to an unknown end."""
        self._end_start(key, 0.0)

    def adopt(self, job_id: str) -> None:
        """Count a job that an earlier client, or process, submitted."""
        if job_id not in self._jobs:
            self._jobs.add(job_id)
            self._unseen.add(job_id)

    def see(self, job_id: str) -> bool:
        """Note that an adopted job is indeed unfinished, so that the account allows as many.

        Says whether that raised the limit.
        """
        if job_id not in self._unseen:
            return False
        self._unseen.remove(job_id)
        before = self.limit
        self._allow_beyond(len(self._jobs) - len(self._unseen))
        return self.limit > before

    def end(self, job_id: str) -> None:
        """Free the slot of a job that ended. Harmless if it holds none."""
        if job_id in self._jobs:
            self._jobs.remove(job_id)
            self._unseen.discard(job_id)
            self._blocked = False

    def _allow_beyond(self, running: int) -> None:
        """Raise the limit to what runs at once, and by one to be tried.

        Otherwise work that comes one by one, after the last acceptance or after a restart,
        would wait for the end of a job that takes an hour.
        """
        room = 1 if self._refused_at is None else 0
        self.limit = min(self._most, max(self.limit, running + room))

    def _end_start(self, key: str, now: float) -> tuple[bool, float]:
        """Forget a start, and say whether it was the probe, and when it began."""
        was_probe = self._probe == key
        if was_probe:
            self._probe = None
        return was_probe, self._starting.pop(key, now)
