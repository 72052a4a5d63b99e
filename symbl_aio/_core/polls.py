"""Decide which job is asked for its status next. Knows no clock, network or random source.

One plan for all jobs of a client (Job API page: GET is the only way to learn a status).
A job is asked less often as it ages, and when a client's jobs have shown how long they
take, at the ages at which they end. All together stay within a budget; a poll that a
webhook asked for is brought forward and counts against a budget of its own. Where
webhooks have proven to tell every end, the other polls only catch one that was lost.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

from attrs import define

from symbl_aio._core.completion_times import Habits
from symbl_aio.config import Polls

_BURST_SECONDS: Final = 0.1
_HINT_GAP: Final = 1.0
"""Seconds between two hinted polls of one job, so that a leaked webhook URL costs little."""
_TRUSTED: Final = 3
"""So many ends in a row that a webhook told let the next one be expected of a webhook."""
_BACKSTOP: Final = 20
"""Ceilings between two polls that only catch a lost webhook."""


class Budget:
    """At most ``rate`` a second: evenly spread, with a tenth of a second's worth at once."""

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate
        self._free_at = float("-inf")

    def take(self, now: float) -> bool:
        """Use one up, if there is one."""
        if self.next_at() > now:
            return False
        self._free_at = max(self._free_at, now) + self._gap
        return True

    def next_at(self) -> float:
        """Say when the next one will be there."""
        return self._free_at - max(0.0, _BURST_SECONDS - self._gap)


@define(slots=True)
class _Watch:
    born: float
    at: float
    asked: bool = False
    hinted: bool = False
    hint_at: float = float("-inf")
    followed_at: float = float("-inf")
    """When a hint was last followed: an ordinary poll before it does not delay the next."""
    missing_since: float | None = None
    running_at: float | None = None
    """When it was last known not to have ended."""
    told: bool = False
    """Whether a hint said that it ended."""
    heard: bool = False
    """Whether one ever did: no other is to be expected, whatever the answer was."""


