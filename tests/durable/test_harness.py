"""The PostgreSQL of the tests can crash, and restarts with all committed transactions."""

from __future__ import annotations

import asyncio
import json

import psycopg
import pytest

from examples.durable.postgres import Postgres, postgres
from symbl_aio import Polls, Text
from symbl_aio._protocol.webhook_calls import mark
from symbl_aio.durable import Item, ItemState, Outbox
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import SECRET, Working, said, until


def test_each_test_has_a_database_of_its_own(pg: Postgres, pg_database: str) -> None:
    other = pg.create(pg_database)
    try:
        with psycopg.connect(other) as connection:
            connection.execute("delete from symbl_aio.symbl_item")
            connection.execute("drop schema symbl_aio cascade")
        with psycopg.connect(pg_database) as connection:
            assert connection.execute("select count(*) from symbl_aio.symbl_item").fetchone()
    finally:
        pg.drop(other)


@pytest.mark.durable
def test_a_crash_ends_connections_and_keeps_what_was_committed() -> None:
    with postgres() as server:
        if not server.can_crash:
            pytest.skip("the server is somebody else's")
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("create table kept as select 7 as n")
            server.crash()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select 1")
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("select n from kept").fetchone() == (7,)


async def test_on_it_too_a_conversation_is_sent_in_order_heard_of_and_decided_about(
    pg_database: str, working: Working, server: LocalSymbl
) -> None:
    polls = Polls(floor=100.0, ceiling=100.0)
    hooks = {"webhook_base_url": "http://127.0.0.1:9", "webhook_secret": SECRET, "polls": polls}
    server.inject("status:400", on="POST")
    async with Outbox(pg_database, webhook_secret=SECRET) as outbox:
        await outbox.submit(Text("One."), key="monday")
        two, three = await asyncio.gather(
            outbox.append("monday", Text("Two."), key="two"),
            outbox.append("monday", Text("Three."), key="three"),
        )
        async with working(database=pg_database, config=hooks):
            assert (await outbox.result("three" if two.number < three.number else "two")).error
            await outbox.retry("monday")
            for key in ("monday", *(one.key for one in sorted([two, three], key=by_number))):
                item = await until(outbox, key, ItemState.ACCEPTED)
                await server.until(lambda: server.unfinished == 0)
                nonce = str(server.submissions[-1].parameters["webhookUrl"]).split("/")[-2]
                body = json.dumps({"jobId": item.job_id, "status": "completed"}).encode()
                assert await outbox.webhook(nonce, mark(SECRET, nonce), body) == 204
                assert (await outbox.result(key, timeout=10)).ok
    assert said(server)[0] == "One."
    assert len(said(server)) == 3


def by_number(item: Item) -> int:
    return item.number
