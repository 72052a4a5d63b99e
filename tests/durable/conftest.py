"""Databases for the tests of the outbox: an SQLite file, or one of a PostgreSQL of their own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import sqlalchemy as sa

from examples.durable.postgres import NoPostgresError, Postgres, postgres
from symbl_aio import Config, Credentials, TextOptions
from symbl_aio._outage import Outage
from symbl_aio.durable import Item, ItemState, Outbox, Worker
from symbl_aio.durable._database import dbos
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._store import queue_control
from symbl_aio.durable._store.slots import Slots
from symbl_aio.durable.attempt_steps import ItemSteps
from symbl_aio.durable.items import Attempt
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK

SECRET = "the workers' webhook secret"
POLL_INTERVAL = 0.1
"""Seconds after which a worker looks for work again."""

NAMELESS = TextOptions(name="")
"""With which a conversation bears no name that would be a proof of its acceptance."""


@pytest.fixture(scope="session")
def pg() -> Iterator[Postgres]:
    """A PostgreSQL that this process of pytest shares among its tests."""
    try:
        with postgres() as server:
            yield server
    except NoPostgresError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def pg_template(pg: Postgres) -> Iterator[str]:
    """A database with tables, made once: a copy takes a quarter of the time."""
    template = pg.create()
    _migrate(template)
    yield template
    pg.drop(template)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "outbox.db"
    _migrate(f"sqlite:///{file}")
    return file


def _migrate(url: str) -> None:
    database = Database(url)
    dbos.create_tables(database)
    client = dbos._client(database)
    # As the first worker does; it would look for the queue again only a second later.
    client.register_queue(dbos.QUEUE, polling_interval_sec=POLL_INTERVAL)
    database.close()


@pytest.fixture
def pg_database(pg: Postgres, pg_template: str) -> Iterator[str]:
    """The URL of a PostgreSQL database of the test's own, with its tables."""
    url = pg.create(pg_template)
    yield url
    pg.drop(url)


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of an SQLite database of the test's own, with its tables."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'outbox.db')}"


# The default run has a little of PostgreSQL, in test_postgres.py: each process of pytest
# that needs one starts it.
KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.durable)]


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest) -> str:
    """The URL of a database of the test's own, of each kind in turn."""
    kind = "pg_database" if request.param == "postgresql" else "sqlite_database"
    url: str = request.getfixturevalue(kind)
    return url


@pytest.fixture
async def tables(database: str) -> AsyncIterator[Database]:
    """The tables of the test's database, beside any outbox."""
    tables = Database(database)
    yield tables
    await asyncio.to_thread(tables.close)


@pytest.fixture
async def outbox(database: str) -> AsyncIterator[Outbox]:
    async with Outbox(database, webhook_secret=SECRET) as opened:
        yield opened


def dispatch(database: Database, cap: int = 50) -> int:
    """Fill free slots, as a worker does that hands all over; return how many items got one."""
    queue_control.set_cap(database, cap)
    turns = [Attempt(row.key, row.attempt) for row in Slots(database).fill()]
    client = dbos._client(database)
    for turn in turns:
        client.enqueue(
            {
                "workflow_name": dbos._WORKFLOW,
                "workflow_id": turn.id,
                "queue_name": dbos.queue_of(database),
                "app_version": dbos._VERSION,
            },
            turn.key,
        )
    return len(turns)


def make_all_ready(database: Database) -> None:
    """Remove what the order in a conversation rests on: that its head alone is ready."""
    table = database.items
    with database.begin() as connection:
        prefix = "" if database.is_sqlite else f"{database.schema}."
        connection.exec_driver_sql(f"drop index {prefix}symbl_item_head")
        connection.execute(sa.update(table).values(ready=True, priority=table.c.number * 7 % 10))


def said(server: LocalSymbl) -> list[str]:
    """Return the accepted texts, in the order of their arrival."""
    accepted: list[Any] = [s.body for s in server.submissions if s.accepted]
    return [said["payload"]["content"] for body in accepted for said in body["messages"]]


async def until(outbox: Outbox, key: str, state: ItemState) -> Item:
    """Wait until an item reaches a state, and give it."""
    async for event in outbox.events(key):
        if event.state is state:
            return await outbox.item(key)
    raise AssertionError(f"{key} never was {state}")


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers of this process repeat a step as often as ever, and sooner."""
    monkeypatch.setattr(ItemSteps, "backoff", tuple(one / 20 for one in ItemSteps.backoff))
    monkeypatch.setattr(Outage, "pause", Outage.pause / 20)


class Working(Protocol):
    def __call__(self, **settings: Any) -> AbstractAsyncContextManager[Worker]: ...


@pytest.fixture
def working(request: pytest.FixtureRequest, server: LocalSymbl) -> Working:
    """Run a worker of the test's server and database, in this process: one at a time."""

    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Worker]:
        fields = {"base_url": server.base_url, **QUICK, **settings.pop("config", {})}
        given = {"poll_interval": POLL_INTERVAL, **settings}
        where = given.pop("database", None) or request.getfixturevalue("database")
        credentials = Credentials(server.app_id, server.app_secret)
        async with Worker(where, credentials, config=Config(**fields), **given) as worker:
            yield worker

    return run
