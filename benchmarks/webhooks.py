"""Polls a job with webhooks, and latency from its end to the resolved future."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from benchmarks.harness import Answer, Figure, Question, Settings, Spread, alone, serving
from benchmarks.pages import listening

A_SECOND = 25
SECONDS = 1.5


async def serve(announce: Callable[[Any], None], lost: bool) -> None:
    """Run the local server, and beside it a page that returns the end times of its jobs."""
    from symbl_aio.server import LocalServer

    async with LocalServer(job_seconds=SECONDS) as server:
        if lost:
            server.inject("no_webhook", times=1_000_000)

        async def endings(_: web.Request) -> web.Response:
            ends = {job.id: job.history[-1][1].timestamp() for job in server.jobs.values()}
            polls = sum(seen.path.startswith("/v1/job/") for seen in server.requests)
            return web.json_response({"ends": ends, "polls": polls})

        page = web.Application()
        page.router.add_get("/", endings)
        async with listening(page) as url:
            announce([server.base_url, url])
            await asyncio.Event().wait()


async def follow(server: str, page: str, jobs: int) -> dict[str, Any]:
    """Submit jobs at random times; return the seconds from the end of each to its future.

    With the default settings, and the webhook route in the same event loop.
    """
    import aiohttp

    from symbl_aio import Config, Credentials, SymblClient, Text

    known: dict[str, float] = {}
    rng = random.Random(7)

    async def on_webhook(request: web.Request) -> web.Response:
        nonce, mark = request.match_info["nonce"], request.match_info["mark"]
        return web.Response(status=symbl.webhooks.receive(nonce, mark, await request.read()))

    async def one() -> None:
        job = await symbl.submit(Text("Hello from a benchmark."))
        await job
        known[job.id] = time.time()

    app = web.Application()
    app.router.add_post("/hooks/{nonce}/{mark}", on_webhook)
    async with listening(app) as url:
        config = Config(base_url=server, webhook_base_url=f"{url}hooks", webhook_secret="s" * 32)
        async with (
            SymblClient(Credentials("app", "secret"), config=config) as symbl,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(jobs):
                group.create_task(one())
                await asyncio.sleep(rng.expovariate(A_SECOND))
        async with aiohttp.ClientSession() as session, session.get(page) as response:
            seen = await response.json()
    return {
        "lags": [known[job_id] - ended for job_id, ended in seen["ends"].items()],
        "polls": seen["polls"] / jobs,
    }


def run(jobs: int, *, lost: bool) -> dict[str, Any]:
    with serving(serve, lost=lost) as beside:
        server, page = beside.announced
        done = alone(follow, server=server, page=page, jobs=jobs, timeout=900)
        value: dict[str, Any] = done.value
    return value


def ask(settings: Settings) -> Answer:
    jobs, rounds = settings.pick(1000, 100), settings.pick(3, 1)
    runs = [run(jobs, lost=False) for _ in range(rounds)]
    lost = run(jobs, lost=True)
    lags = sorted(lag for one in runs for lag in one["lags"])
    late = sorted(lost["lags"])
    figures = (
        Figure.spread("polls", f"status requests a job, {jobs:,} jobs with webhooks",
                      Spread.of([one["polls"] for one in runs]), at_most=2.5),
        Figure.spread("median", "end on the server to resolved future, median",
                      Spread.of([1e3 * Spread.of(one["lags"]).median for one in runs]), "ms",
                      at_most=50),
        Figure("p95", "p95 of it", 1e3 * lags[int(len(lags) * 0.95)], "ms"),
        Figure("p99", "p99 of it", 1e3 * lags[int(len(lags) * 0.99)], "ms"),
        Figure("resolved", "jobs that resolved with every webhook lost", len(late), at_least=jobs),
        Figure("lost_polls", "status requests a job, every webhook lost", lost["polls"]),
        Figure("lost_median", "end to resolved future, every webhook lost, median",
               Spread.of(late).median, "s"),
        Figure("lost_p95", "p95 of it", late[int(len(late) * 0.95)], "s"),
    )  # fmt: skip
    every = max(1, len(lags) // 500)
    return Answer(figures, data={"told": lags[::every], "lost": late[:: max(1, len(late) // 500)]})


def draw(axes: Any, data: Mapping[str, Any]) -> None:
    for name, colour, label in (
        ("told", "#2a6fdb", "with webhooks"),
        ("lost", "#9aa5b1", "every webhook lost"),
    ):
        values = data[name]
        axes.plot([1e3 * value for value in values],
                  [100 * (rank + 1) / len(values) for rank in range(len(values))],
                  color=colour, linewidth=2.5, label=label)  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds from the end of the job to the resolved future")
    axes.set_ylabel("% of the jobs")
    axes.set_title("Webhooks, from the server's call to the caller")
    axes.legend()


QUESTION = Question(
    "webhooks",
    "Jobs with webhooks",
    f"1,000 texts, {A_SECOND} a second at random times, each {SECONDS:g} s of work for the "
    "local server, which calls a webhook at every change of a job. Settings are the defaults: the "
    "limit is learned, and a status request confirms every end. The server's process records the "
    "times, to the millisecond. Then the same with every webhook lost: the jobs wait for the "
    "default budget of ten status requests a second for all jobs together.",
    ask,
    draw,
)
