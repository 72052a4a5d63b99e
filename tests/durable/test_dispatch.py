"""The account's slots: never too many through deploys and kills, oldest first, by priority."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from examples.durable.postgres import Postgres
from symbl_aio import ConfigurationError, Text
from symbl_aio.durable import Entry, ItemFilter, ItemState, Outbox, Worker, stats
from symbl_aio.durable._database import dbos, schema
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._store import queue_control
from symbl_aio.durable._store.attempt_records import AttemptRecords
from symbl_aio.durable._store.slots import Slots
from symbl_aio.durable.items import Attempt
from symbl_aio.testing import LocalSymbl
from tests.durable.chaos import WORKER_TIMEOUT, Scene, in_conversations, scene
from tests.durable.chaos import said as to_say
from tests.durable.conftest import KINDS, NAMELESS, Working, dispatch, said, until

CAP = 10
HERE = Path(__file__).parent


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """Collect the statements that a database executes within the block."""
    seen: list[str] = []

    def note(*given: object) -> None:
        seen.append(str(given[2]))

    sa.event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", note)


# Through deploys and kills


async def followed(found: Scene, jobs: list[str]) -> None:
    """Wait until a worker has asked for each of these jobs since now."""
    async with asyncio.timeout(2 * WORKER_TIMEOUT):
        await found.server.ask("asked", jobs)


async def check(found: Scene) -> None:
    seen = await found.server.ask("seen")
    assert len(seen["accepted"]) == seen["most"] == CAP
    await followed(found, [job for _, _, job in seen["accepted"]])


@pytest.mark.timeout(180)
@pytest.mark.parametrize("way", ["stopped", "killed"])
@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_no_more_jobs_than_slots_and_each_is_followed(database: str, way: str) -> None:
    """Jobs outlive their workers here, and a backlog waits behind them."""
    workers = 1 if database.startswith("sqlite") else 2
    conversations = 30 if database.startswith("sqlite") else 300
    async with scene(database, webhooks=False, concurrency=CAP) as found:
        await found.hand_in(in_conversations(conversations, 1), to_say)
        await found.server.ask("hold")
        await asyncio.gather(*(found.add_worker() for _ in range(workers)))
        for number in range(CAP):  # recorded, so that no kill leaves one in doubt
            await until(found.outbox, f"c{number:03}", ItemState.ACCEPTED)
        for victim in range(2):
            number = victim % workers
            worker = found.workers[number]
            assert worker is not None
            if way == "stopped":
                found.workers[number] = None
                assert await worker.stop() == 0
            else:
                await found.kill(number)
            await found.restart(number)
            await check(found)
        await found.server.ask("release")
        ledger = await found.finish()
    assert (ledger.lost, ledger.duplicates, ledger.most) == (0, 0, CAP)
    assert ledger.states == {"completed": conversations}


@pytest.mark.durable
@pytest.mark.timeout(180)
@pytest.mark.parametrize("ahead", [3600.0, -3600.0], ids=["fast", "slow"])
@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_a_worker_whose_clock_is_wrong_holds_nothing_up(database: str, ahead: float) -> None:
    """Only the database's clock counts: the items of the dead worker are taken over as early."""
    async with scene(database, webhooks=True, concurrency=CAP) as found:
        await found.server.ask("inject", "accept_then_status:502", "/v1/process/", 2)
        await found.hand_in(in_conversations(6, 2), to_say)
        await found.server.ask("hold")
        await found.add_worker(ahead=ahead)
        await found.until("accepted", 6)
        await found.kill(0)
        await found.add_worker()
        await found.server.ask("release")
        ledger = await found.finish()
    assert (ledger.lost, ledger.duplicates, ledger.inversions) == (0, 0, 0)
    assert ledger.states == {"completed": 12}


# Whose turn it is


