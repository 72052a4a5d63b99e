"""Polls a job against detection lag.

A simulator without a network: the project's own ``PollPlan`` with its budgets follows a stream
of jobs. Fixed intervals and backoffs, those of other clients and the best of all, are computed
on the same job times.
"""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from attrs import frozen

from benchmarks.harness import Answer, Figure, Question, Settings
from symbl_aio._core.polls import PollPlan
from symbl_aio.config import Polls

AT_ONCE = 50
JOBS = 2000
FACTORS = (1.02, 1.05, 1.1, 1.2, 1.5, 2.0)
CAPS = (1.5, 2.0, 4.0, 8.0, 30.0, 1e9)


@frozen
class Outcome:
    """Polls a job, and the seconds from a job's end to the poll that found it."""

    polls: float
    lag: float
    p95: float

    @classmethod
    def of(cls, polls: int, lags: list[float]) -> Outcome:
        lags.sort()
        return cls(polls / len(lags), sum(lags) / len(lags), lags[int(len(lags) * 0.95)])


# Job times


def _log_normal(median: float, sigma: float) -> Callable[[random.Random], float]:
    return lambda rng: median * rng.lognormvariate(0.0, sigma)


def _either(share: float, first: Any, second: Any) -> Callable[[random.Random], float]:
    return lambda rng: float((first if rng.random() < share else second)(rng))


CHOSEN_ON = {
    "log-normal, median 20 s": _log_normal(20, 0.8),
    "log-normal, median 75 s": _log_normal(75, 0.5),
    "30 s or 400 s": _either(0.7, _log_normal(30, 0.4), _log_normal(400, 0.4)),
    "12 s, 90 s or 300 s": _either(
        0.4, _log_normal(12, 0.4), _either(0.5, _log_normal(90, 0.3), _log_normal(300, 0.5))
    ),
    "exponential, mean 35 s": lambda rng: rng.expovariate(1 / 35),
    "exponential, mean 150 s": lambda rng: rng.expovariate(1 / 150),
    "Weibull, about 40 s": lambda rng: rng.weibullvariate(44, 1.5),
}
REPORTED_ON: dict[str, Callable[[random.Random], float]] = {
    "log-normal, median 5 s": _log_normal(5, 0.7),
    "log-normal, median 150 s": _log_normal(150, 0.9),
    "8 s or 200 s": _either(0.5, _log_normal(8, 0.4), _log_normal(200, 0.6)),
    "exponential, mean 90 s": lambda rng: rng.expovariate(1 / 90),
    "Weibull, about 60 s": lambda rng: rng.weibullvariate(68, 2.5),
    "5 s, 60 s or 600 s": _either(
        0.3, _log_normal(5, 0.3), _either(0.6, _log_normal(60, 0.5), _log_normal(600, 0.3))
    ),
}


def lengths(times: Sequence[float]) -> list[float]:
    """Return seconds of recording for jobs: four times the job's, with a spread of its own."""
    rng = random.Random(17)
    return [4 * time * rng.lognormvariate(0.0, 0.5) for time in times]


def job_times(times: Callable[[random.Random], float], jobs: int) -> list[float]:
    rng = random.Random(11)
    return [times(rng) for _ in range(jobs)]


# Ours


def with_our_plan(
    policy: Polls,
    times: Sequence[float],
    *,
    webhooks: bool,
    durations: Sequence[float] | None = None,
) -> Outcome:
    """Follow the jobs with the plan, ``AT_ONCE`` at a time, from a client's first job on.

    ``durations``: seconds of the jobs' recordings, if the client knows them.
    With ``webhooks`` a call follows each end by a tenth of a second; one call in fifty is
    lost.
    """
    plan, rng = PollPlan(policy), random.Random(5)
    waiting = iter(enumerate(times))
    ends: dict[str, float] = {}
    hints: list[tuple[float, str]] = []
    lags: list[float] = []
    polls, now = 0, 0.0

    def submit() -> None:
        number, time = next(waiting, (0, None))
        if time is not None:
            job_id = str(number)
            ends[job_id] = now + time
            plan.watch(job_id, now, duration=None if durations is None else durations[number])
            if webhooks and rng.random() >= 0.02:
                heapq.heappush(hints, (ends[job_id] + 0.1, job_id))

    for _ in range(AT_ONCE):
        submit()
    while ends:
        turns = [at for at in (plan.next_at(), hints[0][0] if hints else None) if at is not None]
        # The nanosecond keeps a due job due, however the sum of its times was rounded.
        now = max(now, min(turns) + 1e-9)
        while hints and hints[0][0] <= now:
            plan.hint(heapq.heappop(hints)[1], now)
        for job_id, _ in plan.due(now, 64):
            polls += 1
            if ends[job_id] <= now:
                lags.append(now - ends.pop(job_id))
                plan.ended(job_id, now, jitter=rng.random())
                submit()
            else:
                plan.unfinished(job_id, now)
                plan.again(job_id, now, jitter=2 * rng.random() - 1)
    return Outcome.of(polls, lags)


