"""Decide which job is polled next. No clock, no network, no random source.

One plan for all jobs of a client (Job API page: GET is the only way to learn a status).
A job is polled less often as it ages and, once the client's jobs have shown how long they
take, at the ages at which jobs end. All polls together stay within a budget. A poll that a
webhook hints at is brought forward and has a budget of its own. Once webhooks have proven to
report every end, the other polls only catch one that was lost.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import pairwise
from math import frexp, inf, isqrt, sqrt
from typing import Final

from attrs import define

from symbl_aio._core.rates import Budget
from symbl_aio.config import Polls

HINT_GAP: Final = 1.0
"""Seconds between two hinted polls of one job, so that a leaked webhook URL costs little."""
_TRUSTED: Final = 3
"""After this many ends in a row that a webhook reported, the next report is waited for."""
_BACKSTOP: Final = 20
"""Ceilings between two polls that only catch a lost webhook."""
_REMEMBERED: Final = 512
_FEWEST: Final = 8
"""Completion times of fewer jobs than these are not used."""
_LEARNING_COST: Final = 100
"""Running jobs, for each new end, from which it is worth its CPU to learn."""
_NOT_PLANNED: Final = inf  # the time of the next poll while a job is polled


@define(eq=False, weakref_slot=False)
class _Watch:
    born: float
    at: float
    times: CompletionTimes
    """Of the jobs whose recordings are about as long; of all jobs, if its length is unknown."""
    hinted: bool = False
    hint_at: float = _NOT_PLANNED
    hint_used_at: float = float("-inf")
    """When a hint last led to a poll: an ordinary poll before it does not delay the next."""
    missing_since: float | None = None
    running_at: float | None = None
    """When it was last known to be unfinished."""
    is_reported: bool = False
    """Whether a hint that is not refuted reported its end."""
    had_hint: bool = False
    """Whether it ever had a hint: no other one is expected."""


class PollPlan:
    """When to poll each job.

    A job returned by ``due`` is not planned until ``again``, ``ended`` or ``forget``.
    """

    def __init__(self, policy: Polls) -> None:
        self._policy = policy
        self._watches: dict[str, _Watch] = {}
        self._heap: list[tuple[float, str]] = []
        self._hints: list[tuple[float, str]] = []
        self._ordinary = Budget(policy.per_second)
        self._hinted = Budget(policy.hinted_per_second)
        self._times = CompletionTimes(policy.age_factor)
        self._times_by_length: dict[int, CompletionTimes] = {}
        """By the power of two that a recording's seconds are below: about 15 at most."""
        self._reported_in_a_row = 0

    def __len__(self) -> int:
        return len(self._watches)

    def watch(
        self, job_id: str, now: float, *, age: float = 0.0, duration: float | None = None
    ) -> float:
        """Plan a job's first poll, and return its time.

        ``age``: seconds since it was submitted, when that was earlier; such a job may have
        ended long ago, so it is polled soon. ``duration``: seconds of recording, since a
        long one is not done at once, and ends when others as long did.
        """
        watch = self._watches.get(job_id)
        if watch is None:
            times = self._times
            if duration is not None:
                times = self._times_by_length.setdefault(
                    frexp(max(1.0, duration))[1], CompletionTimes(self._policy.age_factor)
                )
            first = self._by_rule((duration or 0.0) - age)
            if not age:
                first = max(first, self._next_age(0.0, times))
            watch = self._watches[job_id] = _Watch(now - age, now + first, times)
            watch.running_at = None if age else now
            heappush(self._heap, (watch.at, job_id))
        return watch.at

    def forget(self, job_id: str) -> None:
        """Remove a job from the plan; no-op if it is not on it."""
        self._watches.pop(job_id, None)

    def ended(self, job_id: str, now: float, *, jitter: float) -> None:
        """Remove a job that a poll found ended, and learn from its completion time.

        ``jitter``, from 0 to 1, chooses the instant between the last two polls at which it is
        taken to have ended. With the later poll every time, a server that became faster would
        never be noticed.
        """
        watch = self._watches.pop(job_id, None)
        if watch is None:
            return
        self._reported_in_a_row = self._reported_in_a_row + 1 if watch.is_reported else 0
        if watch.is_reported:
            age = now - watch.born
        elif watch.running_at is not None:
            age = watch.running_at - watch.born + jitter * (now - watch.running_at)
        else:
            return
        for times in {self._times, watch.times}:
            times.add(age, partial(self._running, times))

    def _running(self, times: CompletionTimes) -> Iterator[float]:
        """Yield the ages at which jobs were last seen unfinished."""
        for watch in self._watches.values():
            if watch.running_at is not None and times in (self._times, watch.times):
                yield watch.running_at - watch.born

    def hint(self, job_id: str, now: float) -> float | None:
        """Bring a job's poll forward, and return its time; ``None`` if that changed nothing.

        The ordinary poll stays planned, should its turn come sooner.
        """
        watch = self._watches.get(job_id)
        if watch is None or watch.hinted:
            return None
        watch.hinted = watch.is_reported = watch.had_hint = True
        if watch.at == _NOT_PLANNED:  # it is polled now
            return None
        self._plan_hinted(job_id, watch, now)
        return max(watch.hint_at, self._hinted.next_at())

    def due(self, now: float, most: int) -> list[tuple[str, bool]]:
        """Return at most ``most`` jobs to poll now, and for each whether by a hint.

        Within the budgets; the longest overdue come first.
        """
        due: list[tuple[str, bool]] = []
        if self._hints:
            due += self._take(self._hints, self._hinted, now, most, hinted=True)
        if self._heap:
            due += self._take(self._heap, self._ordinary, now, most - len(due), hinted=False)
        return due

    def hold(self, until: float) -> None:
        """Return no job from ``due`` before ``until``: the server named a time to come back."""
        self._ordinary.hold(until)
        self._hinted.hold(until)

    def next_at(self) -> float | None:
        """Return when ``due`` returns a job again; ``None`` while nothing is planned."""
        times = []
        for heap, budget, hinted in (
            (self._hints, self._hinted, True),
            (self._heap, self._ordinary, False),
        ):
            if heap:
                self._drop_stale(heap, hinted=hinted)
            if heap:
                times.append(max(heap[0][0], budget.next_at()))
        return min(times, default=None)

    def again(self, job_id: str, now: float, *, jitter: float) -> None:
        """Plan the next poll of a job that was polled. ``jitter``: from -1 to 1."""
        watch = self._watches.get(job_id)
        if watch is None:
            return
        age = now - watch.born
        interval = self._next_age(age, watch.times, had_hint=watch.had_hint) - age
        watch.at = now + interval * (1 + self._policy.jitter * jitter)
        heappush(self._heap, (watch.at, job_id))
        if watch.hinted:  # during the poll: the answer may be older than the hint
            self._plan_hinted(job_id, watch, now)

    def unfinished(self, job_id: str, polled_at: float) -> None:
        """Record that the server works on the job: the grace period of an earlier 404 ends."""
        watch = self._watches.get(job_id)
        if watch is not None:
            watch.missing_since = None
            watch.running_at = polled_at
            watch.is_reported = watch.hinted  # an earlier hint was wrong; one that waits is newer

    def is_missing_too_long(self, job_id: str, now: float) -> bool:
        """Record that a poll did not find the job. Returns whether its grace period is over."""
        watch = self._watches.get(job_id)
        if watch is None:
            return False
        if watch.missing_since is None:
            watch.missing_since = now
        return now - watch.missing_since >= self._policy.not_found_grace

    def is_too_old(self, job_id: str, now: float) -> bool:
        """Return whether a job has been followed for ``Polls.max_age``."""
        watch = self._watches.get(job_id)
        return watch is not None and now - watch.born >= self._policy.max_age

    def oldest(self, now: float) -> float | None:
        """Return the age in seconds of the oldest job on the plan."""
        return max((now - watch.born for watch in self._watches.values()), default=None)

    def _plan_hinted(self, job_id: str, watch: _Watch, now: float) -> None:
        watch.hint_at = max(now, watch.hint_used_at + HINT_GAP)
        heappush(self._hints, (watch.hint_at, job_id))

    def _next_age(self, age: float, times: CompletionTimes, *, had_hint: bool = False) -> float:
        """Return the age at which to poll a job next. ``had_hint``: its webhook came already."""
        policy = self._policy
        if not times.known:
            times = self._times
        if had_hint:
            return age + self._by_rule(age)
        if self._reported_in_a_row >= _TRUSTED:
            late = 1.5 * times.median if times.known else policy.ceiling
            wait = min(max(2 * age, late - age), _BACKSTOP * policy.ceiling)
            return age + max(policy.floor, wait)
        if not times.known:
            return age + self._by_rule(age)
        latest = max(age, times.youngest) + policy.ceiling
        learned = times.next_age(age)
        if learned is None:
            # The older beyond all others, the less they tell about it: it may be stuck.
            learned = age + max(times.last_interval, self._by_rule(age - times.oldest))
        return max(age + policy.floor, min(learned, latest))

    def _by_rule(self, age: float) -> float:
        """Return the interval at an age of which nothing was learned."""
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
            watch.at = watch.hint_at = _NOT_PLANNED
            watch.hinted = False
            if hinted:
                watch.hint_used_at = now
            due.append((job_id, hinted))

    def _drop_stale(self, heap: list[tuple[float, str]], *, hinted: bool) -> None:
        """Drop stale entries: the job ended, is being polled, or was planned anew."""
        watches = self._watches
        while heap:
            at, job_id = heap[0]
            watch = watches.get(job_id)
            if watch is not None and at == (watch.hint_at if hinted else watch.at):
                break
            heappop(heap)
        # Jobs that end early leave entries deep in the heap; they must not pile up.
        if len(heap) > 64 and len(heap) > 2 * len(watches):
            heap[:] = [
                (at, job_id)
                for at, job_id in heap
                if (watch := watches.get(job_id)) is not None
                and at == (watch.hint_at if hinted else watch.at)
            ]
            heapify(heap)


