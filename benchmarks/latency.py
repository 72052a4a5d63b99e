"""Latency from the end of a job on the server to the resolved future."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.harness import Answer, Figure, Question, Settings, Spread, alone, alternate, serving
from benchmarks.stub import serve

FOLLOWED = 1000
EVERY = 0.05


async def by_webhook(port: int, jobs: int) -> list[float]:
    """Return the seconds from a genuine webhook call to the resolved future, job by job."""
    from symbl_aio import AccessToken, Config, JobTimeoutError, Limits, Polls, SymblClient

    config = Config(
        base_url=f"http://127.0.0.1:{port}",
        limits=Limits(jobs=2 * FOLLOWED),
        polls=Polls(floor=3600, ceiling=3600, hinted_per_second=1e6),
    )
    seconds = []
    async with SymblClient(AccessToken("t" * 32), config=config) as symbl:
        never = time.monotonic() + 1e6
        for number in range(FOLLOWED):
            with contextlib.suppress(JobTimeoutError):
                await symbl.job(f"{never:.6f}-{number}").wait(timeout=0)
        for number in range(jobs):
            job = symbl.job(f"0.0-{number}", "c1")
            waiter = asyncio.create_task(job.wait())
            await asyncio.sleep(0)
            began = time.perf_counter()
            # Every webhook route calls this after it has checked the mark of the URL.
            symbl._engine.on_webhook("nonce", job.id, "completed")
            await waiter
            seconds.append(time.perf_counter() - began)
        await symbl.aclose(drain="none")
    return seconds


async def bare_get(port: int, jobs: int) -> list[float]:
    """Return the seconds of one GET of the same job by aiohttp, the lower bound."""
    import aiohttp

    seconds = []
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        for number in range(jobs):
            began = time.perf_counter()
            async with session.get(f"/v1/job/0.0-{number}") as response:
                assert (await response.json())["status"] == "completed"
            seconds.append(time.perf_counter() - began)
    return seconds


async def by_poll(port: int, jobs: int) -> list[float]:
    """Return the seconds from the end of a job to its future, with polls every 50 ms."""
    from symbl_aio import AccessToken, Config, Limits, Polls, SymblClient, Text

    config = Config(
        base_url=f"http://127.0.0.1:{port}",
        limits=Limits(jobs=50),
        polls=Polls(floor=EVERY, ceiling=EVERY, jitter=0.0, per_second=1e6),
    )
    seconds = []
    async with SymblClient(AccessToken("t" * 32), config=config) as symbl:

        async def one() -> None:
            job = await symbl.submit(Text("Hello from a benchmark."))
            await job
            seconds.append(time.monotonic() - float(job.id.partition("-")[0]))

        await asyncio.gather(*(one() for _ in range(jobs)))
    return seconds


def ask(settings: Settings) -> Answer:
    jobs, rounds = settings.pick(1000, 200), settings.pick(5, 2)
    with serving(serve) as server:
        turns = alternate(
            {
                "webhook": lambda: alone(by_webhook, port=server.announced, jobs=jobs).value,
                "GET": lambda: alone(bare_get, port=server.announced, jobs=jobs).value,
            },
            rounds,
        )
    with serving(serve, median=0.5, sigma=0.5) as server:
        polled = sorted(alone(by_poll, port=server.announced, jobs=settings.pick(500, 100)).value)
    medians = {name: [Spread.of(run).median for run in runs] for name, runs in turns.items()}
    called = sorted(second for run in turns["webhook"] for second in run)
    figures = (
        Figure("webhook", f"webhook call to resolved future, {FOLLOWED:,} jobs followed",
               Spread.of(called).median * 1e3, "ms"),
        Figure("webhook_p99", "p99 of it", called[int(len(called) * 0.99)] * 1e3, "ms"),
        Figure.spread("ratio", "against one GET by bare aiohttp",
                      Spread.of_ratios(medians["webhook"], medians["GET"]), "×"),
        Figure("poll", f"end of the job to resolved future, asked every {EVERY * 1e3:.0f} ms",
               Spread.of(polled).median * 1e3, "ms", at_most=EVERY * 1e3),
        Figure("poll_p95", "p95 of it", polled[int(len(polled) * 0.95)] * 1e3, "ms"),
    )  # fmt: skip
    return Answer(
        figures,
        {"GET": "one request by bare aiohttp"},
        data={"told": called[:: max(1, len(called) // 500)], "polled": polled},
    )


def draw(axes: Any, data: Mapping[str, Any]) -> None:
    for name, colour, label in (
        ("told", "#2a6fdb", "told by a webhook"),
        ("polled", "#9aa5b1", f"asked every {EVERY * 1e3:.0f} ms"),
    ):
        values = data[name]
        axes.plot([1e3 * value for value in values],
                  [100 * (rank + 1) / len(values) for rank in range(len(values))],
                  color=colour, linewidth=2.5, label=label)  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds from the end of the job to the resolved future")
    axes.set_ylabel("% of the jobs")
    axes.set_title("How soon a caller knows")
    axes.legend()


QUESTION = Question(
    "latency",
    "From a job's end to the resolved future",
    f"A webhook call only hints, so a poll of the job follows it: with {FOLLOWED:,} other jobs "
    "followed, the time from the call to the resolved future beside a bare request. And without "
    f"webhooks, the time with polls every {EVERY * 1e3:.0f} ms: half of that, and a request.",
    ask,
    draw,
)
