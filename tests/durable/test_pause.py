"""A queue is paused, resumed and drained; items with a slot continue."""

from __future__ import annotations

import asyncio

import pytest

from symbl_aio import Text
from symbl_aio.durable import ItemState, Outbox
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._store.attempt_records import AttemptRecords
from symbl_aio.durable.items import Attempt
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import KINDS, Working, dispatch, until


@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_a_paused_queue_gives_no_new_slots_until_it_is_resumed(
    outbox: Outbox, tables: Database
) -> None:
    await outbox.pause()  # before any worker has ever started
    for number in range(3):
        await outbox.submit(Text("One."), key=f"k{number}")
    assert (await outbox.stats()).paused
    assert dispatch(tables, cap=2) == 0
    await outbox.resume()
    assert dispatch(tables, cap=2) == 2
    stats = await outbox.stats()
    assert (stats.paused, stats.cap_used) == (False, 2)
    await outbox.pause()
    await outbox.pause()
    AttemptRecords(tables, "w").record_end(Attempt("k0", 1), ItemState.COMPLETED, None)
    assert dispatch(tables, cap=2) == 0


async def test_what_was_sent_goes_on_in_a_paused_queue(outbox: Outbox, tables: Database) -> None:
    """It gets its slot back, as after a worker that broke off: its job runs already."""
    await outbox.submit(Text("One."), key="sent")
    await outbox.submit(Text("One."), key="waits")
    with tables.begin() as connection:
        sent = tables.items.c.key == "sent"
        connection.execute(tables.items.update().where(sent).values(sent_by="w", sent_at=1.0))
    await outbox.pause()
    assert dispatch(tables) == 1
    assert (await outbox.stats()).cap_used == 1


async def test_jobs_end_while_it_is_paused_and_what_waits_is_not_lost(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    server.hold_jobs()
    async with working(concurrency=2) as worker:
        for number in range(4):
            await outbox.submit(Text("One."), key=f"k{number}")
        for number in range(2):
            await until(outbox, f"k{number}", ItemState.ACCEPTED)
        with pytest.raises(TimeoutError):
            await outbox.pause(wait=True, timeout=0.05)
        server.release()
        await outbox.pause(wait=True, timeout=20)
        counts = (await worker.stats()).counts
        assert counts == {ItemState.COMPLETED: 2, ItemState.QUEUED: 2}
        await outbox.resume()
        for number in range(4):
            assert (await outbox.result(f"k{number}", timeout=20)).ok


async def test_a_resumed_queue_continues_before_the_next_poll(
    outbox: Outbox, working: Working
) -> None:
    await outbox.pause()
    await outbox.submit(Text("One."), key="one")
    async with working(poll_interval=60.0) as worker:
        assert (await worker.stats()).paused
        await outbox.resume()
        assert (await outbox.result("one", timeout=20)).ok


async def test_a_worker_that_drains_takes_nothing_new_and_ends_with_its_own_jobs(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    server.hold_jobs()
    async with working(concurrency=1) as worker:
        await outbox.submit(Text("One."), key="its own")
        await until(outbox, "its own", ItemState.ACCEPTED)
        await outbox.submit(Text("Two."), key="another's")
        draining = asyncio.create_task(worker.drain())
        await asyncio.sleep(0)  # its first step
        server.release()
        async with asyncio.timeout(20):
            await draining
        assert not worker.is_ready
        states = {item.key: item.state async for item in outbox.jobs()}
    assert states == {"its own": ItemState.COMPLETED, "another's": ItemState.QUEUED}
    assert len(server.submissions) == 1
    async with working():
        assert (await outbox.result("another's", timeout=20)).ok


async def test_a_drain_that_takes_too_long_leaves_the_rest_to_others(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    server.hold_jobs()
    async with working() as worker:
        await outbox.submit(Text("One."), key="one")
        await until(outbox, "one", ItemState.ACCEPTED)
        with pytest.raises(TimeoutError):
            await worker.drain(timeout=0.05)
        assert not worker.is_ready
    server.release()
    async with working():
        assert (await outbox.result("one", timeout=20)).ok
    assert len(server.submissions) == 1
