"""Small text jobs a second, from ``submit`` to the resolved future."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from time import perf_counter, process_time
from typing import Any

from benchmarks.harness import (
    Answer,
    Figure,
    Question,
    Settings,
    Spread,
    alone,
    alternate,
    field_of,
    serving,
)
from benchmarks.instructions import counted, mark, missing
from benchmarks.stub import hammer, serve, with_loop

AT_ONCE = 50
WORDS = "Hello from a benchmark."


async def ours(
    port: int, runs: Sequence[int], at_once: int, keepalive: float | None = None
) -> list[dict[str, float]]:
    """Submit so many texts in each run, one run after another.

    ``keepalive``: seconds for which an idle connection is kept, instead of the client's own.
    """
    import aiohttp

    from symbl_aio import AccessToken, Config, Limits, Polls, SymblClient, Text

    config = Config(
        base_url=f"http://127.0.0.1:{port}",
        limits=Limits(jobs=at_once),
        polls=Polls(floor=0.001, per_second=1e6),
    )
    measured = []
    async with AsyncExitStack() as opened:
        session = None
        if keepalive is not None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=keepalive)
            session = await opened.enter_async_context(
                aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
            )
        symbl = await opened.enter_async_context(
            SymblClient(AccessToken("t" * 32), config=config, session=session)
        )
        await (await symbl.submit(Text(WORDS)))
        for jobs in runs:
            polls = symbl.stats().polls
            mark()
            began, cpu = perf_counter(), process_time()
            submissions = [symbl.submit(Text(WORDS)) for _ in range(jobs)]
            for submission in submissions:
                await (await submission)
            measured.append(_cost(began, cpu, jobs + symbl.stats().polls - polls))
        mark()
    return measured


def _cost(began: float, cpu: float, requests: int) -> dict[str, float]:
    return {
        "seconds": perf_counter() - began,
        "cpu": process_time() - cpu,
        "requests": requests,
    }


async def bare(port: int, runs: Sequence[int], at_once: int) -> list[dict[str, float]]:
    """Send the same requests as in aiohttp's documentation: one session, ``json=``, ``json()``."""
    import aiohttp

    async def job(session: aiohttp.ClientSession) -> None:
        body = {"messages": [{"payload": {"content": WORDS}}]}
        async with session.post("/v1/process/text", json=body) as response:
            job_id = (await response.json())["jobId"]
        async with session.get(f"/v1/job/{job_id}") as response:
            assert (await response.json())["status"] == "completed"

    async def worker(session: aiohttp.ClientSession, left: Iterator[int]) -> None:
        for _ in left:
            await job(session)

    measured = []
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{port}", headers={"Authorization": "Bearer " + "t" * 32}
    ) as session:
        await job(session)
        for jobs in runs:
            mark()
            began, cpu = perf_counter(), process_time()
            left = iter(range(jobs))
            await asyncio.gather(*(worker(session, left) for _ in range(at_once)))
            measured.append(_cost(began, cpu, 2 * jobs))
        mark()
    return measured


def timed(contender: str, port: int, jobs: int, loop: str) -> dict[str, float]:
    """Run one contender on one kind of event loop."""
    send = {"ours": ours, "bare": bare}[contender]
    (cost,) = with_loop(loop, send(port, [jobs], AT_ONCE))
    return dict(cost)


def instructions(port: int, few: int, many: int) -> dict[str, float]:
    """Count the instructions of one job for each contender, in thousands."""
    # The first run opens the connections. Under valgrind all takes fifty times as long, and
    # they must be kept all the same.
    runs = [AT_ONCE, few, many]
    counts = {
        "ours": counted(ours, port=port, runs=runs, at_once=AT_ONCE, keepalive=60.0),
        "bare": counted(bare, port=port, runs=runs, at_once=AT_ONCE),
    }
    return {
        name: (of_many - of_few) / (many - few) / 1e3
        for name, (_, of_few, of_many) in counts.items()
    }


