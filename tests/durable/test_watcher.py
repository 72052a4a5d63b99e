"""A thousand who wait cost what one costs, and learn of every ending at once."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest
import sqlalchemy as sa

from symbl_aio import NotFoundError, Text
from symbl_aio.durable import Entry, ItemFilter, ItemState, Outbox
from symbl_aio.durable._store import reads
from tests.durable.conftest import KINDS
from tests.durable.test_decisions_many import lay_out
from tests.durable.test_dispatch import counted


@pytest.mark.parametrize("database", KINDS, indirect=True)
@pytest.mark.heavy
async def test_a_thousand_who_wait_ask_20_times_a_second_at_most(outbox: Outbox) -> None:
    await outbox.submit_many(Entry(f"c{number}", Text("Hello.")) for number in range(1000))
    with counted(outbox._database) as seen:
        waiting = [asyncio.create_task(outbox.result(f"c{number}")) for number in range(1000)]
        events = [asyncio.create_task(_states(outbox, f"c{number}")) for number in range(500)]
        with pytest.raises(TimeoutError):  # which is the clock here
            await outbox.result("c0", timeout=2)
    assert 2 <= len(seen) <= 40
    with counted(outbox._database) as seen:
        await outbox.discard(ItemFilter())
        decided = len(seen)
        items = await asyncio.gather(*waiting)
        reached = await asyncio.gather(*events)
    assert {item.state for item in items} == {ItemState.DISCARDED}
    assert [item.key for item in items] == [f"c{number}" for number in range(1000)]
    assert set(map(tuple, reached)) == {(ItemState.QUEUED, ItemState.DISCARDED)}
    assert len(seen) - decided <= 10


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_more_who_wait_than_a_statement_has_parameters(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite itself allows 32,766; here both numbers are smaller."""
    keys = [f"c{number}" for number in range(1500)]
    await outbox.submit_many(Entry(key, Text("Hello.")) for key in keys)
    monkeypatch.setattr(reads, "_MAX_KEYS", 900)
    engine = outbox._database.engine

    def limit(connection: sqlite3.Connection, _record: object) -> None:
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 1000)

    sa.event.listen(engine, "connect", limit)
    engine.dispose()
    waiting = [asyncio.create_task(outbox.result(key)) for key in keys]
    with pytest.raises(TimeoutError):
        await outbox.result("c0", timeout=1)
    await outbox.discard("c1499")
    assert (await waiting[-1]).state is ItemState.DISCARDED
    assert not any(task.done() for task in waiting[:-1])
    for task in waiting:
        task.cancel()


async def _states(outbox: Outbox, key: str) -> list[ItemState]:
    return [event.state async for event in outbox.events(key)]


@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_what_is_blocked_is_told_like_any_other_end(outbox: Outbox, tables: Any) -> None:
    lay_out(tables, ("c", None, [ItemState.QUEUED] * 50))
    keys = [f"c-{number}" for number in range(2, 51)]
    waiting = [asyncio.create_task(outbox.result(key)) for key in keys]
    with pytest.raises(TimeoutError):
        await outbox.result("c", timeout=0.3)
    began = asyncio.get_running_loop().time()
    await outbox.discard("c")
    items = await asyncio.gather(*waiting)
    assert {item.state for item in items} == {ItemState.BLOCKED}
    assert asyncio.get_running_loop().time() - began < 5


async def test_a_wake_up_brings_the_next_look_forward(outbox: Outbox) -> None:
    await outbox.submit(Text("Hello."), key="c")
    waiting = asyncio.create_task(outbox.result("c"))
    with pytest.raises(TimeoutError):
        await outbox.result("c", timeout=0.1)
    watcher = outbox._watcher
    watcher._due = asyncio.get_running_loop().time() + 3600
    await outbox.discard("c")
    watcher.wake()
    assert (await asyncio.wait_for(waiting, 10)).state is ItemState.DISCARDED


async def test_what_is_forgotten_while_somebody_waits_is_told(
    outbox: Outbox, tables: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "_FULL_INTERVAL", 0.3)
    await outbox.submit(Text("Hello."), key="c")
    waiting = asyncio.create_task(outbox.result("c"))
    with pytest.raises(TimeoutError):
        await outbox.result("c", timeout=0.1)
    with tables.begin() as connection:  # as a backup does that was put back
        connection.execute(tables.items.delete())
    with pytest.raises(NotFoundError, match="no item has the key 'c'"):
        await asyncio.wait_for(waiting, 20)
    assert len(outbox._watcher) == 0
