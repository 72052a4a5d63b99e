"""Cost of following 100, 1,000, 10,000 and 100,000 jobs at a time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
from collections.abc import Mapping, Sequence
from time import monotonic, perf_counter, process_time
from typing import Any

import psutil

from benchmarks.harness import Answer, Figure, Question, Settings, alone, serving
from benchmarks.stub import serve

SIZES = (100, 1_000, 10_000, 100_000)
A_SECOND = 1500


async def follow(port: int, jobs: int, polls: int) -> dict[str, float]:
    """Follow unfinished jobs, and measure what one costs in memory and one poll in CPU."""
    from symbl_aio import AccessToken, Config, JobTimeoutError, Polls, SymblClient

    config = Config(
        base_url=f"http://127.0.0.1:{port}",
        # More polls are due than the budget allows, for each number of jobs.
        polls=Polls(floor=0.05, ceiling=0.05, per_second=A_SECOND),
    )
    process = psutil.Process()
    async with SymblClient(AccessToken("t" * 32), config=config) as symbl:
        never = monotonic() + 1e6
        names = [(f"{never + number:.6f}-{number}", str(number)) for number in range(jobs)]
        gc.collect()
        before = process.memory_info().rss
        handles = [symbl.job(job_id, conversation_id) for job_id, conversation_id in names]
        for job in handles:
            with contextlib.suppress(JobTimeoutError):
                await job.wait(timeout=0)
        gc.collect()
        memory = process.memory_info().rss - before
        await asyncio.sleep(0.5)  # connections, caches
        first, cpu = symbl.stats().polls, process_time()
        await asyncio.sleep(polls / A_SECOND)
        cpu = process_time() - cpu
        asked = symbl.stats().polls - first
        await symbl.aclose(drain="none")
    return {"memory": memory / jobs, "cpu": cpu / asked}


def select(jobs: int, polls: int) -> float:
    """Return the seconds that the plan needs to select one due job and to plan its next poll."""
    from symbl_aio._core.polls import PollPlan
    from symbl_aio.config import Polls

    plan = PollPlan(Polls(floor=1, ceiling=1, per_second=1e9))
    for number in range(jobs):
        plan.watch(str(number), number / jobs)
    now, done = 2.0, 0
    began = perf_counter()
    while done < polls:
        now += 0.01
        for job_id, _ in plan.due(now, 64):
            plan.again(job_id, now, jitter=0.0)
            done += 1
        plan.next_at()
    return (perf_counter() - began) / done


def slope(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """Return the exponent with which a cost grows with the number of jobs (least squares)."""
    xs, ys = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return covariance / sum((x - mean_x) ** 2 for x in xs)


def ask(settings: Settings) -> Answer:
    sizes = settings.pick(SIZES, SIZES[:3])
    polls, rounds = settings.pick(4500, 1000), settings.pick(2, 1)
    cpu: dict[int, list[float]] = {size: [] for size in sizes}
    chosen: dict[int, list[float]] = {size: [] for size in sizes}
    memory = {}
    with serving(serve) as server:
        for _ in range(rounds):
            for size in sizes:
                value = alone(
                    follow, timeout=600.0, port=server.announced, jobs=size, polls=polls
                ).value
                cpu[size].append(value["cpu"] * 1e6)
                memory[size] = value["memory"]
                selected = alone(select, jobs=size, polls=20 * polls).value
                chosen[size].append(selected * 1e6)
    cpus = [min(cpu[size]) for size in sizes]
    selections = [min(chosen[size]) for size in sizes]
    largest = sizes[-1]
    figures = (
        Figure("memory", f"memory a job, {largest:,} jobs", memory[largest] / 1024, "KiB",
               at_most=2.0),
        Figure("slope", "all polls of n jobs cost n to the power of",
               1 + slope(sizes, cpus), at_most=1.15),
        Figure("selection_slope", "choosing what is due, for n jobs, costs n to the power of",
               1 + slope(sizes, selections), at_most=1.15),
        Figure("cpu_few", f"CPU a poll, {sizes[0]:,} jobs", cpus[0], "µs"),
        Figure("cpu_many", f"CPU a poll, {largest:,} jobs", cpus[-1], "µs"),
        Figure("selection_many", f"of which choosing it, {largest:,} jobs", selections[-1], "µs"),
    )  # fmt: skip
    return Answer(figures, data={"sizes": list(sizes), "cpu": cpus, "selection": selections,
                                 "memory": [memory[size] for size in sizes]})  # fmt: skip


def draw(axes: Any, data: Mapping[str, Any]) -> None:
    axes.plot(data["sizes"], data["cpu"], "o-", color="#2a6fdb")
    axes.plot(data["sizes"], data["selection"], "s-", color="#9aa5b1")
    at = data["sizes"][0]
    axes.annotate("a whole poll, its request included", (at, data["cpu"][0]), (0, 8),
                  textcoords="offset points", color="#2a6fdb")  # fmt: skip
    axes.annotate("choosing the job that is due", (at, data["selection"][0]), (0, 8),
                  textcoords="offset points", color="#667085")  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(1, 3 * max(data["cpu"]))
    axes.set_xticks(data["sizes"], [f"{size:,}" for size in data["sizes"]])
    axes.set_xlabel("jobs followed at a time")
    axes.set_ylabel("µs of CPU a poll")
    axes.set_title("A poll costs the same, however many jobs are followed")


QUESTION = Question(
    "tracking",
    "Follow up to 100,000 jobs",
    "A client follows so many unfinished jobs, more of which are due than the budget of "
    f"{A_SECOND:,} polls a second allows. Memory is the growth of the process, with handle, "
    "future and plan, for each job. The power is fitted over all sizes: 1 is linear, and "
    "*n* log *n* is about 1.13 over this range.",
    ask,
    draw,
)
