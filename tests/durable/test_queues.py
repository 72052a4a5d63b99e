"""Two accounts in one database: queues of their own, and limits of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from symbl_aio import Config, ConfigurationError, Credentials, Text
from symbl_aio.durable import ItemFilter, ItemState, Outbox, Worker
from symbl_aio.durable._database import dbos
from symbl_aio.durable._database.database import Database
from symbl_aio.durable.heartbeat import Heartbeat
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import POLL_INTERVAL, dispatch, said
from tests.shell import Shell
from tests.support import QUICK

pytestmark = pytest.mark.durable
PATIENT = 20.0


@pytest.fixture
async def billing(pg_database: str) -> AsyncIterator[Outbox]:
    async with Outbox(pg_database, queue="billing") as outbox:
        yield outbox


@pytest.fixture
async def support(pg_database: str) -> AsyncIterator[Outbox]:
    async with Outbox(pg_database, queue="support") as outbox:
        yield outbox


def worker(url: str, server: LocalSymbl, queue: str, **settings: float) -> Worker:
    return Worker(
        url,
        Credentials(server.app_id, server.app_secret),
        config=Config(base_url=server.base_url, **QUICK),
        queue=queue,
        poll_interval=POLL_INTERVAL,
        **settings,  # type: ignore[arg-type]
    )


def slots(outbox: Outbox) -> list[str]:
    table = outbox._database.items
    with outbox._database.read() as connection:
        held = sa.select(table.c.key).where(table.c.slot_at.is_not(None)).order_by(table.c.key)
        return list(connection.execute(held).scalars())


async def test_each_has_a_cap_and_a_pause_of_its_own(billing: Outbox, support: Outbox) -> None:
    for number in range(4):
        await billing.submit(Text("One."), key=f"b{number}")
        await support.submit(Text("One."), key=f"s{number}")
    assert dispatch(billing._database, cap=1) == 1
    assert dispatch(support._database, cap=2) == 2
    assert slots(billing) == ["b0", "s0", "s1"]
    of_billing, of_support = await billing.stats(), await support.stats()
    assert (of_billing.cap, of_billing.cap_used, of_billing.waiting) == (1, 1, 3)
    assert (of_support.cap, of_support.cap_used, of_support.waiting) == (2, 2, 2)
    assert (of_billing.oldest_key, of_support.oldest_key) == ("b1", "s2")
    await billing.pause()
    assert dispatch(billing._database, cap=4) == 0
    assert dispatch(support._database, cap=4) == 2
    assert [item.key async for item in billing.jobs()] == [f"b{n}" for n in range(4)]


async def test_a_worker_takes_what_is_its_own_accounts_alone(
    billing: Outbox, support: Outbox, pg_database: str, server: LocalSymbl
) -> None:
    """Not even items to which another gave a slot, or that a dead worker left."""
    await billing.submit(Text("For billing."), key="b")
    await support.submit(Text("For support."), key="s")
    dispatch(support._database)
    await billing._database.call(lambda: claim(billing._database, "ghost of support"))
    async with worker(pg_database, server, "billing", worker_timeout=0.6) as working:
        assert (await billing.result("b", timeout=PATIENT)).ok
        assert (await working.stats()).counts == {ItemState.COMPLETED: 1}
        assert (await billing.stats()).workers == 1
        assert (await support.stats()).workers == 0
        assert (await support.stats()).dead == 1  # no worker of billing evicts it
    assert said(server) == ["For billing."]
    async with worker(pg_database, server, "support"):
        assert (await support.result("s", timeout=PATIENT)).ok
    assert said(server) == ["For billing.", "For support."]


def claim(database: Database, ghost: str) -> None:
    with database.begin() as connection:
        connection.execute(sa.insert(database.workers).values(id=ghost, beat=1.0, queue="support"))


async def test_a_dead_worker_is_taken_over_by_one_of_its_own_account(
    billing: Outbox, support: Outbox
) -> None:
    found = {}
    await asyncio.to_thread(claim, support._database, "ghost")
    for outbox in (billing, support):
        database = outbox._database
        workflows = dbos.Workflows(database)
        settings: Any = {"interval": 1.0, "worker_timeout": 1.0, "alone": False}
        heartbeat = Heartbeat(database, workflows, "w", **settings)
        _, found[database.queue_name] = await heartbeat._worker_states(False)
    assert found == {"billing": set(), "support": {"ghost"}}


async def test_a_conversation_and_a_key_are_of_one_account(
    billing: Outbox, support: Outbox
) -> None:
    await billing.submit(Text("One."), key="monday")
    with pytest.raises(ConfigurationError, match=r"queue 'billing'"):
        await support.append("monday", Text("Two."))
    with pytest.raises(ConfigurationError, match=r"queue 'billing'"):
        await support.submit(Text("One."), key="monday")


async def test_a_filter_chooses_among_the_items_of_its_own_account(
    billing: Outbox, support: Outbox, pg_database: str
) -> None:
    await billing.submit(Text("One."), key="b")
    await support.submit(Text("One."), key="s")
    decided = await billing.discard(ItemFilter())
    assert [item.key for item in decided.items] == ["b"]
    assert (await support.item("s")).state is ItemState.QUEUED
    shell = Shell(SYMBL_AIO_DATABASE=pg_database)
    await shell.run("discard", "--all")  # of the default queue, which has none
    assert (await support.item("s")).state is ItemState.QUEUED
    await shell.run("discard", "--all", "--queue", "support")
    assert (await support.item("s")).state is ItemState.DISCARDED


async def test_the_default_queue_sees_nothing_of_another(billing: Outbox, pg_database: str) -> None:
    await billing.submit(Text("One."), key="monday")
    async with Outbox(pg_database) as outbox:
        assert (await outbox.stats()).counts == {}
        assert dispatch(outbox._database, cap=5) == 0
    shell = Shell(SYMBL_AIO_DATABASE=pg_database)
    told = await shell.run("stats", "--json", "--queue", "billing")
    listed = await shell.run("jobs", "--json", "--queue", "billing")
    assert told.lines[0]["counts"] == {"queued": 1}
    assert listed.lines[0]["key"] == "monday"


@pytest.mark.parametrize("queue", ["", "Two Words", "x" * 60, None])
async def test_a_queue_has_a_simple_name(pg_database: str, queue: str) -> None:
    with pytest.raises(ConfigurationError, match="queue"):
        Outbox(pg_database, queue=queue)


async def test_a_file_is_of_one_account() -> None:
    with pytest.raises(ConfigurationError, match="file of its own"):
        Outbox("sqlite:///outbox.db", queue="billing")
