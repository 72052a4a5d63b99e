"""What became of an item can be seen from every process, by any number at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest
import sqlalchemy as sa

from examples.durable.postgres import postgres
from symbl_aio import ClientClosedError, NotFoundError, OutboxUnavailableError, Text
from symbl_aio.durable import ItemEvent, ItemState, Outbox
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._store.reads import PAGE
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import Working, until
from tests.durable.test_dispatch import counted


@pytest.mark.durable
async def test_a_result_is_told_to_all_who_wait_anywhere(
    outbox: Outbox, database: str, working: Working, server: LocalSymbl
) -> None:
    await outbox.submit(Text("One."), key="monday")
    server.hold_jobs()
    async with Outbox(database) as elsewhere, working():
        waiting = [asyncio.ensure_future(one.result("monday")) for one in [outbox, elsewhere] * 30]
        job = await until(outbox, "monday", ItemState.ACCEPTED)
        assert (job.state, job.sending, job.ended_at) == (ItemState.ACCEPTED, False, None)
        with pytest.raises(TimeoutError):
            await outbox.result("monday", timeout=0.01)
        assert not any(one.done() for one in waiting)
        server.release()
        results = await asyncio.gather(*waiting)
    assert len(set(results)) == 1
    result = results[0]
    assert result.ok
    assert (result.job_id, result.conversation_id) == (job.job_id, job.conversation_id)
    (accepted,) = server.jobs.values()
    assert (accepted.id, accepted.conversation_id) == (result.job_id, result.conversation_id)
    assert result.accepted_at is not None
    assert result.ended_at is not None
    assert result.queued_at <= result.accepted_at <= result.ended_at


async def test_who_comes_late_is_told_what_was_before(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    server.inject("job_fails", times=1)

    async def events(key: str) -> list[ItemEvent]:
        return [event async for event in outbox.events(key)]

    await outbox.submit(Text("One."), key="monday")
    early = asyncio.ensure_future(events("monday"))
    async with working():
        told = await early
    assert [event.state for event in told] == [
        ItemState.QUEUED,
        ItemState.ACCEPTED,
        ItemState.FAILED,
    ]
    assert {event.key for event in told} == {"monday"}
    assert [event.at for event in told] == sorted(event.at for event in told)
    assert await events("monday") == told  # without any worker
    failed = await outbox.result("monday")
    assert not failed.ok
    assert failed.error is not None


async def test_who_waits_when_the_outbox_is_closed_is_told_so(database: str) -> None:
    async with Outbox(database) as outbox:
        await outbox.submit(Text("One."), key="monday")

        async def events() -> None:
            async for _ in outbox.events("monday"):
                pass

        asking: list[Coroutine[Any, Any, object]] = [outbox.result("monday"), events()]
        asking += [outbox.result("monday", timeout=60)]
        waiting = [asyncio.ensure_future(one) for one in asking]
        gone = asyncio.ensure_future(outbox.result("monday"))
        await asyncio.wait([gone], timeout=0.1)
        gone.cancel()
        await asyncio.wait([gone])
    done, _ = await asyncio.wait(waiting, timeout=5)
    assert len(done) == 3
    for one in waiting:
        with pytest.raises(ClientClosedError):
            one.result()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_outbox_is_closed_although_the_closing_is_cancelled(database: str) -> None:
    before = set(threading.enumerate())
    outbox = Outbox(database)
    await outbox.start()
    await outbox.submit(Text("One."), key="monday")
    waiting = asyncio.ensure_future(outbox.result("monday"))
    await asyncio.wait([waiting], timeout=0.1)

    async def close() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()  # as anyio does it in a scope that is cancelled: at each await
        await outbox.aclose()

    closing = asyncio.ensure_future(close())
    await asyncio.wait([closing])
    assert closing.cancelled()
    for thread in set(threading.enumerate()) - before:
        await asyncio.to_thread(thread.join, 5)  # an idle one ends later
        assert not thread.is_alive(), thread.name
    with pytest.raises(ClientClosedError):
        await waiting


async def test_what_is_not_there_cannot_be_waited_for(outbox: Outbox) -> None:
    for ask in (
        outbox.item("monday"),
        outbox.result("monday"),
        anext(outbox.events("monday")),
        outbox.retry("monday"),
        outbox.resolve("monday", accepted=False),
    ):
        with pytest.raises(NotFoundError, match="no item has the key 'monday'"):
            await ask
    assert [item async for item in outbox.jobs(conversation="monday")] == []


async def test_items_are_gone_through_in_the_order_of_their_handing_in(outbox: Outbox) -> None:
    keys = [f"k-{number}" for number in (3, 1, 2)]
    for key in keys:
        await outbox.submit(Text("Hello."), key=key)
        await outbox.append(key, Text("More."), key=f"{key}-more")
    assert [item.key async for item in outbox.jobs()] == [
        name for key in keys for name in (key, f"{key}-more")
    ]
    of_one = [item.key async for item in outbox.jobs(conversation="k-1")]
    assert of_one == ["k-1", "k-1-more"]
    assert len([item async for item in outbox.jobs(state=ItemState.QUEUED)]) == 6
    assert [item async for item in outbox.jobs(state=ItemState.FAILED)] == []


@pytest.fixture
async def many(outbox: Outbox, database: str) -> Outbox:
    """Items of some pages, as if they had been handed in long ago and at once."""
    tables = Database(database)
    states = [ItemState.COMPLETED, ItemState.QUEUED, ItemState.FAILED]
    with tables.begin() as connection:
        connection.execute(
            sa.insert(tables.items),
            [
                {
                    "key": f"k-{number}",
                    "conversation": "c",
                    "number": number,
                    "opens": False,
                    "content": "{}",
                    "nonce": str(number),
                    "attempt": 1,
                    "state": states[number % 3].value,
                    "queued_at": 1.0,
                }
                for number in range(2 * PAGE)
            ],
        )
    tables.close()
    return outbox


async def test_pages_do_not_show(many: Outbox) -> None:
    everything = [item.key async for item in many.jobs()]
    assert everything == [f"k-{number}" for number in range(2 * PAGE)]
    failed = [item.key async for item in many.jobs(state=ItemState.FAILED)]
    assert failed == everything[2::3]
    seen = []
    async for item in many.jobs():
        seen.append(item.key)
        if item.number == 0:
            await many.submit(Text("Handed in meanwhile."), key="late")
    assert seen == [*everything, "late"]


async def test_what_is_there_is_counted(many: Outbox) -> None:
    stats = await many.stats()
    assert sum(stats.counts.values()) == 2 * PAGE
    assert set(stats.counts) == {ItemState.COMPLETED, ItemState.QUEUED, ItemState.FAILED}
    assert stats.oldest is not None
    assert stats.oldest > 1e9  # seconds since the epoch, nearly
    assert stats.workers == 0


async def test_workers_are_counted_while_they_work(outbox: Outbox, working: Working) -> None:
    assert (await outbox.stats()).workers == 0
    async with working():
        assert (await outbox.stats()).workers == 1
    stats = await outbox.stats()
    assert (stats.counts, stats.oldest, stats.workers) == ({}, None, 0)


@pytest.mark.durable
async def test_who_waits_survives_a_crash_of_the_database(working: Working) -> None:
    with postgres() as pg:
        if not pg.can_crash:
            pytest.skip("the server is somebody else's")
        async with Outbox(pg.url) as outbox:
            await outbox.submit(Text("One."), key="monday")
            waiting = asyncio.ensure_future(outbox.result("monday"))
            await until(outbox, "monday", ItemState.QUEUED)
            pg.crash()
            with pytest.raises(OutboxUnavailableError):
                await outbox.item("monday")
            pg.start()
            assert (await outbox.item("monday")).state is ItemState.QUEUED
            async with working(database=pg.url):
                assert (await asyncio.wait_for(waiting, 10)).ok


async def test_no_content_is_read_to_list_items(outbox: Outbox) -> None:
    """Texts of a meeting each would be 100 MB a page."""
    await outbox.submit(Text("It may be long."), key="one")
    with counted(outbox._database) as statements:
        assert [item.key async for item in outbox.jobs()] == ["one"]
        await outbox.item("one")
    assert len(statements) == 2
    assert not [one for one in statements if "content" in one]