class CompletionTimes:
    """The ages at which the last jobs of a client ended, and when to poll a job by them.

    A poll that comes too early is wasted, one that comes too late lets a caller wait. Where
    jobs end at a rate of ``h`` a second, and a saved poll is worth ``w`` seconds of waiting,
    both together cost least when polls are ``sqrt(2 * w / h)`` seconds apart. The rate at an
    age is the number of jobs that ended about there, for each second that a job was seen
    running there. The worth of a poll grows with the ages: half a minute is nothing after an
    hour and long after ten seconds.

    ``age_factor``: the interval between two polls, as a part of a job's age.
    """

    # Arrays: single floats, allocated at the busiest time, would pin the arenas around them
    # and keep Python from returning that memory.

    def __init__(self, age_factor: float) -> None:
        self._age_factor = age_factor
        self._ages = array("d")
        self._count = 0
        self._unused = 0
        self._sorted = array("d")
        self._polls = array("d")
        """How many polls are due up to each of the sorted ages."""
        self._others = 0
        self.last_interval = 0.0
        """The interval at the last of the ages, and beyond it."""
        self.median = 0.0
        """The age at which half of all had ended."""

    @property
    def known(self) -> bool:
        """Whether enough jobs have ended to plan by them."""
        return bool(self._sorted)

    @property
    def youngest(self) -> float:
        """The age of the job that ended youngest."""
        return self._sorted[0]

    @property
    def oldest(self) -> float:
        """The age of the job that ended oldest."""
        return self._sorted[-1]

    def add(self, age: float, running: Callable[[], Iterable[float]] = tuple) -> None:
        """Record the age at which a job ended, and learn from it now and then.

        ``running`` returns the ages at which other jobs had not ended. Without them the first
        jobs to end, which are the quickest, would stand for all.
        """
        if len(self._ages) < _REMEMBERED:
            self._ages.append(age)
        else:
            self._ages[self._count % _REMEMBERED] = age
        self._count += 1
        self._unused += 1
        enough = len(self._ages) >= _FEWEST and self._unused * 4 >= len(self._ages)
        if enough and self._unused * _LEARNING_COST >= self._others:
            self._learn(running())

    def next_age(self, age: float) -> float | None:
        """Return the age of the next poll; ``None`` if hardly any job grew older than ``age``."""
        ages, polls = self._sorted, self._polls
        at = bisect_right(ages, age)
        if at == len(ages):
            return None
        before, polled = (ages[at - 1], polls[at - 1]) if at else (0.0, 0.0)
        part = (age - before) / (ages[at] - before)
        wanted = polled + part * (polls[at] - polled) + 1
        at = bisect_left(polls, wanted)
        if at == len(ages):
            return ages[-1]
        before, polled = (ages[at - 1], polls[at - 1]) if at else (0.0, 0.0)
        return before + (ages[at] - before) * (wanted - polled) / (polls[at] - polled)

    def _learn(self, running: Iterable[float]) -> None:
        self._unused = 0
        ages, others = sorted(self._ages), sorted(running)
        self._others = len(others)
        # How many were seen at each of the ages.
        seen = [
            left + len(others) - bisect_left(others, age)
            for left, age in zip(range(len(ages), 0, -1), ages, strict=True)
        ]
        self.median = _median(ages, seen)
        # At a rate of one end per median age, intervals are then that part of the age.
        worth = max(1e-9, self._age_factor**2 / 2 * self.median)
        self._sorted, self._polls = array("d", ages), array("d")
        due = 0.0
        for part in _neighbours(ages):
            gaps = [ages[at] - (ages[at - 1] if at else 0.0) for at in part]
            seconds = sum(gap * seen[at] for gap, at in zip(gaps, part, strict=True))
            if part.stop == len(ages):
                seconds += sum(age - ages[-1] for age in others if age > ages[-1])
            self.last_interval = sqrt(2 * worth * max(1e-9, seconds) / len(part))
            for gap in gaps:
                due += gap / self.last_interval
                self._polls.append(due)


def _neighbours(ages: Sequence[float]) -> Iterator[range]:
    """Yield ranges of ages at which jobs end at one rate: that of a single age is mostly chance.

    A long time without an end is a range of its own.
    """
    size, start = isqrt(len(ages)), 0
    for at, (before, age) in enumerate(pairwise([0.0, *ages])):
        is_long = age - before > age / 2
        if is_long and start < at:
            yield range(start, at)
            start = at
        if is_long or at + 1 - start == size:
            yield range(start, at + 1)
            start = at + 1
    if start < len(ages):
        yield range(start, len(ages))


def _median(ages: Sequence[float], seen: Sequence[int]) -> float:
    """Return the age that half outlive; ``seen``: of how many one ended at each age."""
    outlive = 1.0
    for age, count in zip(ages, seen, strict=True):
        outlive *= 1 - 1 / count
        if outlive < 0.5 - 1e-9:
            return age
    return ages[-1]