async def test_items_get_slots_in_the_order_of_handing_in_and_by_priority(
    outbox: Outbox, tables: Database
) -> None:
    for number in range(6):
        await outbox.submit(Text("Bulk."), key=f"bulk-{number}", priority=-1)
    for number in range(3):
        await outbox.submit(Text("Live."), key=f"live-{number}")
    await outbox.submit(Text("Now."), key="now", priority=5)
    order = []
    while dispatch(tables, cap=2):
        holders = await tables.call(lambda: holding(tables))
        order += holders
        for key in holders:
            AttemptRecords(tables, "w").record_end(Attempt(key, 1), ItemState.COMPLETED, None)
    assert order == ["now", *(f"live-{n}" for n in range(3)), *(f"bulk-{n}" for n in range(6))]


def holding(tables: Database) -> list[str]:
    """Return the keys of those that hold a slot, in the order in which they are chosen."""
    table = tables.items
    held = sa.select(table.c.key).where(table.c.slot_at.is_not(None))
    with tables.read() as connection:
        found = connection.execute(held.order_by(table.c.priority.desc(), table.c.id))
        return list(found.scalars())


@pytest.mark.parametrize("priority", [True, 1.0, "1", None, 1001, -1001])
async def test_a_priority_is_a_small_whole_number(outbox: Outbox, priority: int) -> None:
    with pytest.raises(ConfigurationError, match="priority"):
        await outbox.submit(Text("One."), priority=priority)


@pytest.mark.durable
async def test_many_who_wait_do_not_keep_up_a_live_one(
    outbox: Outbox, tables: Database, working: Working, server: LocalSymbl
) -> None:
    await hand_in_at_once(outbox, tables, 3000)
    for number in range(8):
        await outbox.submit(Text(f"Live {number}."), key=f"live-{number}", priority=1)
    server.hold_jobs()
    async with working(concurrency=8):
        for number in range(8):
            await until(outbox, f"live-{number}", ItemState.ACCEPTED)
        assert len(server.jobs) == 8
        assert (await outbox.stats()).counts == {ItemState.QUEUED: 3000, ItemState.ACCEPTED: 8}


async def hand_in_at_once(outbox: Outbox, tables: Database, number: int) -> None:
    """Hand in one item, and copy it to so many conversations."""
    await outbox.submit(Text("Bulk."), key="bulk-0")
    items, conversations = tables.items, tables.conversations
    with tables.begin() as connection:
        row = dict(connection.execute(sa.select(items)).one()._mapping)
        del row["id"]
        keys = [f"bulk-{n}" for n in range(1, number)]
        new = [{**row, "key": key, "conversation": key, "nonce": key} for key in keys]
        connection.execute(sa.insert(conversations), [{"name": key, "last": 1} for key in keys])
        connection.execute(sa.insert(items), new)


async def test_the_job_that_a_person_names_holds_a_slot_beyond_the_cap(
    outbox: Outbox, tables: Database
) -> None:
    for key in ("one", "two", "three"):
        await outbox.submit(Text(key), key=key)
    assert dispatch(tables, cap=1) == 1
    AttemptRecords(tables, "w").record_end(Attempt("one", 1), ItemState.AMBIGUOUS, "nobody knows")
    assert dispatch(tables, cap=1) == 1  # an ambiguous item releases its slot
    await outbox.resolve("one", accepted=True, conversation_id="7", job_id="8")
    assert dispatch(tables, cap=1) == 1
    assert holding(tables) == ["one", "two"]
    AttemptRecords(tables, "w").record_end(Attempt("one", 2), ItemState.COMPLETED, None)
    assert dispatch(tables, cap=1) == 0
    AttemptRecords(tables, "w").record_end(Attempt("two", 1), ItemState.FAILED, "no")
    assert dispatch(tables, cap=1) == 1
    assert holding(tables) == ["three"]


# A slot that is passed on


async def ended(tables: Database, key: str, running: int | None = 1) -> str | None:
    """End an item as completed; return the key of the item that got its slot."""
    end = partial(AttemptRecords(tables, "w").record_end, Attempt(key, 1), ItemState.COMPLETED)
    following = (await tables.call(lambda: end(None, running))).following
    return None if following is None else str(following.key)


