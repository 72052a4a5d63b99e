"""Cost of an outbox on PostgreSQL: rate, CPU, latency, takeover, and a worker at rest."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import aiohttp
import psutil
from aiohttp import web

from benchmarks.harness import (
    Answer,
    Figure,
    Question,
    Server,
    Settings,
    Spread,
    alone,
    field_of,
    serving,
)
from benchmarks.pages import listening

SECRET = "s" * 32
ITEMS = 400
CONVERSATIONS = 100
CAP = 50
JOB = 0.05
WORKERS = 4
WORKER_TIMEOUT = 2.0
TOPIC = "webhook"


# Processes beside the contenders


async def serve_api(announce: Callable[[Any], None], seconds: float) -> None:
    """Run the local server, and a page that controls it and returns the times of its jobs."""
    from symbl_aio.server import LocalServer

    async with LocalServer(
        job_limit=100_000, job_seconds=seconds, probe_media=False, keep_bodies=False
    ) as server:

        async def seen(_: web.Request) -> web.Response:
            jobs = [
                [job.id, job.history[0][1].timestamp(), job.history[-1][1].timestamp()]
                for job in server.jobs.values()
                if job.finished
            ]
            polls = sum(one.path.startswith("/v1/job/") for one in server.requests)
            return web.json_response(
                {"jobs": jobs, "accepted": len(server.jobs), "most": server.max_unfinished,
                 "polls": polls}
            )  # fmt: skip

        async def counts(_: web.Request) -> web.Response:
            accepted = len(server.jobs)
            return web.json_response({"accepted": accepted, "ended": accepted - server.unfinished})

        async def hold(_: web.Request) -> web.Response:
            server.hold_jobs()
            return web.Response()

        async def release(_: web.Request) -> web.Response:
            server.release()
            return web.Response()

        page = web.Application()
        page.add_routes(
            [
                web.get("/seen", seen),
                web.get("/counts", counts),
                web.post("/hold", hold),
                web.post("/release", release),
            ]
        )
        async with listening(page) as url:
            announce([server.base_url, url])
            await asyncio.Event().wait()


async def take_webhooks(announce: Callable[[Any], None], database: str) -> None:
    """Pass webhook calls to an outbox, and serve the time of the call that completed each job."""
    from symbl_aio.durable import Outbox

    ended: dict[str, float] = {}
    async with Outbox(database, webhook_secret=SECRET) as outbox:

        async def on_webhook(request: web.Request) -> web.Response:
            arrived = time.time()
            match, body = request.match_info, await request.read()
            payload = await request.json()
            if payload["status"] == "completed":
                ended.setdefault(payload["jobId"], arrived)
            return web.Response(status=await outbox.webhook(match["nonce"], match["mark"], body))

        async def endings(_: web.Request) -> web.Response:
            return web.json_response(ended)

        app = web.Application()
        app.add_routes([web.post("/hooks/{nonce}/{mark}", on_webhook), web.get("/ended", endings)])
        async with listening(app) as url:
            announce(url)
            await asyncio.Event().wait()


async def work(
    announce: Callable[[Any], None], database: str, server: str, hooks: str | None, **settings: Any
) -> None:
    """Run a worker with the default settings."""
    from symbl_aio import Config, Credentials
    from symbl_aio.durable import Worker

    config = Config(
        base_url=server,
        webhook_base_url=None if hooks is None else f"{hooks}hooks",
        webhook_secret=SECRET,
    )
    async with Worker(
        database, Credentials("app", "secret"), config=config, concurrency=CAP, **settings
    ) as worker:
        announce(worker.id)
        await asyncio.Event().wait()


# Plain DBOS: the same steps on the same queue, bare aiohttp, no tables but the engine's


async def take_plain_webhooks(announce: Callable[[Any], None], database: str) -> None:
    client = _plain_client(database)

    async def on_webhook(request: web.Request) -> web.Response:
        payload = await request.json()
        if payload["status"] == "completed":
            await client.send_async(request.match_info["workflow"], payload, TOPIC)
        return web.Response(status=204)

    app = web.Application()
    app.add_routes([web.post("/hooks/{workflow}", on_webhook)])
    async with listening(app) as url:
        announce(url)
        await asyncio.Event().wait()


def _plain_client(database: str) -> Any:
    from dbos import DBOSClient, DBOSPortableJSONSerializer

    return DBOSClient(
        system_database_url=database,
        dbos_system_schema="plain",
        serializer=DBOSPortableJSONSerializer(),
        application_name="plain",
    )


async def work_plain(
    announce: Callable[[Any], None], database: str, server: str, hooks: str, worker: str
) -> None:
    from dbos import DBOS, DBOSPortableJSONSerializer

    token = await _token(server)
    session = aiohttp.ClientSession(server, headers={"Authorization": f"Bearer {token}"})

    @DBOS.step(name="attempt")
    async def attempt(conversation: str, text: str, url: str) -> str:
        body = {"messages": [{"payload": {"content": text}}], "webhookUrl": url}
        async with session.put(f"/v1/process/text/{conversation}", json=body) as answer:
            assert answer.status == 201
            job_id: str = (await answer.json())["jobId"]
            return job_id

    @DBOS.step(name="follow")
    async def follow(job_id: str) -> str:
        async with session.get(f"/v1/job/{job_id}") as answer:
            status: str = (await answer.json())["status"]
            return status

    @DBOS.workflow(name="item")
    async def item(conversation: str, text: str) -> str:
        job_id = await attempt(conversation, text, f"{hooks}hooks/{DBOS.workflow_id}")
        status = "in_progress"
        while status != "completed":
            await DBOS.recv_async(TOPIC, 30)
            status = await follow(job_id)
        await DBOS.set_event_async("ended", status)
        return status

    DBOS(
        config={
            "name": "plain",
            "system_database_url": database,
            "dbos_system_schema": "plain",
            "executor_id": worker,
            "application_version": "1",
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "CRITICAL",
            "max_executor_threads": 8,
            "sys_db_pool_size": 10,
            "run_migrations": False,
        }
    )
    DBOS.launch()
    await DBOS.register_queue_async(
        "items", global_concurrency=CAP, partition_concurrency=1, polling_interval_sec=0.1
    )
    announce(worker)
    await asyncio.Event().wait()


async def _token(server: str) -> str:
    asked = {"type": "application", "appId": "app", "appSecret": "secret"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server}/oauth2/token:generate", json=asked) as answer,
    ):
        token: str = (await answer.json())["accessToken"]
        return token


# Producers, and the state of the server


async def hand_in(server: str, database: str, items: int, ours: bool) -> None:
    """Open conversations, and put appends to all of them, in turn, into the queue."""
    from symbl_aio import Config, Credentials, SymblClient, Text

    async with SymblClient(Credentials("app", "secret"), config=Config(base_url=server)) as symbl:
        opened = [await symbl.submit(Text("We begin.")) for _ in range(CONVERSATIONS)]
    texts = [
        (str(opened[n % CONVERSATIONS].conversation_id), f"We ship number {n}.")
        for n in range(items)
    ]
    if ours:
        from symbl_aio.durable import Outbox

        async with Outbox(database) as outbox:
            for conversation, text in texts:
                await outbox.append(conversation, Text(text))
        return
    from dbos import DBOS

    DBOS.migrate(database, schema="plain")
    client = _plain_client(database)
    for number, (conversation, text) in enumerate(texts):
        await client.enqueue_async(
            {
                "workflow_name": "item",
                "queue_name": "items",
                "queue_partition_key": conversation,
                "priority": 1 + number // CONVERSATIONS,
                "app_version": "1",
            },
            conversation,
            text,
        )
    client.destroy()


async def wait_for(page: str, jobs: int, ended: bool = True) -> dict[str, Any]:
    """Wait until so many jobs were accepted, or ended; return the state of the server."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(300):
        while True:
            async with session.get(f"{page}seen") as answer:
                state: dict[str, Any] = await answer.json()
            if (len(state["jobs"]) if ended else state["accepted"]) >= jobs:
                return state
            await asyncio.sleep(0.05)


