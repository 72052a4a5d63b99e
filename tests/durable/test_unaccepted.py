"""An answer that proves that nothing was accepted leaves nothing for a person."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from symbl_aio import Event, ItemEnded, MediaOptions, Text
from symbl_aio.durable import Entry, ItemState, Outbox
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import NAMELESS, Working, said
from tests.support import mp4_bytes

pytestmark = pytest.mark.usefixtures("quick_retries")

PROOF = ["retry_after:503:0", "status:429", "status:425", "status:511", "status:501"]
NO_PROOF = ["status:500", "status:502", "status:503", "status:504", "status:408", "status:507"]


async def hand_in(outbox: Outbox) -> None:
    await outbox.submit_many(
        [
            Entry("one", Text("one"), NAMELESS),
            Entry("two", Text("two"), conversation="one"),
            Entry("three", Text("three"), conversation="one"),
        ]
    )


@pytest.mark.parametrize("fault", PROOF)
async def test_what_an_answer_proves_not_to_be_there_is_sent_again_by_itself(
    outbox: Outbox, working: Working, server: LocalSymbl, fault: str
) -> None:
    server.inject(fault, on="POST")
    server.inject(fault, on="PUT")
    await hand_in(outbox)
    async with working(ambiguity_timeout=0.2):
        assert (await outbox.result("three", timeout=30)).ok
    assert (await outbox.stats()).counts == {ItemState.COMPLETED: 3}
    assert said(server) == ["one", "two", "three"]


async def test_what_failed_before_its_last_byte_is_sent_again_by_itself(
    outbox: Outbox, working: Working, server: LocalSymbl, tmp_path: Path
) -> None:
    path = tmp_path / "long.mp4"
    path.write_bytes(mp4_bytes() + b"\0" * 2**25)
    server.inject("early:500", on="POST")
    await outbox.submit(path, MediaOptions(name=""), key="one")
    async with working(ambiguity_timeout=0.2):
        assert (await outbox.result("one", timeout=30)).ok
    assert sum(one.accepted for one in server.submissions) == 1


@pytest.mark.parametrize("fault", NO_PROOF)
async def test_what_no_answer_proves_waits_for_a_person_and_is_never_sent_twice(
    outbox: Outbox, working: Working, server: LocalSymbl, fault: str
) -> None:
    server.inject(f"accept_then_{fault}", on="POST")
    await hand_in(outbox)
    async with working(ambiguity_timeout=0.1):
        assert (await outbox.result("three", timeout=30)).state is ItemState.BLOCKED
    assert (await outbox.item("one")).state is ItemState.AMBIGUOUS
    assert said(server) == ["one"]


@pytest.mark.heavy
async def test_a_server_that_only_fails_brings_few_items_into_doubt(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    server.inject("status:502", on="POST", times=1000)
    keys = [f"{number}" for number in range(60)]
    await outbox.submit_many([Entry(key, Text(key), NAMELESS) for key in keys])
    loop, ended = asyncio.get_running_loop(), asyncio.Semaphore(0)

    def observe(event: Event | ItemEnded) -> None:
        if isinstance(event, ItemEnded):
            loop.call_soon_threadsafe(ended.release)

    async with working(concurrency=10, ambiguity_timeout=0.1, observers=[observe]):
        for _ in range(11):
            await ended.acquire()
        assert len(server.submissions) <= 12
        server.clear_faults()
        items = [await outbox.result(key, timeout=30) for key in keys]
    ambiguous = [item for item in items if item.state is ItemState.AMBIGUOUS]
    assert len(ambiguous) <= 12
    assert len(said(server)) == len(set(said(server))) == 60 - len(ambiguous)
