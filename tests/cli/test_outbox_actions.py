"""What operators do with a worker and its database: probes, metrics, flags, statistics."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import attrs
import pytest
from sqlalchemy import event

from symbl_aio import ConfigurationError, Credentials, Text
from symbl_aio.cli import outbox_commands as words
from symbl_aio.cli import worker_probes
from symbl_aio.cli.worker_probes import Address, Exporter, WorkerMonitor
from symbl_aio.contrib.service_outbox import Durable
from symbl_aio.durable import ItemState, Outbox, OutboxStats, Worker
from symbl_aio.testing import LocalSymbl
from tests.cli.test_outbox_commands import outbox, running, shell, url, working
from tests.durable.openmetrics import Family, parse
from tests.shell import Shell

__all__ = ["outbox", "shell", "url"]  # fixtures

OF = frozenset({("schema", "symbl_aio"), ("queue", "symbl")})


async def get(url: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text(), answer.headers["Content-Type"]


def value(families: dict[str, Family], name: str) -> float:
    return families[name].samples[OF]


# Probes and metrics


async def test_a_worker_has_probes_and_metrics_at_one_address(
    shell: Shell, server: LocalSymbl, outbox: Outbox, unused_tcp_port: int
) -> None:
    await outbox.submit(Text("Hello."), key="monday")
    server.hold_jobs()
    there = f"http://127.0.0.1:{unused_tcp_port}"
    options = ("--health", str(unused_tcp_port), "--prometheus", f"127.0.0.1:{unused_tcp_port}")
    async with running(shell, *options, "--concurrency", "7"):
        await server.until(lambda: server.unfinished == 1)
        alive = await get(f"{there}/healthz")
        ready = await get(f"{there}/readyz")
        metrics = await get(f"{there}/metrics")

    assert (alive[:2], ready[:2]) == ((200, "alive\n"), (200, "ready\n"))
    assert metrics[2].startswith("application/openmetrics-text; version=1.0.0")
    families = parse(metrics[1])
    assert value(families, "symbl_outbox_up") == value(families, "symbl_worker_ready") == 1
    assert value(families, "symbl_outbox_slots") == 7
    assert value(families, "symbl_outbox_slots_used") == 1
    assert "secret" not in metrics[1]
    assert "monday" not in metrics[1]


async def test_a_worker_that_could_not_say_that_it_lives_is_not_ready(
    server: LocalSymbl, url: str, unused_tcp_port: int
) -> None:
    async with (
        working(server, url, worker_timeout=30.0) as worker,
        WorkerMonitor(worker, health=str(unused_tcp_port), prometheus=None),
    ):
        probe = f"http://127.0.0.1:{unused_tcp_port}/readyz"
        before = await get(probe)
        assert worker._heartbeat is not None
        worker._heartbeat._worker_timeout = 0.0
        silent = await get(probe)
        alive = await get(probe.replace("ready", "health"))
        nothing = await get(probe.replace("readyz", "metrics"))
    assert (before[0], silent[0], alive[0], nothing[0]) == (200, 503, 200, 404)


async def test_a_worker_that_stops_or_never_started_is_not_ready(
    server: LocalSymbl, url: str
) -> None:
    never = Worker(url, Credentials("app", "secret"))
    assert not never.is_ready
    with pytest.raises(ConfigurationError, match="start"):
        await never.stats()
    async with working(server, url) as worker:
        assert worker.is_ready
    assert not worker.is_ready
    with pytest.raises(ConfigurationError, match="start"):
        await worker.stats()


def break_off(*_: object) -> None:
    raise sqlite3.OperationalError("disk I/O error")


async def test_metrics_say_that_the_database_is_away(
    server: LocalSymbl, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with working(server, url) as worker:
        exporter = Exporter(worker, schema="symbl_aio", queue="symbl")
        there = parse(await exporter.text())
        again = parse(await exporter.text())
        monkeypatch.setattr(worker_probes, "_MIN_AGE", 0.0)
        monkeypatch.setattr(worker_probes, "_AGE_FACTOR", 0.0)
        exporter._cached_until = 0.0
        event.listen(worker._database.engine, "before_cursor_execute", break_off)
        away = parse(await exporter.text())
        event.remove(worker._database.engine, "before_cursor_execute", break_off)
        back = parse(await exporter.text())
    assert there == again
    assert value(there, "symbl_outbox_up") == value(back, "symbl_outbox_up") == 1
    assert value(away, "symbl_outbox_up") == 0
    assert set(away) == {"symbl_outbox_up", "symbl_worker_ready"}


async def test_calls_at_the_same_time_are_one_question_that_may_take_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_probes, "_QUERY_TIMEOUT", 0.01)
    asked, go_on = [], asyncio.Event()

    class Slow:
        is_ready = False

        async def stats(self) -> object:
            asked.append(1)
            await go_on.wait()
            raise ConfigurationError("it stopped meanwhile")

    exporter = Exporter(Slow())  # type: ignore[arg-type]
    texts = await asyncio.gather(*(exporter.text() for _ in range(10)))
    assert len(asked) == 1
    assert {parse(text)["symbl_outbox_up"].samples[frozenset()] for text in texts} == {0}
    go_on.set()
    await exporter.aclose()


async def test_metrics_are_written_to_a_file_whole_and_taken_away_in_the_end(
    server: LocalSymbl, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_probes, "_WRITE_INTERVAL", 0.0)
    file = tmp_path / "collector" / "symbl.prom"
    file.parent.mkdir()
    async with (
        working(server, url) as worker,
        WorkerMonitor(
            worker, health=None, prometheus=str(file), schema="symbl_aio", queue="symbl"
        ) as observed,
    ):
        await observed.start_file()
        first = file.stat().st_ino
        text = file.read_text("utf-8")
        async with asyncio.timeout(20):
            while file.stat().st_ino == first:  # another file in its place, never a part
                parse(file.read_text("utf-8"))
                await asyncio.sleep(0)
        mode = stat.S_IMODE(file.stat().st_mode)
    assert value(parse(text), "symbl_outbox_up") == 1
    assert mode & 0o044 == 0o044  # a collector is another user
    assert list(file.parent.iterdir()) == []


async def test_metrics_are_written_again_after_a_fault_of_any_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that nothing replaces any more would show its last numbers for ever."""
    monkeypatch.setattr(worker_probes, "_WRITE_INTERVAL", 0.0)
    monkeypatch.setattr(worker_probes, "_MIN_AGE", 0.0)
    file = tmp_path / "symbl.prom"

    class Faulty:
        is_ready = True
        error: BaseException | None = None

        async def stats(self) -> OutboxStats:
            if self.error is not None:
                raise self.error
            return OutboxStats(counts={})

    async def until(up: int) -> None:
        while value(parse(file.read_text("utf-8")), "symbl_outbox_up") != up:  # noqa: ASYNC110
            await asyncio.sleep(0)

    worker = Faulty()
    of = {"schema": "symbl_aio", "queue": "symbl"}
    monitor = WorkerMonitor(worker, health=None, prometheus=str(file), **of)  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    async with monitor, asyncio.timeout(20):
        await monitor.start_file()
        worker.error = RuntimeError("can't start new thread")
        await until(0)
        with ThreadPoolExecutor() as full:
            full.submit(int).result()
        loop.set_default_executor(full)  # which takes no call any more
        while "cannot be written" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0)
        loop.set_default_executor(ThreadPoolExecutor())
        worker.error = None
        await until(1)
    assert "the metrics cannot be read (can't start new thread)" in caplog.text


