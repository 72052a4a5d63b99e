"""Who is dead, who is not, and who gets what the dead had."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from symbl_aio import Config, Credentials, Text
from symbl_aio.durable import ItemState, Outbox, Worker
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.dbos import Workflows
from symbl_aio.durable.heartbeat import Heartbeat
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import Working, dispatch, said, until
from tests.support import QUICK

LONG = {"heartbeat": 0.05, "worker_timeout": 600.0}
SHORT = {"heartbeat": 0.05, "worker_timeout": 0.5}

on_postgresql = pytest.mark.parametrize(
    "database", [pytest.param("postgresql", marks=pytest.mark.durable)], indirect=True
)
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def engines_own(tables: Database) -> sa.TableClause:
    """Return DBOS's table of workflows."""
    names = ("workflow_uuid", "status", "executor_id", "owner_xid")
    return sa.table(
        "workflow_status",
        *(sa.column(name) for name in names),
        schema=None if tables.is_sqlite else tables.schema,
    )


def claim(tables: Database, worker: str, *keys: str, beat: Any = None) -> None:
    """Assign items to a worker, with the time of its last heartbeat, if any."""
    dispatch(tables)
    workflows = engines_own(tables)
    with tables.begin() as connection:
        connection.execute(
            sa.update(workflows)
            .where(workflows.c.workflow_uuid.in_([f"{key}#1" for key in keys]))
            .values(status="PENDING", executor_id=worker, owner_xid="somebody")
        )
        if beat is not None:
            connection.execute(sa.insert(tables.workers).values(id=worker, beat=beat))


def deaths(tables: Database) -> dict[str, int]:
    with tables.read() as connection:
        found = connection.execute(sa.select(tables.items.c.key, tables.items.c.deaths))
        return dict(list(found))


@on_postgresql
async def test_what_was_left_behind_is_taken_over_at_once(
    outbox: Outbox, tables: Database, working: Working
) -> None:
    await outbox.submit(Text("One."), key="one")
    claim(tables, "ghost", "one", beat=0.0)
    async with working(**LONG):
        assert (await outbox.result("one", timeout=10)).ok
    assert deaths(tables) == {"one": 0}


@on_sqlite
async def test_the_only_worker_of_a_file_waits_for_nobody(
    outbox: Outbox, tables: Database, working: Working
) -> None:
    for key in ("one", "two"):
        await outbox.submit(Text(f"{key}."), key=key)
    claim(tables, "ghost", "one", "two", beat=tables.now)
    async with working(**LONG):
        for key in ("one", "two"):
            assert (await outbox.result(key, timeout=10)).ok
    assert deaths(tables) == {"one": 1, "two": 1}


@on_postgresql
@pytest.mark.parametrize("beat", [1.0, None], ids=["silent", "unknown"])
async def test_whoever_is_silent_has_its_worker_timeout(
    outbox: Outbox, tables: Database, working: Working, beat: float | None
) -> None:
    """After an outage everybody was silent; and who is unknown was declared dead by another."""
    await outbox.submit(Text("One."), key="one")
    claim(tables, "ghost", "one", beat=beat)
    with tables.read() as connection:
        began = connection.execute(sa.select(tables.now)).scalar_one()
    async with working(**SHORT):
        item = await outbox.result("one", timeout=10)
    assert item.ok
    assert item.accepted_at is not None
    assert item.accepted_at - began >= SHORT["worker_timeout"]


@on_postgresql
async def test_who_lives_keeps_what_it_has(
    outbox: Outbox, tables: Database, working: Working
) -> None:
    for key in ("one", "two"):
        await outbox.submit(Text(f"{key}."), key=key)
    claim(tables, "alive", "one")
    heartbeat = Heartbeat(
        tables, Workflows(tables), "alive", interval=0.05, worker_timeout=60.0, alone=False
    )
    await heartbeat.register()
    beating = asyncio.create_task(heartbeat.run())
    async with working(**SHORT):
        claim(tables, "ghost", "two", beat=1.0)
        assert (await outbox.result("two", timeout=10)).ok
        assert (await outbox.item("one")).state is ItemState.QUEUED
    beating.cancel()
    await asyncio.wait([beating])


@on_postgresql
async def test_who_died_before_the_clock_was_set_back_is_taken_over_as_early(
    outbox: Outbox, tables: Database, working: Working
) -> None:
    """A whole machine may stop, and start again with another time."""
    await outbox.submit(Text("One."), key="one")
    claim(tables, "ghost", "one", beat=tables.now + 3600.0)
    async with working(**SHORT):
        assert (await outbox.result("one", timeout=10)).ok


