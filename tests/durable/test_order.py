"""In each conversation items arrive in the order of submission, from any process."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections import defaultdict
from itertools import chain, pairwise

import pytest
from attrs import frozen

from symbl_aio import Text
from symbl_aio.durable import Outbox
from symbl_aio.durable._database.database import Database
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import Working, make_all_ready, said
from tests.durable.produce import AT_ONCE

pytestmark = pytest.mark.durable

CONVERSATIONS = 5
EACH = 15
PROCESSES = 2


@frozen
class HandedIn:
    key: str
    conversation: str
    began: float
    ended: float


async def produce(database: str) -> list[HandedIn]:
    """Hand in from two processes at once, and give what they did."""
    arguments = [str(CONVERSATIONS), str(EACH)]
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.durable.produce", database, f"p{number}", *arguments,
            stdin=PIPE, stdout=PIPE,
        )
        for number in range(PROCESSES)
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None
        await process.stdout.readline()
    told = await asyncio.gather(*(process.communicate(b"\n") for process in started))
    assert [process.returncode for process in started] == [0] * PROCESSES
    return [HandedIn(*one) for out, _ in told for one in json.loads(out)]


async def arrived(
    outbox: Outbox, working: Working, server: LocalSymbl, handed_in: list[HandedIn]
) -> dict[str, list[str]]:
    """Have everything sent; give the keys of each conversation in the order of their arrival."""
    async with working(concurrency=CONVERSATIONS):
        ends = [await outbox.result(one.key) for one in handed_in]
    assert [item.error for item in ends if not item.ok] == []
    of = {one.key: one.conversation for one in handed_in}
    found = defaultdict(list)
    for text in said(server):
        if text in of:
            found[of[text]].append(text)
    assert sorted(chain(*found.values())) == sorted(of)  # each of them, and once
    return found


async def inversions(outbox: Outbox, found: dict[str, list[str]]) -> int:
    """Count the neighbours that arrived in another order than they were numbered."""
    numbers = {item.key: item.number async for item in outbox.jobs()}
    return sum(numbers[a] > numbers[b] for keys in found.values() for a, b in pairwise(keys))


@pytest.fixture
async def opened(outbox: Outbox) -> Outbox:
    for number in range(CONVERSATIONS):
        await outbox.submit(Text(f"c-{number}"), key=f"c-{number}")
    return outbox


async def test_nothing_overtakes_what_was_handed_in_before_it_began_to_be(
    opened: Outbox, database: str, working: Working, server: LocalSymbl
) -> None:
    handed_in = await produce(database)
    assert len(handed_in) == PROCESSES * AT_ONCE * EACH
    found = await arrived(opened, working, server, handed_in)
    assert await inversions(opened, found) == 0
    times = {one.key: one for one in handed_in}
    overtaken = [
        (early, late)
        for keys in found.values()
        for place, early in enumerate(keys)
        for late in keys[place + 1 :]
        if times[late].ended < times[early].began
    ]
    assert overtaken == []


async def test_it_is_the_one_head_of_a_conversation_that_keeps_the_order(
    opened: Outbox, database: str, working: Working, server: LocalSymbl
) -> None:
    handed_in = await produce(database)
    tables = Database(database)
    make_all_ready(tables)
    tables.close()
    try:
        found = await arrived(opened, working, server, handed_in)
    except AssertionError as error:  # an append went before its opening, and was not sent
        if "open the conversation" not in str(error):
            raise
    else:
        assert await inversions(opened, found) > 0