# The others


def intervals(first: float, factor: float, most: float) -> Iterator[float]:
    while True:
        yield first
        first = min(most, first * factor)


def with_intervals(first: float, factor: float, most: float, times: Sequence[float]) -> Outcome:
    """Simulate a policy that depends on the number of earlier polls alone."""
    asked: list[float] = []
    longest = max(times)
    for age in accumulate(intervals(first, factor, most)):
        asked.append(age)
        if age >= longest:
            break
    polls, lags = 0, []
    for time in times:
        at = bisect_left(asked, time)
        polls += at + 1
        lags.append(asked[at] - time)
    return Outcome.of(polls, lags)


OTHERS = {
    # First interval, factor, longest: from their documentation and source.
    "fal-client 0.1 s": (0.1, 1.0, 0.1),
    "replicate 0.5 s": (0.5, 1.0, 0.5),
    "assemblyai 3 s": (3.0, 1.0, 3.0),
    "speechmatics-batch 0.5 to 5 s": (0.5, 1.6, 5.0),
    "google-api-core 1 to 20 s": (1.0, 2.0, 20.0),
    "symbl-python 30 s": (30.0, 1.0, 30.0),
}


def best_at(lag: float, times: Sequence[float]) -> tuple[float, str]:
    """Return the fewest polls of any fixed interval or backoff with this mean lag."""
    best = (math.inf, "")
    for factor, cap in [(1.0, 1.0)] + [(factor, cap) for factor in FACTORS for cap in CAPS]:
        low, high = 0.02, 1e4
        for _ in range(24):
            first = math.sqrt(low * high)
            if (
                max(times) / first > 20_000
                or with_intervals(first, factor, first * cap, times).lag <= lag
            ):
                low = first
            else:
                high = first
        found = with_intervals(low, factor, low * cap, times)
        if abs(found.lag / lag - 1) < 0.03:
            name = (
                f"every {low:.3g} s"
                if factor == 1
                else (f"from {low:.3g} s, times {factor:g}, to {low * cap:.3g} s")
            )
            best = min(best, (found.polls, name))
    return best


