"""A worker that dies at a point where it hurts: the server accepted it once, or never.

The points are those of ``CHECKPOINT``, and one where the server holds its answer. The
second item of a conversation meets each of them, and the first those where it is in doubt.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from examples.durable.postgres import Postgres
from symbl_aio import Audio
from symbl_aio.durable import Item, ItemState
from symbl_aio.durable.attempt_steps import MAX_CRASHES
from symbl_aio.durable.content import Media
from tests.durable.chaos import Handed, Scene, in_conversations, said, scene
from tests.durable.work import CRASHED

pytestmark = [pytest.mark.durable, pytest.mark.timeout(120)]

QUICK: Final[dict[str, Any]] = {
    "heartbeat": 0.2,
    "worker_timeout": 0.8,
    "ambiguity_timeout": 1.5,
    "concurrency": 4,
}
ITEMS: Final = in_conversations(conversations=1, length=3)
FIRST, SECOND, THIRD = (item.key for item in ITEMS)
ONCE: Final = {FIRST: 1, SECOND: 1, THIRD: 1}
_HELD: Final = 60.0


@pytest.fixture(params=["restart", "take-over"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An SQLite file, whose one worker starts again; or PostgreSQL, where another takes over."""
    if request.param == "restart":
        yield f"sqlite:///{tmp_path / 'outbox.db'}"
        return
    pg: Postgres = request.getfixturevalue("pg")
    url = pg.create()
    yield url
    pg.drop(url)


@pytest.fixture(params=[True, False], ids=["webhooks", "silent"])
def webhooks(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def crash(scene: Scene, point: str, number: int) -> None:
    """Crash a worker when item ``number`` is at a point, and start another."""
    if point == "sent":
        await scene.server.ask("inject", f"slow:{_HELD}", "POST" if number == 1 else "PUT", 1)
        await scene.add_worker()
        await scene.until("accepted", number)
        await scene.kill(0)
    else:
        worker = await scene.add_worker(crash_at=[point, number])
        async with asyncio.timeout(30):
            assert await worker.ended() == CRASHED
    await scene.add_worker()


async def outcome(scene: Scene) -> tuple[dict[str, int], dict[str, Item]]:
    """Wait for the end of all, and give how often each was accepted, and how it ended."""
    await scene.until_ended()
    accepted = Counter(key for key, *_ in (await scene.server.ask("seen"))["accepted"])
    return dict(accepted), {item.key: item async for item in scene.outbox.jobs()}


@pytest.mark.parametrize("point", ["sent", "answered", "accepted", "following", "ended"])
async def test_what_the_server_has_accepted_is_never_sent_again(
    database: str, webhooks: bool, point: str
) -> None:
    async with scene(database, webhooks=webhooks, **QUICK) as found:
        await found.hand_in(ITEMS, said)
        await crash(found, point, 2)
        accepted, items = await outcome(found)
    assert accepted == ONCE
    assert {item.state for item in items.values()} == {ItemState.COMPLETED}


@pytest.mark.parametrize("taken_for_dead", [True, False])
@pytest.mark.parametrize("point", ["sending", "answered", "accepted", "following", "ended"])
async def test_who_is_frozen_there_and_wakes_when_all_is_done_does_no_harm(
    pg: Postgres, webhooks: bool, point: str, taken_for_dead: bool
) -> None:
    """It wakes with an item, or with the slot of the next one, that another worker has ended."""
    async with scene(pg.create(), webhooks=webhooks, **QUICK) as found:
        await found.hand_in(ITEMS, said)
        frozen = await found.add_worker(freeze_at=[point, 2])
        async with asyncio.timeout(30):
            await frozen.paused()
        await found.add_worker()
        await outcome(found)
        if taken_for_dead:
            await found.until_taken_for_dead(frozen.told)
        frozen.resume()
        later = in_conversations(conversations=2, length=2)[1::2]
        await found.hand_in(later, said)
        accepted, items = await outcome(found)
    assert accepted == ONCE | {item.key: 1 for item in later}
    assert {item.state for item in items.values()} == {ItemState.COMPLETED}


@pytest.mark.parametrize("point", ["sent", "answered"])
async def test_nor_is_what_has_opened_a_conversation(
    database: str, webhooks: bool, point: str
) -> None:
    async with scene(database, webhooks=webhooks, **QUICK) as found:
        await found.hand_in(ITEMS, said)
        await crash(found, point, 1)
        accepted, items = await outcome(found)
    assert accepted == ONCE
    assert {item.state for item in items.values()} == {ItemState.COMPLETED}
    assert len({item.conversation_id for item in items.values()}) == 1


@pytest.mark.parametrize("number", [1, 2])
async def test_who_dies_before_the_last_byte_leaves_a_doubt_for_a_person(
    database: str, webhooks: bool, number: int
) -> None:
    async with scene(database, webhooks=webhooks, **QUICK) as found:
        await found.hand_in(ITEMS, said)
        await crash(found, "intent", number)
        accepted, items = await outcome(found)
        assert accepted == ({} if number == 1 else {FIRST: 1})
        assert [item.state for item in items.values()] == [
            *[ItemState.COMPLETED] * (number - 1),
            ItemState.AMBIGUOUS,
            *[ItemState.BLOCKED] * (3 - number),
        ]
        await found.outbox.resolve(ITEMS[number - 1].key, accepted=False)
        accepted, items = await outcome(found)
    assert accepted == ONCE
    assert {item.state for item in items.values()} == {ItemState.COMPLETED}


async def test_or_is_sent_once_more_if_that_is_what_is_wanted(
    database: str, webhooks: bool
) -> None:
    settings = {**QUICK, "on_ambiguous": "at_least_once"}
    async with scene(database, webhooks=webhooks, **settings) as found:
        await found.hand_in(ITEMS, said)
        await crash(found, "intent", 2)
        accepted, items = await outcome(found)
    assert accepted == ONCE
    assert {item.state for item in items.values()} == {ItemState.COMPLETED}


@pytest.mark.parametrize("webhooks", [True, False], ids=["webhooks", "silent"])
async def test_a_recording_in_doubt_has_no_witness_but_a_webhook(
    database: str, webhooks: bool, tmp_path: Path
) -> None:
    file = tmp_path / "talk.wav"
    file.write_bytes(b"RIFF\0\0\0\0WAVE" + bytes(2000))

    def media(item: Handed) -> Media:
        return Audio(file) if item.number == 2 else said(item)

    async with scene(database, webhooks=webhooks, **QUICK) as found:
        await found.hand_in(ITEMS, media)
        await crash(found, "sent", 2)
        accepted, items = await outcome(found)
    assert accepted == (ONCE if webhooks else {FIRST: 1, SECOND: 1})
    assert [item.state.value for item in items.values()] == (
        ["completed"] * 3 if webhooks else ["completed", "ambiguous", "blocked"]
    )


async def test_an_item_that_kills_whoever_takes_it_has_an_end(database: str) -> None:
    async with scene(database, webhooks=True, **QUICK) as found:
        await found.hand_in(ITEMS[:1], said)
        for _ in range(MAX_CRASHES):
            worker = await found.add_worker(crash_at=["sending", 1])
            async with asyncio.timeout(30):
                assert await worker.ended() == CRASHED
        await found.add_worker()
        accepted, items = await outcome(found)
    assert accepted == {}
    assert items[FIRST].state is ItemState.REFUSED
    assert items[FIRST].error == (
        f"nothing of it was accepted: {MAX_CRASHES} workers died while they had it"
    )
