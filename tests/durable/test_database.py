"""The database's URL stays secret, and its tables are created once."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from examples.durable.postgres import Postgres
from symbl_aio import ConfigurationError, OutboxUnavailableError, Text
from symbl_aio.durable import ItemState, Outbox
from symbl_aio.durable._database import dbos
from symbl_aio.durable._database.database import Database
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import KINDS, Working, said
from tests.tables import table

PASSWORD = "pass-word-55ab"


@pytest.fixture(params=KINDS)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/new/outbox.db"
    else:
        pg: Postgres = request.getfixturevalue("pg")
        url = pg.create()
        yield url
        pg.drop(url)


def tables_of(url: str) -> set[str]:
    database = Database(url)
    try:
        schema = None if database.is_sqlite else database.schema
        return set(sa.inspect(database.engine).get_table_names(schema))
    finally:
        database.close()


OURS = {"symbl_conversation", "symbl_item", "symbl_worker"}


def migrate(url: str) -> None:
    database = Database(url)
    try:
        dbos.create_tables(database)
    finally:
        database.close()


def test_tables_are_made_by_four_at_once(empty: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(migrate, [empty] * 4))
    assert tables_of(empty) > OURS
    migrate(empty)


@pytest.mark.durable
def test_tables_are_made_by_four_processes_at_once(empty: str) -> None:
    program = (
        "import sys\n"
        "from tests.durable.test_database import migrate\n"
        "sys.stdin.readline()\n"
        "migrate(sys.argv[1])\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, empty], stdin=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in started:  # all of them have got so far, or will without delay
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait(50) for process in started] == [0] * 4
    assert tables_of(empty) > OURS


@pytest.mark.durable
async def test_two_applications_on_one_postgresql_do_not_meet(
    pg_database: str, working: Working, server: LocalSymbl
) -> None:
    async with Outbox(pg_database) as one, Outbox(pg_database, schema="other_app") as other:
        await one.submit(Text("Of one."), key="monday")
        await other.submit(Text("Of the other."), key="monday")
        await other.append("monday", Text("More."), key="tuesday")
        assert [item.key async for item in one.jobs()] == ["monday"]
        assert [item.key async for item in other.jobs()] == ["monday", "tuesday"]
        async with working(database=pg_database, schema="other_app"):
            assert (await other.result("tuesday")).ok
        assert said(server) == ["Of the other.", "More."]
        assert (await one.stats()).counts == {ItemState.QUEUED: 1}
        async with working(database=pg_database):
            assert (await one.result("monday")).ok
        assert said(server) == ["Of the other.", "More.", "Of one."]
    database = Database(pg_database)
    with database.read() as connection:
        queued = connection.execute(
            sa.text("select workflow_uuid from symbl_aio.workflow_status")
        ).scalars()
        assert list(queued) == ["monday#1"]
    database.close()


@pytest.mark.durable
def test_a_connection_that_comes_back_after_the_end_is_closed(pg_database: str) -> None:
    # A thread of DBOS may still run a statement for a task that has ended.
    database = Database(pg_database)
    with database.read() as connection:
        used = connection.connection.dbapi_connection
        assert isinstance(used, psycopg.Connection)
        database.close()
        assert not used.closed
    assert used.closed


# Wrong URLs


@table(
    "url",
    [
        "", "outbox.db", "/tmp/outbox.db", "sqlite://", "sqlite:///", "sqlite:///:memory:",
        "sqlite:///file:outbox.db?uri=true",
        f"mysql://me:{PASSWORD}@host/name", f"postgresql+asyncpg://me:{PASSWORD}@host/name",
        f"postgresql://me:{PASSWORD}@host", f"postgresql://me:{PASSWORD}@host:port/name",
        f"postgresql://me:{PASSWORD}@host:99999999999999999999x/name", f"me:{PASSWORD}",
        None, 7, Path("outbox.db"), b"sqlite:///outbox.db",
    ],
)  # fmt: skip
def test_what_is_no_database_is_refused_without_an_echo(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"give sqlite:///outbox\.db or post") as no:
        Outbox(url)
    assert PASSWORD not in "".join(traceback.format_exception(no.value))


@pytest.mark.parametrize("schema", ["", "Symbl", "1a", "a-b", 'a"; drop table x; --', "a" * 42])
def test_a_schema_has_a_simple_name(schema: str) -> None:
    with pytest.raises(ConfigurationError, match="schema is"):
        Outbox("postgresql://me@host/name", schema=schema)


@pytest.mark.parametrize("name", ["postgres", "postgresql", "postgresql+psycopg"])
def test_the_usual_names_of_postgresql_are_one(name: str) -> None:
    database = Database(f"{name}://me@host/name?sslmode=require")
    found = sa.make_url(database.url)
    assert found.query["sslmode"] == "require"
    assert str(found.set(query={})) == "postgresql://me@host/name"
    database.close()


# Who sees it

LOGGERS = ("dbos", "sqlalchemy")


@pytest.mark.durable
@pytest.mark.parametrize("where", ["", "127.0.0.1:9", "no-such-host.invalid"])
@pytest.mark.parametrize(
    "given", ["postgresql://postgres:{}@{}", "postgresql://postgres@{1}?password={0}"]
)
async def test_a_password_is_never_shown(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture, where: str, given: str
) -> None:
    place = f"{where}/name" if where else request.getfixturevalue("pg_database").partition("@")[2]
    url = given.format(PASSWORD, place)
    caplog.set_level(logging.DEBUG)
    shown = []
    logging.getLogger("dbos").addHandler(caplog.handler)  # which it keeps from the root
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        outbox = Outbox(url)
        shown.append(repr(outbox))
        async with outbox:
            await outbox.submit(Text("Hello."))
            shown.append(repr(await outbox.stats()))
        assert not where
    except OutboxUnavailableError as error:
        assert where
        shown += ["".join(traceback.format_exception(error)), repr(error)]
    finally:
        logging.getLogger("dbos").removeHandler(caplog.handler)
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.NOTSET)
    shown.append(caplog.text)
    assert where or "sqlalchemy" in caplog.text  # its pool writes each connection down
    assert (where.partition(":")[0] or "127.0.0.1") in shown[0]
    assert PASSWORD not in "\n".join(shown)


# Log lines of an outage


async def refused(database: Database) -> Exception:
    def connect() -> None:
        with database.begin():
            pass

    with pytest.raises(sa.exc.OperationalError) as found:
        await database.call(connect)
    return found.value


async def test_an_outage_is_one_line_for_all_that_fails_and_one_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = Database(f"postgresql://app:{PASSWORD}@127.0.0.1:1/outbox")
    try:
        database.report_answer()
        for work in ("the heartbeat", "dispatch", "a call"):
            database.report(work, await refused(database))
        database.report("dispatch", RuntimeError("it is broken"))
        database.report_answer()
        database.report_answer()
    finally:
        database.close()

    outage, fault, end = caplog.messages
    assert outage.startswith("the database cannot be used (")
    assert "refused" in outage
    assert PASSWORD not in outage
    assert fault == "dispatch failed (it is broken)"
    assert end == "the database is back"


def test_a_full_disk_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(f"sqlite:///{tmp_path}/outbox.db")
    try:
        with pytest.raises(sa.exc.OperationalError) as found, database.begin() as connection:
            connection.exec_driver_sql("pragma max_page_count = 1")
            connection.exec_driver_sql("create table large as select randomblob(100000)")
        database.report("a call", found.value)
    finally:
        database.close()

    assert caplog.messages == ["the database cannot be used (database or disk is full)"]


def test_an_error_without_words_is_named_by_its_kind(caplog: pytest.LogCaptureFixture) -> None:
    database = Database("postgresql://127.0.0.1:1/outbox")
    database.report("the heartbeat", TimeoutError())
    database.close()

    assert caplog.messages == ["the database cannot be used (TimeoutError)"]


async def test_a_call_that_fails_after_the_wait_for_it_logs_nothing(
    sqlite_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a worker ends while another process has locked the file."""
    database = Database(sqlite_database)
    running, gate, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()

    def fail() -> None:
        loop.call_soon_threadsafe(running.set)
        gate.wait()
        raise OSError("it is locked")

    call = asyncio.create_task(database.call(fail))
    await running.wait()
    call.cancel()
    await asyncio.wait([call])
    await database.finish_calls(0.01)
    gate.set()
    await asyncio.to_thread(database.close)
    await asyncio.sleep(0)
    gc.collect()
    assert caplog.messages == []