@pytest.mark.parametrize(
    "option, given, said",
    [
        ("--health", "nonsense", "HOST:PORT"),
        ("--health", "0", "HOST:PORT"),
        ("--health", "203.0.113.1:8080", "cannot listen on 203.0.113.1:8080"),
        ("--prometheus", "no/such/directory/symbl.prom", "cannot write"),
        ("--prometheus", "{pipe}", "is no regular file"),
        ("--prometheus", "", "is no regular file"),
    ],
)
async def test_an_address_or_a_file_that_cannot_be_used_is_wrong_usage(
    shell: Shell, option: str, given: str, said: str, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    ended = await shell.end(await shell.start("worker", option, given.format(pipe=pipe)))
    assert pipe.is_fifo()
    assert ended.code == 2
    assert said in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    "text, address",
    [
        ("9464", Address("127.0.0.1", 9464)),
        ("0.0.0.0:80", Address("0.0.0.0", 80)),
        ("[::1]:80", Address("::1", 80)),
        ("65536", None),
        ("0", None),
        ("./9464", None),
        ("metrics.prom", None),
        ("/var/lib/a:80", None),
        ("", None),
    ],
)
def test_an_address_is_read(text: str, address: Address | None) -> None:
    assert Address.parse(text) == address
    if address is not None:
        assert Address.parse(str(address)) == address


# Flags


NO_SETTINGS = {"database", "credentials", "config", "observers"}


def test_every_setting_of_a_worker_has_a_flag_and_a_variable_with_its_default() -> None:
    settings = {
        name: given.default
        for name, given in inspect.signature(Worker).parameters.items()
        if name not in NO_SETTINGS
    }
    flags = {option.name: option for option in words.worker.params}
    assert settings.keys() <= flags.keys()
    for name, default in settings.items():
        flag = flags[name]
        assert flag.default == default, name
        assert flag.opts == [f"--{name.replace('_', '-')}"], name
        assert flag.envvar == f"SYMBL_AIO_{name.upper()}", name