async def test_a_slot_is_passed_on_by_priority_and_to_the_next_of_the_conversation(
    outbox: Outbox, tables: Database
) -> None:
    for key in ("one", "two"):
        await outbox.append("9", Text(key), key=key)
    assert dispatch(tables, cap=1) == 1
    assert await ended(tables, "one") == "two"
    await outbox.append("8", Text("late"), key="late")
    await outbox.append("7", Text("live"), key="live", priority=1)
    assert await ended(tables, "two") == "live"
    assert await ended(tables, "live") == "late"
    assert holding(tables) == ["late"]
    assert await ended(tables, "late") is None
    assert holding(tables) == []


@pytest.mark.parametrize("obstacle", ["paused", "lowered", "leaving", "share", "under way"])
async def test_a_slot_that_is_not_ours_to_pass_on_is_freed(
    outbox: Outbox, tables: Database, obstacle: str
) -> None:
    for number in range(4):
        await outbox.append(str(number), Text("We ship."), key=f"k{number}")
    await outbox.append("9", Text("Sent."), key="sent")
    assert dispatch(tables, cap=2) == 2
    if obstacle == "paused":
        await outbox.pause()
    elif obstacle == "lowered":
        queue_control.set_cap(tables, 1)
    elif obstacle == "share":
        register(tables, "w", "other")
    elif obstacle == "under way":
        change(tables, "sent", sent_by="w/1")
    running = {"leaving": None, "share": 2}.get(obstacle, 1)
    assert await ended(tables, "k0", running) is None
    assert holding(tables) == ["k1"]


def register(tables: Database, *workers: str) -> None:
    with tables.begin() as connection:
        for worker in workers:
            row = {"id": worker, "beat": tables.now, "time_to_live": 60.0}
            row["queue"] = tables.queue_name
            connection.execute(sa.insert(tables.workers).values(row))


def change(tables: Database, key: str, **values: object) -> None:
    with tables.begin() as connection:
        connection.execute(sa.update(tables.items).where(tables.items.c.key == key).values(values))


async def test_items_that_end_at_once_pass_their_slots_on_to_different_ones(
    outbox: Outbox, tables: Database
) -> None:
    await hand_in_at_once(outbox, tables, 40)
    assert dispatch(tables, cap=10) == 10
    before = holding(tables)
    after = await asyncio.gather(*(ended(tables, key, 10) for key in before))
    assert sorted(map(str, after)) == sorted(holding(tables))
    assert len(set(after)) == 10
    assert not {*before} & {*after}


async def test_a_worker_goes_on_without_a_dispatch_for_each_item(
    outbox: Outbox, tables: Database, working: Working
) -> None:
    """The poll interval is a minute: a slot that was lost between two items would be noticed."""
    await outbox.submit(Text("We begin."), key="first")
    for number in range(12):
        await outbox.append("first", Text(f"Number {number}."), key=f"k{number}")
    async with working(concurrency=1, poll_interval=60.0) as worker:
        with counted(worker._database) as seen:
            last = await outbox.result("k11", timeout=30)
    assert last.ok
    dispatches = [one for one in seen if one.lower().startswith("select case")]
    assert len(dispatches) <= 2


@contextmanager
def before_the_commit(
    worker: Worker, meanwhile: Callable[[], Coroutine[Any, Any, None]]
) -> Iterator[None]:
    """Run ``meanwhile`` on the worker's loop, when it has passed its first slot on."""
    first = threading.Event()

    def wait(*given: Any) -> None:
        if ") * (SELECT count" in given[2] and not first.is_set():
            first.set()
            asyncio.run_coroutine_threadsafe(meanwhile(), worker._loop).result(30)

    sa.event.listen(worker._database.engine, "after_cursor_execute", wait)
    yield
    assert first.is_set()