async def wait_counts(page: str) -> tuple[int, int]:
    """Return the number of ended jobs, and of accepted ones."""
    async with aiohttp.ClientSession() as session, session.get(f"{page}counts") as answer:
        counts = await answer.json()
    return counts["ended"], counts["accepted"]


async def command(page: str, name: str) -> None:
    async with aiohttp.ClientSession() as session, session.post(f"{page}{name}") as answer:
        answer.raise_for_status()


# The questions


def rate(database: str, items: int, *, ours: bool, number: int = WORKERS) -> dict[str, float]:
    """Measure the items a second of some workers, and the CPU and polls of each item.

    Jobs are held until all workers have started, so that no start is measured.
    """
    with ExitStack() as stack:
        api = stack.enter_context(serving(serve_api, seconds=JOB))
        server, page = api.announced
        asyncio.run(hand_in(server, database, items, ours))
        asyncio.run(command(page, "hold"))
        target: Callable[..., Any]
        named: list[dict[str, str]]
        if ours:
            hooks = stack.enter_context(serving(take_webhooks, database=database))
            target, named = work, [{} for _ in range(number)]
        else:
            hooks = stack.enter_context(serving(take_plain_webhooks, database=database))
            target, named = work_plain, [{"worker": f"w{n}"} for n in range(number)]
        workers = [
            stack.enter_context(
                serving(target, database=database, server=server, hooks=hooks.announced, **name)
            )
            for name in named
        ]
        asyncio.run(wait_for(page, CONVERSATIONS + min(items, CAP), ended=False))
        started = [worker.cpu() for worker in workers]
        asyncio.run(command(page, "release"))
        seen = asyncio.run(wait_for(page, CONVERSATIONS + items))
        ends = sorted(end for _, _, end in seen["jobs"][CONVERSATIONS:])
        early, late = ends[len(ends) // 10], ends[len(ends) * 9 // 10]
        return {
            "rate": 0.8 * len(ends) / (late - early),
            "cpu": 1e3 * (sum(worker.cpu() for worker in workers) - sum(started)) / items,
            "most": seen["most"],
            "polls": seen["polls"] / items,
        }


async def wake(database: str, server: str, hooks: str, items: int) -> list[float]:
    """Return the seconds from the webhook call of each job to its waiter in another process."""
    from symbl_aio import Text
    from symbl_aio.durable import Outbox

    known: dict[str, float] = {}

    async def one() -> None:
        item = await outbox.submit(Text("We begin."))
        ended = await outbox.result(item.key)
        known[str(ended.job_id)] = time.time()

    async with Outbox(database) as outbox:
        for _ in range(items // 4):
            await asyncio.gather(*(one() for _ in range(4)))
    async with aiohttp.ClientSession() as session, session.get(f"{hooks}ended") as answer:
        called = await answer.json()
    return [known[job_id] - called[job_id] for job_id in known]


async def hand_in_all(database: str, texts: int) -> dict[str, float]:
    """Measure the texts a second that one call hands in, and those that single calls hand in."""
    from symbl_aio import Text
    from symbl_aio.durable import Entry, Outbox

    async with Outbox(database) as outbox:
        began = time.perf_counter()
        for number in range(texts // 10):
            await outbox.submit(Text(f"We ship number {number}."), key=f"single {number}")
        singly = time.perf_counter() - began
        began = time.perf_counter()
        await outbox.submit_many(
            Entry(f"many {number}", Text(f"We ship number {number}.")) for number in range(texts)
        )
        many = time.perf_counter() - began
    return {"singly": texts // 10 / singly, "many": texts / many}


def hand_in_rates(database: str, texts: int) -> dict[str, float]:
    """Measure ``hand_in_all`` in a process of its own."""
    found: dict[str, float] = alone(hand_in_all, database=database, texts=texts).value
    return found


def latencies(database: str, items: int) -> list[float]:
    """Measure ``wake``: one process gets the calls, another is the worker, a third waits."""
    with (
        serving(serve_api, seconds=0.3) as api,
        serving(take_webhooks, database=database) as hooks,
        serving(work, database=database, server=api.announced[0], hooks=hooks.announced),
    ):
        done = alone(
            wake, database=database, server=api.announced[0], hooks=hooks.announced, items=items
        )
        lags: list[float] = done.value
        return lags


def takeovers(database: str, rounds: int) -> list[float]:
    """Kill a worker that follows a job; return the seconds until another has ended the item."""
    from symbl_aio import Text
    from symbl_aio.durable import Outbox

    took: list[float] = []

    async def one(page: str, victim: Server, count: int) -> None:
        async with Outbox(database) as outbox:
            os.kill(victim.pid, signal.SIGKILL)
            killed = time.time()
            await command(page, "release")
            async for item in outbox.jobs():
                ended = await outbox.result(item.key, timeout=60)
            assert ended.ok
            took.append(time.time() - killed)

    async def begin(page: str, count: int) -> None:
        async with Outbox(database) as outbox:
            await command(page, "hold")
            await outbox.submit(Text("We begin."))
            await wait_for(page, count, ended=False)

    settings = {"heartbeat": WORKER_TIMEOUT / 4, "worker_timeout": WORKER_TIMEOUT}
    with ExitStack() as stack:
        api = stack.enter_context(serving(serve_api, seconds=0.0))
        server, page = api.announced
        hooks = stack.enter_context(serving(take_webhooks, database=database))

        def worker() -> Server:
            return stack.enter_context(
                serving(work, database=database, server=server, hooks=hooks.announced, **settings)
            )

        victim = worker()
        for count in range(1, rounds + 1):
            asyncio.run(begin(page, count))
            successor = worker()
            time.sleep(1.5 * WORKER_TIMEOUT)  # a new worker waits for one heartbeat of each
            asyncio.run(one(page, victim, count))
            victim = successor
    return took


def behind(database: str, waiting: int, job: float, seconds: float) -> dict[str, float]:
    """Measure one worker while so many conversations, of one text each, are queued."""
    import psycopg

    from symbl_aio import Text
    from symbl_aio.durable import Entry, Outbox

    async def enter() -> None:
        async with Outbox(database) as outbox:
            await outbox.submit_many(
                Entry(f"c{number}", Text(f"We ship number {number}.")) for number in range(waiting)
            )

    async def look() -> tuple[int, list[int]]:
        """Return the ended jobs, and samples of the number of running ones."""
        ended, running, until = 0, [], time.perf_counter() + seconds
        async with aiohttp.ClientSession() as session:
            while time.perf_counter() < until:
                async with session.get(f"{page}counts") as answer:
                    counts = await answer.json()
                ended = counts["ended"]
                running.append(counts["accepted"] - counts["ended"])
                await asyncio.sleep(0.25)
        return ended, running

    asyncio.run(enter())
    with (
        serving(serve_api, seconds=job) as api,
        serving(take_webhooks, database=database) as hooks,
    ):
        server, page = api.announced
        with serving(work, database=database, server=server, hooks=hooks.announced) as worker:
            warm = CAP if job > 1.0 else 4 * CAP
            asyncio.run(wait_for(page, warm, ended=False))
            before, cpu = _transactions(psycopg, database), worker.cpu()
            began, (first, _) = time.perf_counter(), asyncio.run(wait_counts(page))
            last, running = asyncio.run(look())
            passed, items = time.perf_counter() - began, last - first
            cpu = worker.cpu() - cpu
            commits = _transactions(psycopg, database) - before
    return {
        "rate": items / passed,
        "used": statistics.mean(running) / CAP,
        "commits": commits / max(1, items),
        "cpu": 1e3 * cpu / max(1, items),
    }


def slope(rates: Mapping[int, float]) -> float:
    """Return the slope of log(rate) over log(queued items)."""
    return statistics.linear_regression(
        [math.log(waiting) for waiting in rates], [math.log(pace) for pace in rates.values()]
    ).slope


def idle(database: str, seconds: float) -> dict[str, float]:
    """Measure a worker with an empty queue."""
    import psycopg

    with serving(work, database=database, server="http://127.0.0.1:9", hooks=None) as worker:
        # DBOS looks for schedules each second in its first minute, later each half minute.
        time.sleep(65.0 if seconds > 10 else 3.0)
        process = psutil.Process(worker.pid)
        before = process.cpu_times()
        queries = 0.0
        if database.startswith("postgresql"):
            queries = -_transactions(psycopg, database)
        began = time.perf_counter()
        time.sleep(seconds)
        after, passed = process.cpu_times(), time.perf_counter() - began
        if database.startswith("postgresql"):
            queries += _transactions(psycopg, database)
        used = after.user + after.system - before.user - before.system
        return {
            "cpu": 100 * used / passed,
            "queries": queries / passed,
            "rss": process.memory_info().rss / 2**20,
            "threads": process.num_threads(),
        }


def _transactions(psycopg: Any, database: str) -> float:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("select pg_stat_force_next_flush()")
        time.sleep(1.5)  # until the other connections have flushed their statistics
        (count,) = connection.execute(
            "select xact_commit + xact_rollback from pg_stat_database "
            "where datname = current_database()"
        ).fetchone()
        return float(count)


@contextmanager
def _database(server: Any) -> Iterator[str]:
    url = server.create()
    try:
        yield url
    finally:
        server.drop(url)


def ask(settings: Settings) -> Answer:
    known, skipped = field_of({"plain DBOS": "dbos"})
    if skipped:
        return Answer((), skipped=skipped)
    from examples.durable.postgres import NoPostgresError, postgres

    items, rounds = settings.pick(ITEMS, 200), settings.pick(5, 1)
    waits, deaths, quiet = settings.pick(100, 8), settings.pick(6, 1), settings.pick(30.0, 3.0)
    try:
        with postgres() as server:

            def run(measure: Callable[..., Any], *given: Any, **more: Any) -> Any:
                with _database(server) as database:
                    return measure(database, *given, **more)

            rates = [
                {
                    "ours": run(rate, items, ours=True),
                    "alone": run(rate, items, ours=True, number=1),
                    "plain": run(rate, items, ours=False),
                }
                for _ in range(rounds)
            ]
            handed_in = [run(hand_in_rates, settings.pick(20_000, 2_000)) for _ in range(rounds)]
            lags = sorted(run(latencies, waits))
            took = run(takeovers, deaths)
            at_rest = run(idle, quiet)
            backlogs = settings.pick((1_000, 10_000, 100_000), (1_000, 4_000))
            paces = {n: run(behind, n, JOB, settings.pick(20.0, 6.0)) for n in backlogs}
            full = run(behind, backlogs[-1], *settings.pick((15.0, 60.0), (2.0, 8.0)))
    except NoPostgresError as error:
        return Answer((), skipped={"PostgreSQL": str(error)})
    ours, single, plain = ([one[name] for one in rates] for name in ("ours", "alone", "plain"))
    figures = (
        Figure.spread("rate_ratio", f"items a second with {WORKERS} workers, against plain DBOS",
                      Spread.of_ratios([o["rate"] for o in ours], [p["rate"] for p in plain]),
                      "×", at_least=0.7),
        Figure.spread("workers_ratio", f"items a second with {WORKERS} workers, against one",
                      Spread.of_ratios([o["rate"] for o in ours], [a["rate"] for a in single]),
                      "×", at_least=settings.pick(0.95, 0.7)),
        Figure.spread("rate", "items a second", Spread.of([one["rate"] for one in ours])),
        Figure.spread("plain_rate", "of plain DBOS", Spread.of([one["rate"] for one in plain])),
        Figure.spread("cpu", "CPU of the workers, an item",
                      Spread.of([one["cpu"] for one in ours]), "ms"),
        Figure.spread("plain_cpu", "of plain DBOS", Spread.of([p["cpu"] for p in plain]), "ms"),
        Figure("most", "jobs at once, of 50 allowed", max(one["most"] for one in ours),
               at_most=CAP),
        Figure("polls", "status requests an item, with webhooks",
               statistics.median(one["polls"] for one in ours)),
        Figure.spread("entered", "texts handed in a second by submit_many",
                      Spread.of([one["many"] for one in handed_in]), at_least=3000),
        Figure.spread("entered_singly", "the same one by one",
                      Spread.of([one["singly"] for one in handed_in])),
        Figure.spread("entered_ratio", "submit_many against one by one",
                      Spread.of_ratios([one["many"] for one in handed_in],
                                       [one["singly"] for one in handed_in]), "×"),
        Figure("slope", f"pace of one worker behind {backlogs[0]:,} to {backlogs[-1]:,} "
               "conversations: slope of its logarithm",
               slope({n: one["rate"] for n, one in paces.items()}), at_least=-0.03),
        *(Figure(f"behind_{n}", f"items a second of one worker behind {n:,} conversations",
                 one["rate"]) for n, one in paces.items()),
        Figure("commits", "transactions an item, all of the database",
               min(one["commits"] for one in paces.values()), at_most=12),
        Figure("alone_cpu", "CPU of one worker, an item",
               min(one["cpu"] for one in paces.values()), "ms", at_most=12),
        Figure("used", f"of the account's limit, used behind {backlogs[-1]:,} conversations",
               100 * full["used"], "%", at_least=settings.pick(95, 80)),
        Figure("woken", "webhook in one process to a waiter in another, median",
               1e3 * statistics.median(lags), "ms", at_most=100),
        Figure("woken_p95", "p95 of it", 1e3 * lags[int(len(lags) * 0.95)], "ms"),
        Figure.spread("take_over", "killed to taken over and ended, in times to live",
                      Spread.of([one / WORKER_TIMEOUT for one in took]), "×", at_most=2.0),
        Figure("idle_cpu", "an idle worker: CPU", at_rest["cpu"], "%"),
        Figure("idle_queries", "its transactions a second", at_rest["queries"],
               at_most=settings.pick(5, 10)),
        Figure("idle_rss", "its memory", at_rest["rss"], "MiB"),
        Figure("idle_threads", "its threads", at_rest["threads"]),
    )  # fmt: skip
    return Answer(figures, contenders=known, data={"lags": lags, "took": took})


def draw(axes: Any, data: Mapping[str, Any]) -> None:
    lags = [1e3 * lag for lag in data["lags"]]
    axes.plot(lags, [100 * (rank + 1) / len(lags) for rank in range(len(lags))],
              color="#2a6fdb", linewidth=2.5)  # fmt: skip
    bar, median = 100.0, statistics.median(lags)
    axes.axvline(bar, color="#999999", linestyle="--")
    axes.annotate("the bar, for half of them", (bar, 50), (-6, 0), textcoords="offset points",
                  ha="right", color="#666666")  # fmt: skip
    axes.plot([median], [50], "o", color="#2a6fdb")
    axes.annotate(f"half within {median:.0f} ms", (median, 50), (8, -12),
                  textcoords="offset points")  # fmt: skip
    axes.set_xlim(0, max(1.05 * bar, lags[-1]))
    axes.set_xlabel("milliseconds from the webhook call to whoever waits for the result")
    axes.set_ylabel("% of the items")
    axes.set_title("A webhook in one process, a worker in a second, a waiter in a third")


QUESTION = Question(
    "durable",
    "An outbox in PostgreSQL, and four workers",
    f"{ITEMS} appends to {CONVERSATIONS} conversations, jobs of {JOB:g} s, at most {CAP} at once, "
    "four workers on two cores, all on one machine with the database. Plain DBOS does the same "
    "number of steps on the same kind of queue (limit, partitions, priority), sends with bare "
    "aiohttp and has no tables of its own: no intent before the last byte, no heartbeat, no "
    f"takeover. A takeover is measured with a timeout of {WORKER_TIMEOUT:g} s, from kill -9 to the "
    "end of a job that the dead worker followed. Four workers have no more cores than one has: "
    "where one is fast enough to use both with the database, four are slower than it. On a machine "
    "of a third of the speed the ratio was 1.0.",
    ask,
    draw,
)