class PollPlan:
    """When to ask for each job.

    A job taken by ``due`` waits until ``again``, ``ended`` or ``forget``.
    """

    def __init__(self, policy: Polls) -> None:
        self._policy = policy
        self._watches: dict[str, _Watch] = {}
        self._heap: list[tuple[float, str]] = []
        self._hints: list[tuple[float, str]] = []
        self._ordinary = Budget(policy.per_second)
        self._hinted = Budget(policy.hinted_per_second)
        self._habits = Habits(policy.age_factor)
        self._told_in_a_row = 0

    def __len__(self) -> int:
        return len(self._watches)

    def watch(
        self, job_id: str, now: float, *, age: float = 0.0, duration: float | None = None
    ) -> None:
        """Plan a job's first poll.

        ``age``: seconds since it was submitted, when that was earlier; such a job may have
        ended long ago, so it is asked soon. ``duration``: seconds of recording, since a
        long one is not done at once.
        """
        if job_id not in self._watches:
            first = self._by_rule((duration or 0.0) - age)
            if not age:
                first = max(first, self._next_age(0.0))
            watch = self._watches[job_id] = _Watch(born=now - age, at=now + first)
            watch.running_at = None if age else now
            heappush(self._heap, (watch.at, job_id))

    def forget(self, job_id: str) -> None:
        """Take a job off the plan; harmless if it is not on it."""
        self._watches.pop(job_id, None)

    def ended(self, job_id: str, now: float, *, luck: float) -> None:
        """Take a job off the plan that was found ended, and learn from it.

        ``luck``, from 0 to 1, says where between the last two questions it is taken to
        have ended: always at the later one, and a server that became faster would never
        be noticed.
        """
        watch = self._watches.pop(job_id, None)
        if watch is None:
            return
        self._told_in_a_row = self._told_in_a_row + 1 if watch.told else 0
        if watch.told:
            self._habits.note(now - watch.born)
        elif watch.running_at is not None:
            self._habits.note(watch.running_at - watch.born + luck * (now - watch.running_at))

    def hint(self, job_id: str, now: float) -> None:
        """Bring a job's poll forward. Harmless for a job not watched, or hinted already.

        The ordinary poll stays planned, should its turn come sooner.
        """
        watch = self._watches.get(job_id)
        if watch is not None and not watch.hinted:
            watch.hinted = watch.told = watch.heard = True
            if not watch.asked:
                self._plan_hinted(job_id, watch, now)

    def due(self, now: float, most: int) -> list[tuple[str, bool]]:
        """Name at most ``most`` jobs to ask now, and say for each whether a hint asked for it.

        Within the budgets; the longest overdue come first.
        """
        hinted = self._take(self._hints, self._hinted, now, most, hinted=True)
        left = most - len(hinted)
        return hinted + self._take(self._heap, self._ordinary, now, left, hinted=False)

    def next_at(self) -> float | None:
        """Say when ``due`` will name a job again; ``None`` while nothing is planned."""
        times = []
        for heap, budget, hinted in (
            (self._hints, self._hinted, True),
            (self._heap, self._ordinary, False),
        ):
            self._drop_stale(heap, hinted=hinted)
            if heap:
                times.append(max(heap[0][0], budget.next_at()))
        return min(times, default=None)

    def again(self, job_id: str, now: float, *, jitter: float) -> None:
        """Plan the next poll of a job that was asked. ``jitter``: from -1 to 1."""
        watch = self._watches.get(job_id)
        if watch is None:
            return
        watch.asked = False
        age = now - watch.born
        interval = self._next_age(age, heard=watch.heard) - age
        watch.at = now + interval * (1 + self._policy.jitter * jitter)
        heappush(self._heap, (watch.at, job_id))
        if watch.hinted:  # while it was being asked: the answer may be older than the hint
            self._plan_hinted(job_id, watch, now)

    def unfinished(self, job_id: str, asked_at: float) -> None:
        """Note that the server works on the job: the grace of an earlier 404 is over."""
        watch = self._watches.get(job_id)
        if watch is not None:
            watch.missing_since = None
            watch.running_at = asked_at
            watch.told = watch.hinted  # an earlier hint was wrong; one that waits is newer

    def is_missing_too_long(self, job_id: str, now: float) -> bool:
        """Note that a poll did not find the job, and say whether its grace is used up."""
        watch = self._watches.get(job_id)
        if watch is None:
            return False
        if watch.missing_since is None:
            watch.missing_since = now
        return now - watch.missing_since >= self._policy.not_found_grace

    def is_too_old(self, job_id: str, now: float) -> bool:
        """Say whether a job has been followed for as long as it will be."""
        watch = self._watches.get(job_id)
        return watch is not None and now - watch.born >= self._policy.max_age

    def oldest(self, now: float) -> float | None:
        """Give the age in seconds of the oldest job on the plan."""
        return max((now - watch.born for watch in self._watches.values()), default=None)

    def _plan_hinted(self, job_id: str, watch: _Watch, now: float) -> None:
        watch.hint_at = max(now, watch.followed_at + _HINT_GAP)
        heappush(self._hints, (watch.hint_at, job_id))

    def _next_age(self, age: float, *, heard: bool = False) -> float:
        """Say at which age a job is best asked next. ``heard``: its webhook has come already."""
        policy, habits = self._policy, self._habits
        if heard:
            return age + self._by_rule(age)
        if self._told_in_a_row >= _TRUSTED:
            late = 1.5 * habits.median if habits.known else policy.ceiling
            wait = min(max(2 * age, late - age), _BACKSTOP * policy.ceiling)
            return age + max(policy.floor, wait)
        learned = habits.next_age(age)
        if learned is None:
            return age + self._by_rule(age)
        latest = max(age, habits.youngest) + policy.ceiling
        return max(age + policy.floor, min(learned, latest))

    def _by_rule(self, age: float) -> float:
        """Give the interval at an age of which nothing is known."""
        policy = self._policy
        return min(policy.ceiling, max(policy.floor, policy.age_factor * age))

    def _take(
        self, heap: list[tuple[float, str]], budget: Budget, now: float, most: int, *, hinted: bool
    ) -> list[tuple[str, bool]]:
        due: list[tuple[str, bool]] = []
        while True:
            self._drop_stale(heap, hinted=hinted)
            if len(due) >= most or not heap or heap[0][0] > now or not budget.take(now):
                return due
            _, job_id = heappop(heap)
            watch = self._watches[job_id]
            watch.asked, watch.hinted = True, False
            if hinted:
                watch.followed_at = now
            due.append((job_id, hinted))

    def _drop_stale(self, heap: list[tuple[float, str]], *, hinted: bool) -> None:
        """Drop entries that were overtaken: the job ended, is being asked, or was replanned."""

        def is_live(entry: tuple[float, str]) -> bool:
            at, job_id = entry
            watch = self._watches.get(job_id)
            if watch is None or watch.asked:
                return False
            return watch.hinted and watch.hint_at == at if hinted else watch.at == at

        while heap and not is_live(heap[0]):
            heappop(heap)
        # Jobs that end early leave entries deep in the heap; they must not pile up.
        if len(heap) > 64 and len(heap) > 2 * len(self._watches):
            heap[:] = [entry for entry in heap if is_live(entry)]
            heapify(heap)