@on_postgresql
async def test_who_is_paused_in_the_middle_of_a_note_holds_up_nobody_for_long(
    outbox: Outbox, tables: Database, working: Working
) -> None:
    await outbox.submit(Text("One."), key="one")
    claim(tables, "ghost", "one", beat=1.0)
    with pytest.raises(DBAPIError), tables.begin() as paused:
        workers = tables.workers
        mine = sa.select(workers.c.id).where(workers.c.id == "ghost")
        paused.execute(mine.with_for_update(read=True, key_share=True))
        async with working(**SHORT):
            assert (await outbox.result("one", timeout=30)).ok
        paused.execute(mine)  # its transaction is rolled back


@on_postgresql
async def test_who_died_without_work_is_forgotten(
    outbox: Outbox, tables: Database, working: Working
) -> None:
    claim(tables, "ghost", beat=1.0)
    claim(tables, "guest", beat=0.0)
    async with working(**SHORT) as worker:
        async with asyncio.timeout(10):
            while True:
                if await tables.call(partial(known, tables)) == [worker.id]:
                    break
                await asyncio.sleep(0.02)
        stats = await outbox.stats()
        assert (stats.workers, stats.dead) == (1, 0)


def known(tables: Database) -> list[str]:
    with tables.read() as connection:
        return list(connection.execute(sa.select(tables.workers.c.id)).scalars())


@on_postgresql
async def test_one_of_many_takes_over(tables: Database) -> None:
    workflows = Workflows(tables)
    watchers = [
        Heartbeat(tables, workflows, f"w{n}", interval=1.0, worker_timeout=1.0, alone=False)
        for n in range(4)
    ]
    claim(tables, "ghost", beat=1.0)
    took = [tables.call(lambda w=w: w._evict("ghost", False)) for w in watchers]  # type: ignore[misc]
    assert Counter(await asyncio.gather(*took)) == Counter({1.0: 1, None: 3})
    # Who came too late has entered it again, in case the winner dies before taking over.
    (entered,) = await tables.call(partial(beats, tables))
    assert entered < -1.0
    assert await tables.call(lambda: watchers[0]._evict("ghost", False)) is None


def beats(tables: Database) -> list[float]:
    with tables.read() as connection:
        return list(connection.execute(sa.select(tables.workers.c.beat)).scalars())


async def test_what_was_claimed_and_never_begun_is_queued_again(
    outbox: Outbox, tables: Database, database: str, server: LocalSymbl
) -> None:
    credentials = Credentials(server.app_id, server.app_secret)
    config = Config(base_url=server.base_url, **QUICK)
    worker = Worker(database, credentials, config=config, heartbeat=0.05, worker_timeout=0.5)
    await outbox.submit(Text("One."), key="one")
    # As if the reply to a claim had got lost with its connection.
    claim(tables, worker.id, "one")
    async with worker:
        assert (await outbox.result("one", timeout=10)).ok


async def test_what_the_engine_broke_off_is_begun_anew(
    outbox: Outbox, tables: Database, working: Working, server: LocalSymbl
) -> None:
    for key in ("one", "two", "three"):
        await outbox.submit(Text(f"{key}."), key=key)
    dispatch(tables)
    workflows = engines_own(tables)
    with tables.begin() as connection:
        for key, status in (("one", "ERROR"), ("two", "CANCELLED")):
            connection.execute(
                sa.update(workflows)
                .where(workflows.c.workflow_uuid == f"{key}#1")
                .values(status=status)
            )
    async with working():
        for key in ("one", "two", "three"):
            assert (await until(outbox, key, ItemState.COMPLETED)).ok
    assert sorted(said(server)) == ["one.", "three.", "two."]
    with tables.read() as connection:
        found = connection.execute(sa.select(tables.items.c.key, tables.items.c.attempt))
        assert dict(list(found)) == {"one": 2, "two": 2, "three": 1}


async def test_who_was_taken_for_dead_stops_and_the_next_one_goes_on(
    outbox: Outbox, tables: Database, working: Working, server: LocalSymbl
) -> None:
    server.hold_jobs()
    async with working(**SHORT) as worker:
        await outbox.submit(Text("One."), key="one")
        await until(outbox, "one", ItemState.ACCEPTED)
        with tables.begin() as connection:
            connection.execute(sa.delete(tables.workers).where(tables.workers.c.id == worker.id))
        await worker.wait_until_dead()
        await worker._inside(worker._stop(0.0))  # which it does by itself
        await outbox.submit(Text("Two."), key="two")
        server.release()
    async with working(**SHORT):
        for key in ("one", "two"):
            assert (await outbox.result(key, timeout=10)).ok
    assert said(server) == ["One.", "Two."]