def ask(_settings: Settings) -> Answer:
    policy = Polls()
    rows: dict[str, Any] = {}
    for group, distributions in (("chosen", CHOSEN_ON), ("reported", REPORTED_ON)):
        for name, make in distributions.items():
            times = job_times(make, JOBS)
            ours = with_our_plan(policy, times, webhooks=False)
            hinted = with_our_plan(policy, times, webhooks=True)
            by_length = with_our_plan(policy, times, webhooks=False, durations=lengths(times))
            # The first job of a client, without any learned completion times.
            new = [with_our_plan(policy, [time], webhooks=False) for time in times[:200]]
            polls, which = best_at(ours.lag, times)
            polls_by_length, _ = best_at(by_length.lag, times)
            rows[name] = {
                "group": group,
                "ours": [ours.polls, ours.lag, ours.p95],
                "by_length": [by_length.polls, by_length.lag, by_length.p95],
                "best_by_length": polls_by_length,
                "webhooks": [hinted.polls, hinted.lag, hinted.p95],
                "first_job": [sum(one.polls for one in new) / 200, sum(o.lag for o in new) / 200],
                "best": [polls, which],
                "curve": [
                    [found.lag, found.polls]
                    for found in (
                        with_intervals(each, 1.0, each, times)
                        for each in (0.25 * 1.3**step for step in range(26))
                    )
                ],
                "others": {
                    other: [found.polls, found.lag, found.p95]
                    for other, found in (
                        (other, with_intervals(*how, times)) for other, how in OTHERS.items()
                    )
                },
            }
    reported = {name: row for name, row in rows.items() if row["group"] == "reported"}
    figures = [
        Figure(f"ratio_{number}", f"{name}: polls against the best fixed or back-off, equal lag",
               row["ours"][0] / row["best"][0], "×", at_most=1.05)
        for number, (name, row) in enumerate(reported.items(), 1)
    ]  # fmt: skip
    figures += [
        Figure(f"by_length_{number}", f"{name}: the same, the recordings' lengths known",
               row["by_length"][0] / row["best_by_length"], "×", at_most=1.0)
        for number, (name, row) in enumerate(reported.items(), 1)
    ]  # fmt: skip
    for number, (name, row) in enumerate(reported.items(), 1):
        polls, lag, p95 = row["ours"]
        figures += [
            Figure(f"polls_{number}", f"{name}: polls a job", polls),
            Figure(f"lag_{number}", f"{name}: mean lag", lag, "s"),
            Figure(f"p95_{number}", f"{name}: p95 lag", p95, "s"),
            Figure(f"webhooks_{number}", f"{name}: polls a job with webhooks",
                   row["webhooks"][0], at_most=2.5),
        ]  # fmt: skip
    published = {name.partition(" ")[0]: name.partition(" ")[2] for name in OTHERS}
    return Answer(tuple(figures), published, data={"rows": rows, "jobs": JOBS})


def draw(axes: Any, data: Mapping[str, Any]) -> None:
    name, row = next(item for item in data["rows"].items() if "150" in item[0])
    curve = [point for point in row["curve"] if 0.1 < point[0] < 40]
    axes.plot([lag for lag, _ in curve], [polls for _, polls in curve], color="#9aa5b1",
              label="any fixed interval")  # fmt: skip
    for other, (polls, lag, _) in row["others"].items():
        axes.plot(lag, polls, "o", color="#667085", markersize=5)
        axes.annotate(f" {other}", (lag, polls), fontsize=8, color="#667085", va="bottom")
    for label, key, mark in (
        ("symbl-aio", "ours", "D"),
        ("symbl-aio with webhooks", "webhooks", "s"),
    ):
        polls, lag, _ = row[key]
        axes.plot(lag, polls, mark, color="#2a6fdb", markersize=9)
        axes.annotate(f"{label}  ", (lag, polls), color="#2a6fdb", va="top", ha="right",
                      weight="bold")  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("mean seconds from the end of a job to its discovery (less is better)")
    axes.set_ylabel("polls a job (less is better)")
    axes.set_title(f"Polls against lag ({name}, {data['jobs']:,} jobs)")


QUESTION = Question(
    "polling",
    "Polls a job against detection lag",
    f"A simulator without a network: the project's own `PollPlan`, its budget of ten polls a "
    f"second included, follows a stream of jobs, {AT_ONCE} at a time and from a client's first "
    "one on, so that the figures include the polls before it has learned anything. Beside it, "
    "on the same job times, the published intervals of other clients, and the best of all fixed "
    "intervals and back-offs: the one that needs the fewest polls for the same mean lag, chosen "
    "with hindsight for that very distribution. The default was chosen on "
    + ", ".join(CHOSEN_ON)
    + "; the figures are of six others. Where lengths are known, each recording lasts four times "
    "as long as its job took, times a log-normal factor of sigma 0.5; the policies beside it "
    "cannot use that. With webhooks, a call follows each end by 0.1 s, and one call in fifty is "
    "lost.\n\n"
    "Why the default is what it is: a fixed interval suits jobs of one length, and an interval "
    "that is a share of a job's age, which suits all, wastes polls while no job can have ended. "
    "So the ages at which a client's last 512 jobs ended decide, those of recordings about as "
    "long where the length is known: where jobs end at a rate of *h* a second and a poll saved is "
    "worth *w* seconds of waiting, lag and polls together cost least with intervals of "
    "√(2*w*/*h*). Jobs that still run count among those that did not end, or the quickest of the "
    "first jobs would stand for all. Where jobs end at the same rate at any age (exponential), a "
    "fixed interval is the best there is: 1 is the floor, and what is above it is the price of "
    "the first jobs.",
    ask,
    draw,
)