def ask(settings: Settings) -> Answer:
    jobs, rounds = settings.pick(5000, 800), settings.pick(5, 2)
    found, skipped = field_of({"bare aiohttp": "aiohttp", "on uvloop": "uvloop"})
    counts: dict[str, float] = {}
    with serving(serve) as server:
        port = server.announced

        def run(contender: str, loop: str) -> dict[str, float]:
            value: dict[str, float] = alone(
                timed, contender=contender, port=port, jobs=jobs, loop=loop
            ).value
            return value

        turns = {
            "symbl-aio": lambda: run("ours", "asyncio"),
            "bare aiohttp": lambda: run("bare", "asyncio"),
            "ceiling": lambda: alone(hammer, port=port, jobs=jobs, connections=AT_ONCE).value,
        }
        if "on uvloop" in found:
            turns["symbl-aio on uvloop"] = lambda: run("ours", "uvloop")
            turns["bare aiohttp on uvloop"] = lambda: run("bare", "uvloop")
        measured = alternate(turns, rounds)
        if (reason := missing()) is None:
            counts = instructions(port, *settings.pick((200, 600), (50, 150)))
        else:
            skipped["instructions"] = reason

    rates = {name: [jobs / run["seconds"] for run in runs] for name, runs in measured.items()}
    costs = {name: [run["cpu"] / jobs * 1e6 for run in runs] for name, runs in measured.items()}
    mine, theirs = rates["symbl-aio"], rates["bare aiohttp"]
    figures = [
        Figure.spread("rate_ratio", "rate against bare aiohttp", Spread.of_ratios(mine, theirs),
                      "×", at_least=0.8),
        Figure.spread("cpu_ratio", "CPU a job against bare aiohttp",
                      Spread.of_ratios(costs["symbl-aio"], costs["bare aiohttp"]), "×"),
        Figure.spread("rate", "jobs a second", Spread.of(mine), "/s"),
        Figure.spread("cpu", "CPU a job", Spread.of(costs["symbl-aio"]), "µs"),
        Figure.spread("ceiling", "what the stub allows, against bare aiohttp",
                      Spread.of_ratios(rates["ceiling"], theirs), "×", at_least=1.5),
        Figure("requests", "requests a job",
               sum(run["requests"] for run in measured["symbl-aio"]) / jobs / rounds),
    ]  # fmt: skip
    if counts:
        figures += [
            Figure("instruction_ratio", "instructions of bare aiohttp against those of a job",
                   counts["bare"] / counts["ours"], "×", at_least=0.7),
            Figure("instructions", "instructions a job", counts["ours"], "k"),
            Figure("instructions_bare", "instructions a job, bare aiohttp", counts["bare"], "k"),
        ]  # fmt: skip
    if "on uvloop" in found:
        fast = rates["symbl-aio on uvloop"]
        figures += [
            Figure.spread("uvloop_ratio", "rate against bare aiohttp, both on uvloop",
                          Spread.of_ratios(fast, rates["bare aiohttp on uvloop"]), "×"),
            Figure.spread("uvloop_gain", "rate on uvloop against asyncio",
                          Spread.of_ratios(fast, mine), "×"),
        ]  # fmt: skip
    return Answer(tuple(figures), found, skipped, {"rates": rates, "cpu": costs})


def draw(axes: Any, data: Mapping[str, Any]) -> None:
    rates = {name: sorted(values)[len(values) // 2] for name, values in data["rates"].items()}
    names = [name for name in rates if name != "ceiling"][::-1]
    colours = ["#2a6fdb" if name.startswith("symbl-aio") else "#9aa5b1" for name in names]
    bars = axes.barh(names, [rates[name] for name in names], color=colours)
    axes.bar_label(bars, [f" {rates[name]:,.0f}" for name in names])
    axes.set_xlim(0, 1.15 * max(rates[name] for name in names))
    axes.set_xlabel(
        f"jobs a second (a POST and a GET each; the stub allows {rates['ceiling']:,.0f})"
    )
    axes.set_title("Small text jobs, from submit to resolved future")
    axes.grid(axis="y", visible=False)


QUESTION = Question(
    "small_jobs",
    "Small text jobs, submit to resolved",
    f"5,000 texts of one sentence, {AT_ONCE} unfinished at a time, the poll budget lifted, so "
    "that each job is one POST and one GET; bare aiohttp sends the same requests from "
    f"{AT_ONCE} workers with one session. The difference is the work that aiohttp does not do: "
    "order, limit, at-most-once, handles, a shared poller. The ceiling is the same work done by a "
    "client of prepared bytes. The bar is not reached: of the samples of a profile (py-spy) 38 % "
    "are in asyncio, 24 % in aiohttp and 30 % in this library, with no module of it above 5 %. "
    "Two tasks and two futures a job, and the garbage collector over the waiting jobs, are the "
    "rest of the cost; a real job takes seconds.",
    ask,
    draw,
)
