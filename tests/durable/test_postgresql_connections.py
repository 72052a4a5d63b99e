"""How many connections a worker has, and those through a pooler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from functools import partial

import psycopg
import pytest
import sqlalchemy as sa

from examples.durable.postgres import Postgres
from symbl_aio import ConfigurationError, Text
from symbl_aio.durable import ItemState, Outbox, migrate
from symbl_aio.durable._database.database import Database
from symbl_aio.testing import LocalSymbl
from tests.durable.chaos import in_conversations, said, scene
from tests.durable.conftest import SECRET, Working, until
from tests.durable.pooler import pooled

pytestmark = [pytest.mark.durable, pytest.mark.timeout(120)]

MOST = 4
"""Connections of a worker: twenty of them fit PostgreSQL's hundred."""
WEBHOOKS = {"webhook_base_url": "http://127.0.0.1:9", "webhook_secret": SECRET}


@pytest.fixture
def pooler(pg_database: str) -> Iterator[str]:
    with pooled(pg_database) as url:
        yield url


@pytest.mark.parametrize("webhooks", [False, True], ids=["polls", "webhooks"])
async def test_a_worker_under_load_has_four_connections(
    pg: Postgres, pg_database: str, webhooks: bool
) -> None:
    items = in_conversations(conversations=120, length=1)
    async with scene(pg_database, webhooks=webhooks, concurrency=40, job_seconds=4.0) as found:
        await found.hand_in(items, said)
        await found.add_worker(database=f"{pg_database}?application_name=counted")
        finished = asyncio.ensure_future(found.finish())
        most = 0
        while not finished.done():
            most = max(most, await asyncio.to_thread(connected, pg, "counted"))
            await asyncio.wait([finished], timeout=0.05)
        ledger = await finished
    assert ledger.states == {"completed": len(items)}
    assert ledger.most > 30
    assert 3 <= most <= MOST


def connected(pg: Postgres, application: str) -> int:
    with psycopg.connect(pg.url) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity where application_name = %s", (application,)
        ).fetchone()
    assert row is not None
    return int(row[0])


async def test_through_a_pooler_items_are_drained_without_an_error(
    pooler: str, working: Working, server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    async with Outbox(pooler) as outbox, working(database=pooler, concurrency=30):
        for n in range(60):
            await outbox.submit(Text(f"Number {n}."), key=f"item-{n}")
        for n in range(60):
            assert (await outbox.result(f"item-{n}", timeout=60)).ok
    assert len([one for one in server.submissions if one.accepted]) == 60
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_through_a_pooler_webhooks_and_decisions_work(
    pooler: str, working: Working, server: LocalSymbl
) -> None:
    server.inject("status:400", on="POST")
    async with (
        Outbox(pooler, webhook_secret=SECRET) as outbox,
        working(database=pooler, config=WEBHOOKS),
    ):
        await outbox.submit(Text("One."), key="monday")
        await outbox.append("monday", Text("Two."), key="two")
        assert (await outbox.result("two", timeout=60)).state is ItemState.BLOCKED
        await outbox.retry("monday")
        await until(outbox, "monday", ItemState.ACCEPTED)


async def test_an_idle_transaction_is_ended_through_a_pooler_too(pooler: str) -> None:
    database = Database(pooler)

    def shown() -> object:
        with database.begin() as connection:
            return connection.execute(sa.text("show idle_in_transaction_session_timeout")).scalar()

    def of_session() -> object:
        with database.read() as connection:
            return connection.execute(sa.text("show idle_in_transaction_session_timeout")).scalar()

    try:
        assert await database.call(shown) == "5s"
        assert await database.call(of_session) == "0"  # which is another client's by now
        assert database.is_pooled
    finally:
        await asyncio.to_thread(database.close)


async def test_tables_are_not_made_through_a_pooler(pg: Postgres) -> None:
    url = pg.create()
    try:
        with pooled(url) as pooler:
            with pytest.raises(ConfigurationError, match="db migrate with the address of Postgre"):
                async with Outbox(pooler):
                    pass
            await migrate(url)
            async with Outbox(pooler) as outbox:
                assert (await outbox.stats()).counts == {}
    finally:
        await asyncio.to_thread(partial(pg.drop, url))


async def test_what_the_url_says_of_timeouts_is_left_alone(pg_database: str) -> None:
    database = Database(f"{pg_database}?connect_timeout=7&keepalives=0")
    given = sa.make_url(database.url).query
    await asyncio.to_thread(database.close)
    assert (given["connect_timeout"], given["keepalives"]) == ("7", "0")
    assert int(str(given["tcp_user_timeout"])) == 15_000