async def test_a_slot_that_is_passed_on_while_the_worker_stops_is_free_at_once(
    outbox: Outbox, tables: Database, working: Working
) -> None:
    """The task that would start the next item is cancelled before the slot is committed."""
    for key in ("one", "two"):
        await outbox.submit(Text("We ship."), key=key)
    stopping = asyncio.Event()
    here = asyncio.get_running_loop()
    async with working(concurrency=1) as worker:
        assert worker._workflows is not None
        active = worker._workflows.active

        async def stop() -> None:
            here.call_soon_threadsafe(stopping.set)
            await asyncio.wait([task for tasks in active.values() for task in tasks])

        with before_the_commit(worker, stop):
            await asyncio.wait_for(stopping.wait(), 30)
            await worker.aclose(0.0)
    assert holding(tables) == []
    assert (await outbox.item("one")).ok


async def test_a_worker_that_drains_starts_nothing_whose_slot_was_passed_on_just_then(
    outbox: Outbox, tables: Database, working: Working, server: LocalSymbl
) -> None:
    for key in ("one", "two"):
        await outbox.submit(Text(key), key=key)
    draining: list[asyncio.Task[None]] = []
    async with working(concurrency=1) as worker:

        async def drain() -> None:
            draining.append(asyncio.create_task(worker._drain()))
            await asyncio.sleep(0)  # its first step

        with before_the_commit(worker, drain):
            await outbox.result("one", timeout=30)
            await worker.drain()
    assert said(server) == ["one"]
    assert holding(tables) == []


@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_a_worker_that_drains_leaves_its_share_to_the_others(
    outbox: Outbox, tables: Database, working: Working, server: LocalSymbl
) -> None:
    """Its own job may run for an hour: the others use all other slots meanwhile."""
    server.hold_jobs()
    async with working(concurrency=10) as worker:
        await outbox.submit(Text("We ship."), key="its own")
        await until(outbox, "its own", ItemState.ACCEPTED)
        assert worker._heartbeat is not None
        draining = asyncio.create_task(worker.drain())
        await asyncio.sleep(0)  # its first step
        assert await worker._inside(worker._heartbeat.is_answered(20))  # a heartbeat, now
        with tables.begin() as connection:
            another = {"id": "another", "beat": tables.now, "time_to_live": 60.0}
            connection.execute(sa.insert(tables.workers).values(another))
        for number in range(12):
            await outbox.submit(Text("We ship."), key=f"another's {number}")
        assert len(Slots(tables).fill()) == 9
        server.release()
        async with asyncio.timeout(20):
            await draining


async def test_a_slot_that_an_item_got_since_then_is_not_released(
    outbox: Outbox, tables: Database
) -> None:
    """As by a second worker that found the first slot stranded, too, and was a moment later."""
    await outbox.submit(Text("We ship."), key="one")
    queue_control.set_cap(tables, 1)
    slots = Slots(tables)
    stranded = {Attempt("one", 1): slots.fill()[0].slot_at}
    assert slots.release(stranded) == 1
    assert len(slots.fill()) == 1
    assert slots.release(stranded) == 0
    assert holding(tables) == ["one"]


ENDINGS = [ItemState.COMPLETED, ItemState.FAILED, ItemState.LOST, ItemState.REFUSED]


@pytest.mark.parametrize("ending", [*ENDINGS, ItemState.DISCARDED], ids=lambda one: one.value)
async def test_however_an_item_ends_the_next_of_its_conversation_is_ready(
    outbox: Outbox, tables: Database, ending: ItemState
) -> None:
    for key in ("two", "three"):
        await outbox.append("9", Text(key), key=key)
    assert dispatch(tables) == 1
    assert dispatch(tables) == 0
    if ending is ItemState.DISCARDED:
        await outbox.discard("two")
    else:
        AttemptRecords(tables, "w").record_end(Attempt("two", 1), ending, None)
    assert dispatch(tables) == 1
    assert holding(tables) == ["three"]


