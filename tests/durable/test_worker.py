"""A worker inside a program: its start, its end, and the program afterwards."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS

from symbl_aio import Config, ConfigurationError, Credentials, OutboxUnavailableError, Text
from symbl_aio.durable import Entry, ItemState, Outbox, Worker
from symbl_aio.durable.heartbeat import WorkerLock
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import Working, said, until
from tests.durable.test_dispatch import counted
from tests.support import QUICK

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def another(database: str, server: LocalSymbl) -> Worker:
    credentials = Credentials(server.app_id, server.app_secret)
    return Worker(database, credentials, config=Config(base_url=server.base_url))


async def test_the_programs_own_threads_work_on_after_one_worker_and_another(
    outbox: Outbox, working: Working
) -> None:
    before = set(threading.enumerate())
    for key in ("one", "two"):
        async with working():
            await outbox.submit(Text(f"{key}."), key=key)
            assert (await outbox.result(key, timeout=10)).ok
            await asyncio.to_thread(time.sleep, 0)
        assert await asyncio.to_thread(lambda: 1 + 1) == 2
    left = {t.name for t in threading.enumerate() if t not in before and not t.daemon}
    assert not {name for name in left if "dbos" in name or "symbl_aio worker" in name}


async def test_a_callers_function_that_exits_ends_no_worker(
    outbox: Outbox, database: str, server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    """In a thread ``sys.exit()`` would end its event loop, silently."""
    calls = 0

    async def provider() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise SystemExit("no vault")
        return server._tokens.current().value

    def observer(_event: object) -> None:
        raise SystemExit("no metrics")

    config = Config(base_url=server.base_url, **QUICK)
    await outbox.submit(Text("One."), key="one")
    async with Worker(database, provider, config=config, observers=[observer]) as worker:
        assert (await outbox.result("one", timeout=20)).ok
        assert worker.is_ready
    assert "an observer failed" in caplog.text


async def test_an_item_costs_a_worker_few_statements(outbox: Outbox, working: Working) -> None:
    number = 40
    async with working(poll_interval=5.0) as worker:
        await outbox.submit(Text("Warm."), key="warm")
        await outbox.result("warm", timeout=10)
        with counted(worker._database) as seen:
            await outbox.submit_many(Entry(f"c{n}", Text(f"We ship {n}.")) for n in range(number))
            for n in range(number):
                assert (await outbox.result(f"c{n}", timeout=30)).ok
    # On PostgreSQL those of DBOS are among them: three for a workflow from its start to its end.
    of_items = [one for one in seen if "symbl_worker" not in one or "sent_by" in one]
    assert len(of_items) / number <= 12
    reads = [one for one in seen if one.lstrip().lower().startswith("select") and "nonce" in one]
    assert len(reads) <= 2  # the dispatcher returns the items, and no step reads one again


async def test_what_runs_when_it_stops_goes_on_at_once_with_the_next_one(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    server.hold_jobs()
    keys = [f"item-{n}" for n in range(5)]
    async with working():
        for key in keys:
            await outbox.submit(Text(f"{key}."), key=key)
        for key in keys:
            await until(outbox, key, ItemState.ACCEPTED)
        stopping = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - stopping < 2.0
    server.release()
    async with working():  # with a worker timeout of 15 s
        for key in keys:
            assert (await outbox.result(key, timeout=5)).ok
    assert sorted(said(server)) == [f"{key}." for key in keys]


async def test_an_upload_that_has_started_is_waited_for(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    server.inject("slow:0.2", on="POST")
    async with working():
        await outbox.submit(Text("One."), key="one")
        await server.until(lambda: server.jobs)
    item = await outbox.item("one")
    assert (item.state, item.job_id) == (ItemState.ACCEPTED, next(iter(server.jobs)))


@on_sqlite
async def test_a_process_has_one_worker(
    database: str, working: Working, server: LocalSymbl, tmp_path: Path
) -> None:
    async with working():
        second = another(f"sqlite:///{tmp_path / 'other.db'}", server)
        with pytest.raises(ConfigurationError, match="runs a worker, or DBOS, already"):
            await second.start()
        await second.aclose()
    async with second:
        pass


@on_sqlite
async def test_a_file_has_one_worker(
    database: str, working: Working, server: LocalSymbl, tmp_path: Path
) -> None:
    lock = WorkerLock(tmp_path / "outbox.db")  # as another process has it
    worker = another(database, server)
    with pytest.raises(ConfigurationError, match="an SQLite file has one; use PostgreSQL"):
        await worker.start()
    lock.release()
    async with worker:
        with pytest.raises(ConfigurationError):
            WorkerLock(tmp_path / "outbox.db")
    WorkerLock(tmp_path / "outbox.db").release()


@on_sqlite
async def test_a_program_that_runs_the_engine_for_itself_runs_the_worker_elsewhere(
    database: str, server: LocalSymbl, tmp_path: Path
) -> None:
    DBOS(
        config={
            "name": "somebody-elses",
            "system_database_url": f"sqlite:///{tmp_path / 'own.db'}",
            "log_level": "CRITICAL",
        }
    )
    try:
        with pytest.raises(ConfigurationError, match="run symbl-aio worker beside it"):
            await another(database, server).start()
    finally:
        DBOS.destroy()
    async with another(database, server):
        pass


@on_sqlite
async def test_a_worker_that_cannot_start_leaves_its_place_to_another(
    database: str, server: LocalSymbl
) -> None:
    nowhere = another("postgresql://somebody@127.0.0.1:9/nowhere", server)
    with pytest.raises(
        OutboxUnavailableError, match=r"127\.0\.0\.1:9/nowhere' cannot be used \(.*refused"
    ):
        await nowhere.start()
    await nowhere.aclose()
    starting = asyncio.create_task((given_up := another(database, server)).start())
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    async with another(database, server):
        pass
    await given_up.aclose()


@on_sqlite
async def test_who_gives_up_waiting_for_the_end_does_not_stop_it(
    database: str, outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    server.inject("slow:0.3", on="POST")
    async with working() as worker:
        await outbox.submit(Text("One."), key="one")
        await server.until(lambda: server.jobs)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await worker.aclose()
    assert (await outbox.item("one")).state is ItemState.ACCEPTED
    async with another(database, server):
        pass


async def test_a_file_that_cannot_be_there_is_told_by_name(
    tmp_path: Path, server: LocalSymbl
) -> None:
    (tmp_path / "file").touch()
    for start in (
        another(f"sqlite:///{tmp_path}/file/outbox.db", server).start,
        Outbox(f"sqlite:///{tmp_path}/file/outbox.db").start,
        another(f"sqlite:///{tmp_path}", server).start,
    ):
        with pytest.raises(OutboxUnavailableError, match=str(tmp_path)):
            await start()


@pytest.mark.parametrize("timeout", ["5", float("nan"), True])
async def test_a_wrong_timeout_is_refused_before_anything_changes(
    outbox: Outbox, working: Working, timeout: Any
) -> None:
    async with working() as worker:
        for call in (
            outbox.pause(wait=True, timeout=timeout),
            worker.drain(timeout),
            worker.aclose(timeout),
        ):
            with pytest.raises(ConfigurationError, match="timeout is "):
                await call
        assert not (await outbox.stats()).paused
        assert worker.is_ready