def test_every_setting_of_a_worker_is_one_of_a_web_service_too() -> None:
    settings = {
        name: given.default
        for name, given in inspect.signature(Worker).parameters.items()
        if name not in NO_SETTINGS - {"observers"}
    }
    fields = {
        a.name: a.default for a in attrs.fields(Durable) if a.name not in ("database", "worker")
    }
    assert fields == settings


async def test_what_is_given_reaches_the_worker(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, object] = {}

    class Made(Exception):
        pass

    def worker(database: str, **settings: object) -> None:
        made.update(settings)
        raise Made

    monkeypatch.setattr("symbl_aio.durable.Worker", worker)
    shell = Shell(SYMBL_AIO_DATABASE=url, SYMBL_AIO_POLL_INTERVAL="0.7", SYMBL_AIO_SCHEMA="mine")
    given = (
        *("--heartbeat", "1", "--retention", "60"),
        *("--ambiguity-timeout", "5", "--concurrency", "3", "--wait-for-database", "4"),
    )
    ended = await shell.run("worker", *given)
    assert ended.code == 70  # an unexpected exception
    del made["config"]
    assert made == {
        "schema": "mine",
        "queue": "symbl",
        "concurrency": 3,
        "on_ambiguous": "at_most_once",
        "ambiguity_timeout": 5.0,
        "heartbeat": 1.0,
        "worker_timeout": 15.0,
        "retention": 60.0,
        "poll_interval": 0.7,
        "wait_for_database": 4.0,
    }


# Statistics, pauses and drains


async def test_statistics_are_told_to_people_and_to_machines(
    shell: Shell, server: LocalSymbl, outbox: Outbox, url: str
) -> None:
    for key in ("monday", "tuesday"):
        await outbox.submit(Text("Hello."), key=key)
    server.hold_jobs()
    async with working(server, url, concurrency=1):
        await server.until(lambda: server.unfinished == 1)
        told = await shell.run("stats", "--json")
        shown = await shell.run("stats")

    (line,) = told.lines
    assert told.code == shown.code == 0
    assert line.pop("event") == "stats"
    assert line.pop("oldest") >= 0
    assert line.pop("counts").keys() <= {"queued", "accepted"}
    assert line == {
        "waiting": 1,
        "oldest_key": "tuesday",
        "in_doubt": 0,
        "ended_in_minute": 0,
        "ended_in_hour": 0,
        "per_second": 0.0,
        "workers": 1,
        "dead": 0,
        "cap": 1,
        "cap_used": 1,
        "paused": False,
    }
    assert "slots    1 of 1 used" in shown.out
    assert "waiting  1, the oldest (tuesday) for " in shown.out
    assert "workers  1 alive, 0 dead" in shown.out


async def test_a_queue_is_paused_and_resumed_by_commands(shell: Shell, outbox: Outbox) -> None:
    paused = await shell.run("pause", "--wait")
    shown = await shell.run("stats")
    told = await shell.run("pause", "--json")
    stats = await outbox.stats()
    resumed = await shell.run("resume", "--json")

    assert (paused.code, told.code, resumed.code) == (0, 0, 0)
    assert "symbl-aio resume" in paused.out
    assert "paused" in shown.out
    assert [line["paused"] for line in (*told.lines, *resumed.lines)] == [True, False]
    assert stats.paused
    assert not (await outbox.stats()).paused


async def test_a_pause_that_waits_too_long_has_an_exit_code_and_stays(
    shell: Shell, server: LocalSymbl, outbox: Outbox, url: str
) -> None:
    await outbox.submit(Text("Hello."), key="monday")
    server.hold_jobs()
    async with working(server, url):
        await server.until(lambda: server.unfinished == 1)
        ended = await shell.run("pause", "--wait", "--timeout", "0.1")
        assert (await outbox.stats()).paused
    assert ended.code == 3
    assert "0.1 s" in ended.err


async def test_a_worker_drains_at_sigusr1(shell: Shell, server: LocalSymbl, outbox: Outbox) -> None:
    server.hold_jobs()
    await outbox.submit(Text("Hello."), key="monday")
    async with running(shell, "--concurrency", "1") as process:
        await server.until(lambda: server.unfinished == 1)
        await outbox.submit(Text("Hello."), key="tuesday")
        process.send_signal(signal.SIGUSR1)
        assert process.stdout is not None
        assert json.loads(await process.stdout.readline())["event"] == "draining"
        server.release()
        ended = await shell.end(process)

    assert ended.code == 0
    assert (await outbox.item("monday")).state is ItemState.COMPLETED
    assert (await outbox.item("tuesday")).state is ItemState.QUEUED