async def test_an_earlier_item_that_is_sent_again_goes_before_what_has_no_slot(
    outbox: Outbox, tables: Database
) -> None:
    for key in ("one", "two", "three"):
        await outbox.append("9", Text(key), key=key)
    dispatch(tables)
    AttemptRecords(tables, "w").record_end(Attempt("one", 1), ItemState.FAILED, "no")
    await outbox.retry("one")
    dispatch(tables)
    assert holding(tables) == ["one"]
    AttemptRecords(tables, "w").record_end(Attempt("one", 2), ItemState.FAILED, "no")
    dispatch(tables)
    await outbox.retry("one")
    dispatch(tables)
    assert holding(tables) == ["two"]  # it is being sent, and no item overtakes it


# A long backlog


class Steps:
    """Counts the steps of SQLite's own machine, which no other load of this one changes."""

    def __init__(self, tables: Database) -> None:
        self._counted = 0
        sa.event.listen(
            tables.engine, "connect", lambda made, _: made.set_progress_handler(self._count, 10)
        )

    def _count(self) -> None:
        self._counted += 1

    def of(self, work: Callable[[], object]) -> int:
        before = self._counted
        work()
        return self._counted - before


@pytest.mark.heavy
async def test_a_slot_costs_as_little_behind_a_long_backlog(sqlite_database: str) -> None:
    tables = Database(sqlite_database)
    steps = Steps(tables)
    queue_control.set_cap(tables, 5)
    slots, records = Slots(tables), AttemptRecords(tables, "w")

    def take_turns() -> None:
        for row in slots.fill(running=1):
            records.record_end(Attempt(row.key, row.attempt), ItemState.COMPLETED, None, 1)
        numbers = stats.numbers(tables)
        with tables.read() as connection:
            connection.execute(numbers).one()

    async with Outbox(sqlite_database) as outbox:
        await outbox.submit_many(Entry(f"short-{n}", Text("Hello.")) for n in range(20))
        take_turns()  # the first is more than the others
        short = steps.of(take_turns)
        await outbox.submit_many(Entry(f"long-{n}", Text("Hello.")) for n in range(3000))
        long = steps.of(take_turns)
    await asyncio.to_thread(tables.close)
    assert long < 2 * short


@pytest.mark.heavy
async def test_retention_reads_no_item_that_it_keeps(sqlite_database: str) -> None:
    tables = Database(sqlite_database)
    steps = Steps(tables)

    def delete() -> None:
        assert not queue_control.delete_expired(tables, 3600.0)

    few = steps.of(delete)
    async with Outbox(sqlite_database) as outbox:
        await outbox.submit_many(Entry(f"c-{n}", Text("Hello.")) for n in range(3000))
        await outbox.discard(ItemFilter())
    many = steps.of(delete)
    await asyncio.to_thread(tables.close)
    assert many < few + 10


# Long conversations


@pytest.mark.parametrize("length", [10, 5000])
@pytest.mark.heavy
async def test_a_conversation_is_blocked_and_resumed_by_few_statements(
    outbox: Outbox, tables: Database, length: int
) -> None:
    await outbox.submit(Text("one"), NAMELESS, key="one")
    await outbox.append("one", Text("two"), key="n-2")
    items, conversations = tables.items, tables.conversations
    with tables.begin() as connection:
        row = dict(connection.execute(sa.select(items).where(items.c.key == "n-2")).one()._mapping)
        del row["id"]
        more = [
            {**row, "key": f"n-{n}", "number": n, "nonce": str(n)} for n in range(3, length + 1)
        ]
        connection.execute(sa.insert(items), more)
        connection.execute(sa.update(conversations).values(last=length))
    dispatch(tables)
    with counted(tables) as blocking:
        AttemptRecords(tables, "w").record_end(
            Attempt("one", 1), ItemState.AMBIGUOUS, "nobody knows"
        )
    assert (await outbox.stats()).counts == {
        ItemState.AMBIGUOUS: 1,
        ItemState.BLOCKED: length - 1,
    }
    late = await outbox.append("one", Text("late"), key="late")
    assert (late.state, late.number) == (ItemState.BLOCKED, length + 1)
    assert "resolve" in str(late.error)
    with counted(outbox._database) as resuming:
        await outbox.resolve("one", accepted=False)
    assert (await outbox.stats()).counts == {ItemState.QUEUED: length + 1}
    assert len(blocking) <= 6
    assert len(resuming) <= 12
    dispatch(tables)
    assert holding(tables) == ["one"]


