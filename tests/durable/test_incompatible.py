"""Tables that are not those of this release: a worker ends, and holds nothing up."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import exc

from symbl_aio import ConfigurationError, Text
from symbl_aio.durable import ItemState, Outbox, Worker
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.faults import is_incompatible, is_missing_object, passes
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import Working, until
from tests.tables import table

PATIENCE = 30.0


def rename(tables: Database, old: str, new: str) -> None:
    with tables.begin() as connection:
        prefix = "" if tables.is_sqlite else f"{tables.schema}."
        connection.exec_driver_sql(f"alter table {prefix}symbl_item rename column {old} to {new}")


@asynccontextmanager
async def renamed(tables: Database, column: str) -> AsyncIterator[None]:
    """Remove a column, and restore it after the block."""
    await tables.call(lambda: rename(tables, column, "other"))
    try:
        yield
    finally:
        await tables.call(lambda: rename(tables, "other", column))


async def fate_of(worker: Worker) -> None:
    async with asyncio.timeout(PATIENCE):
        await worker.wait_until_dead()


@pytest.mark.parametrize("column", ["slot_at", "job_id", "deaths"])
async def test_a_worker_ends_and_what_it_had_is_finished_by_one_that_fits(
    outbox: Outbox, tables: Database, working: Working, server: LocalSymbl, column: str
) -> None:
    server.hold_jobs()
    settings = {"heartbeat": 0.1, "worker_timeout": 0.5, "concurrency": 1}
    async with working(**settings) as worker:
        await outbox.submit(Text("Hello."), key="monday")
        await until(outbox, "monday", ItemState.ACCEPTED)
        await outbox.submit(Text("Hello."), key="tuesday")
        async with renamed(tables, column):
            server.release()
            with pytest.raises(ConfigurationError, match=rf"{column}.*; run symbl-aio db migrate"):
                await fate_of(worker)
            await worker.aclose()
    async with working(**settings):
        for key in ("monday", "tuesday"):
            assert (await outbox.result(key, timeout=PATIENCE)).ok
    assert len([one for one in server.submissions if one.accepted]) == 2


async def test_a_worker_of_an_older_release_is_told_of_the_newer_version(
    tables: Database, working: Working
) -> None:
    def upgrade() -> None:
        with tables.begin() as connection:
            connection.execute(sa.update(tables.versions).values(version=99))
        rename(tables, "slot_at", "other")

    async with working(heartbeat=0.1, worker_timeout=0.5) as worker:
        await tables.call(upgrade)
        with pytest.raises(ConfigurationError, match=r"schema version 99.*upgrade symbl-aio here"):
            await fate_of(worker)


async def test_who_waits_for_an_item_is_told(
    outbox: Outbox, tables: Database, server: LocalSymbl
) -> None:
    await outbox.submit(Text("Hello."), key="monday")
    waiting = asyncio.ensure_future(outbox.result("monday", timeout=PATIENCE))
    async with renamed(tables, "ended_at"):
        with pytest.raises(ConfigurationError, match="ended_at"):
            await waiting


# The rule


def postgres(sqlstate: str) -> psycopg.Error:
    return psycopg.errors.lookup(sqlstate)("said")


def file(code: int, said: str = "said") -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(said)
    error.sqlite_errorcode = code
    return error


def wrapped(error: Exception, *, cut: bool = False) -> exc.DBAPIError:
    return exc.DBAPIError("select", {}, error, connection_invalidated=cut)


@table(
    "error",
    [
        *map(postgres, ["08006", "25006", "25P03", "40001", "40P01", "53100", "53300", "55P03"]),
        *map(postgres, ["57014", "57P01", "57P03", "58030"]),
        psycopg.OperationalError("connection refused"),
        psycopg.InterfaceError("the connection is closed"),
        file(sqlite3.SQLITE_BUSY, "database is locked"),
        file(sqlite3.SQLITE_LOCKED),
        file(sqlite3.SQLITE_FULL),
        file(sqlite3.SQLITE_IOERR | 3 << 8),
        file(sqlite3.SQLITE_READONLY),
        file(sqlite3.SQLITE_CANTOPEN),
    ],
    ids=repr,
)
def test_what_passes_is_tried_again(error: Exception) -> None:
    assert passes(error)
    assert passes(wrapped(error))
    assert not is_incompatible(wrapped(error))


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (postgres("42703"), True),
        (postgres("42P01"), True),
        (postgres("3F000"), True),
        (postgres("42601"), False),
        (postgres("42501"), False),
        (postgres("42P05"), False),
        (file(sqlite3.SQLITE_ERROR, "no such table: symbl_item"), True),
        (file(sqlite3.SQLITE_ERROR, "no such column: slot_at"), True),
        (file(sqlite3.SQLITE_NOTADB), False),
        (file(sqlite3.SQLITE_CORRUPT | 1 << 8), False),
    ],
    ids=repr,
)
def test_what_does_not_fit_ends_the_worker(error: Exception, unknown: bool) -> None:
    assert not passes(wrapped(error))
    assert is_incompatible(wrapped(error))
    assert is_missing_object(wrapped(error)) is unknown


@pytest.mark.parametrize(
    "error", [postgres("23505"), postgres("22P02"), sqlite3.IntegrityError("said"), ValueError()]
)
def test_what_one_item_is_to_blame_for_is_neither(error: Exception) -> None:
    assert not passes(wrapped(error))
    assert not is_incompatible(wrapped(error))


def test_a_connection_that_was_cut_passes_whatever_was_said() -> None:
    assert passes(wrapped(postgres("42703"), cut=True))
    assert passes(exc.TimeoutError())
    assert passes(exc.DisconnectionError())