# The version of the tables


@pytest.fixture
def first(request: pytest.FixtureRequest, database: str) -> str:
    """A database as the first release made it, with what that handed in."""
    written = (HERE / "tables_of_version_1.sql").read_text("utf-8")
    tables = Database(database)
    with tables.begin() as connection:
        tables.meta.drop_all(connection)
        prefix = "" if tables.is_sqlite else f"{tables.schema}."
        double = "double" if tables.is_sqlite else "double precision"
        number = "integer" if tables.is_sqlite else "bigserial"
        for statement in written.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(
                    statement.format(prefix=prefix, double=double, number=number)
                )
    tables.close()
    return database


@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_the_first_schema_is_brought_up_to_date_in_place(
    first: str, working: Working, server: LocalSymbl
) -> None:
    tables = Database(first)
    assert schema.check(tables) == 1
    async with Outbox(first) as outbox:
        assert schema.check(tables) == schema.VERSION
        # As a process of that release hands in, which is not upgraded yet.
        with tables.begin() as connection:
            row = dict(
                connection.execute(
                    sa.select(tables.items).where(tables.items.c.key == "waiting-more")
                )
                .one()
                ._mapping
            )
            del row["id"], row["ready"]
            row.update(key="old", number=3, nonce="old", attempt=1)
            connection.execute(sa.insert(tables.items).values(**row))
        # The sent one, the accepted one, and the head of those that wait.
        assert dispatch(tables, cap=3) == 3
        assert holding(tables) == ["running", "doubtful", "waiting"]
        async with working(ambiguity_timeout=0.1):
            assert (await outbox.result("old", timeout=30)).ok
            assert (await outbox.result("behind", timeout=30)).state is ItemState.BLOCKED
    await asyncio.to_thread(tables.close)


@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_the_migrated_tables_are_those_that_are_made_anew(
    first: str, pg_or_file: str
) -> None:
    assert await asyncio.to_thread(layout, first) == await asyncio.to_thread(layout, pg_or_file)


@pytest.fixture
def pg_or_file(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of another empty database of the same kind."""
    if database.startswith("sqlite"):
        yield f"sqlite:///{tmp_path}/anew.db"
        return
    pg: Postgres = request.getfixturevalue("pg")
    url = pg.create()
    yield url
    pg.drop(url)


def layout(url: str) -> dict[str, object]:
    """Return columns and indexes of our tables, after a migration."""
    database = Database(url)
    dbos.create_tables(database)
    found = sa.inspect(database.engine)
    given = {}
    for table in ("symbl_item", "symbl_queue", "symbl_schema", "symbl_worker"):
        columns = found.get_columns(table, schema=database.items.schema)
        indexes = found.get_indexes(table, schema=database.items.schema)
        given[table] = (
            {
                column["name"]: (str(column["type"]).split("(")[0], column["nullable"])
                for column in columns
            },
            {
                str(index["name"]): (index["column_names"], bool(index["unique"]))
                for index in indexes
            },
        )
    database.close()
    return {
        table: (
            {n: kind[1] if n.endswith("_at") else kind for n, kind in columns.items()},
            indexes,
        )
        for table, (columns, indexes) in given.items()
    }


@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_a_later_schema_is_refused_by_both(
    tables: Database, database: str, working: Working
) -> None:
    with tables.begin() as connection:
        connection.execute(sa.update(tables.versions).values(version=99))
    told = f"schema version 99, .* up to {schema.VERSION}; upgrade symbl-aio"
    with pytest.raises(ConfigurationError, match=told):
        await Outbox(database).start()
    with pytest.raises(ConfigurationError, match=told):
        async with working():
            pass
