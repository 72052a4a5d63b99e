"""Many items are handed in by few statements, in order, once, and each chunk whole or not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from symbl_aio import ConfigurationError, MediaRejectedError, Text
from symbl_aio.durable import Entered, Entry, ItemState, Outbox
from symbl_aio.durable import content as stored
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import KINDS, NAMELESS, Working, said
from tests.durable.test_decisions_many import heads, lay_out
from tests.durable.test_dispatch import counted
from tests.support import mp4_bytes

A, B, C = ItemState.AMBIGUOUS, ItemState.BLOCKED, ItemState.COMPLETED
Q, R = ItemState.QUEUED, ItemState.REFUSED


def talk(conversations: int, appends: int) -> Iterator[Entry]:
    for number in range(conversations):
        yield Entry(f"c{number}", Text(f"c{number} begins"))
    for turn in range(appends):
        for number in range(conversations):
            key = f"c{number}-{turn}"
            yield Entry(key, Text(key), conversation=f"c{number}")


@pytest.mark.parametrize("database", KINDS, indirect=True)
@pytest.mark.heavy
async def test_thousands_are_handed_in_by_few_statements_in_their_order(outbox: Outbox) -> None:
    with counted(outbox._database) as seen:
        entered = await outbox.submit_many(talk(500, 6))
    assert entered == Entered(items=3500, new=3500)
    items = [item async for item in outbox.jobs()]
    assert [item.key for item in items] == [entry.key for entry in talk(500, 6)]
    for item in items:
        _, _, turn = item.key.partition("-")
        assert item.number == (int(turn) + 2 if turn else 1)
        assert item.conversation == item.key.partition("-")[0]
    assert len(seen) <= 4 * 20  # chunks, and statements of one


async def test_what_was_handed_in_at_once_is_sent_as_if_it_had_come_one_by_one(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    async def entries() -> AsyncIterator[Entry]:
        for entry in talk(3, 3):
            yield entry

    await outbox.submit_many(entries())
    async with working():
        for number in range(3):
            assert (await outbox.result(f"c{number}-2")).ok
    for number in range(3):
        of_it = [text for text in said(server) if text.startswith(f"c{number}")]
        assert of_it == [f"c{number} begins", *(f"c{number}-{turn}" for turn in range(3))]


@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_the_same_again_is_the_same_items(outbox: Outbox, database: str) -> None:
    async with Outbox(database) as elsewhere:
        both = await asyncio.gather(
            *(one.submit_many(talk(40, 2)) for one in [outbox, elsewhere] * 2)
        )
    assert sum(entered.new for entered in both) == 120
    assert {entered.items for entered in both} == {120}
    one = await outbox.submit(Text("c7 begins"), key="c7")
    assert one.number == 1
    twice = [Entry("x", Text("x")), Entry("x", Text("x")), Entry("y", Text("y"), conversation="x")]
    assert await outbox.submit_many([*twice, *twice]) == Entered(items=6, new=2)
    assert (await outbox.stats()).counts == {Q: 122}


OPENER = ("monday", Text("We begin."), None)
APPEND = ("tuesday", Text("We go on."), "monday")


async def give(outbox: Outbox, way: str, key: str, media: Text, conversation: str | None) -> None:
    if way == "many":
        await outbox.submit_many([Entry(key, media, conversation=conversation)])
    elif conversation is None:
        await outbox.submit(media, key=key)
    else:
        await outbox.append(conversation, media, key=key)


@pytest.mark.durable
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("way", ["one", "many"])
@pytest.mark.parametrize(
    ("first", "then"),
    [([OPENER], OPENER), ([OPENER], APPEND), ([OPENER, APPEND], APPEND)],
    ids=["opener", "append", "both"],
)
async def test_what_another_process_commits_between_two_statements_is_no_contradiction(
    outbox: Outbox, database: str, way: str, first: list[Any], then: Any
) -> None:
    """Its conversation was not there to be locked, and its items are there when they are read."""
    loop, engine = asyncio.get_running_loop(), outbox._database.engine
    done = threading.Event()
    async with Outbox(database) as elsewhere:

        async def submit_elsewhere() -> None:
            for given in first:
                await give(elsewhere, "one", *given)

        def meanwhile(*given: Any) -> None:
            if "FOR UPDATE" in given[2] and not done.is_set():
                done.set()
                asyncio.run_coroutine_threadsafe(submit_elsewhere(), loop).result(30)

        sa.event.listen(engine, "after_cursor_execute", meanwhile)
        await give(outbox, way, *then)
    found = [(item.key, item.conversation, item.number) async for item in outbox.jobs()]
    numbers = {"monday": 1, "tuesday": 2}
    keys = sorted({given[0] for given in [*first, then]})
    assert found == [(key, "monday", numbers[key]) for key in keys]


async def test_appends_find_their_conversations_as_one_by_one(outbox: Outbox, tables: Any) -> None:
    lay_out(
        tables,
        ("done", "id of done", [C]),
        ("busy", "id of busy", [C, Q]),
        ("halted", None, [A, B]),
        ("shut", None, [R]),
    )
    entered = await outbox.submit_many(
        [
            Entry("1", Text("1"), conversation="id of done", priority=7),
            Entry("2", Text("2"), conversation="done"),
            Entry("3", Text("3"), conversation="busy"),
            Entry("4", Text("4"), conversation="halted"),
            Entry("5", Text("5"), conversation="shut"),
            Entry("6", Text("6"), conversation="somewhere else"),
            Entry("7", Text("7"), conversation="somewhere else"),
        ]
    )
    assert entered.new == 7
    items = {key: await outbox.item(key) for key in "1234567"}
    assert {key: (i.conversation, i.number, i.state) for key, i in items.items()} == {
        "1": ("done", 2, Q),
        "2": ("done", 3, Q),
        "3": ("busy", 3, Q),
        "4": ("halted", 3, B),
        "5": ("shut", 2, B),
        "6": ("somewhere else", 1, Q),
        "7": ("somewhere else", 2, Q),
    }
    assert "ambiguous" in str(items["4"].error)
    assert "retry that" in str(items["5"].error)
    assert items["4"].ended_at is not None
    assert heads(tables) == ["1", "6", "busy-2"]


BYTES: Any = b"bytes"
GOOD = [Entry(f"g{number}", Text("good")) for number in range(3)]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (Entry("g1", Text("other")), r"items\[3\].*'g1' was used for other media"),
        (Entry("kept", Text("other")), r"items\[3\].*'kept' was used for other media"),
        (Entry("id", Text("x")), r"items\[3\].*'id' names a conversation that exists"),
        (Entry("m", Text("x"), conversation="kept-2"), r"items\[3\].*is the key of an append"),
        (Entry("m", BYTES), r"items\[3\] \(key 'm'\): media is bytes"),
        (Entry("", Text("x")), r"items\[3\]: key is ''"),
        (Entry("m", Text("x"), conversation=""), r"items\[3\] \(key 'm'\): conversation is ''"),
        (Entry("m", Text("x"), priority=1001), r"items\[3\] \(key 'm'\): priority is 1001"),
        (Text("x"), r"items\[3\] is a Text; give Entry"),
        (Entry("m", "/nothing/here.mp4"), r"items\[3\] \(key 'm'\): .*cannot be read"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_of_its_chunk_is_entered(
    outbox: Outbox, wrong: Any, told: str
) -> None:
    await outbox.submit(Text("kept"), NAMELESS, key="kept")
    await outbox.append("kept", Text("kept"), key="kept-2")
    await outbox.append("id", Text("kept"), key="kept-3")
    with pytest.raises((ConfigurationError, MediaRejectedError), match=told):
        await outbox.submit_many([*GOOD, wrong, Entry("after", Text("x"))])
    assert (await outbox.stats()).counts == {Q: 3}
    assert await outbox.submit_many(GOOD) == Entered(items=3, new=3)


async def test_what_came_before_a_wrong_chunk_stays_and_is_known_when_it_comes_again(
    outbox: Outbox,
) -> None:
    entries: list[Any] = [*talk(1200, 0)]
    with pytest.raises(ConfigurationError, match=r"items\[1200\]"):
        await outbox.submit_many([*entries, Entry("c7", Text("other"))])
    assert (await outbox.stats()).counts == {Q: 1000}
    assert await outbox.submit_many(entries) == Entered(items=1200, new=200)


async def test_files_are_hashed_side_by_side_and_read_once(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_on, paths, at_once, most = stored._read_on, [], 0, 0

    def counting(path: str, *given: Any) -> int:
        nonlocal at_once, most
        if not given[1]:
            paths.append(path)
        at_once += 1
        most = max(most, at_once)
        try:
            return read_on(path, *given)
        finally:
            at_once -= 1

    monkeypatch.setattr(stored, "_read_on", counting)
    for number in range(40):
        (tmp_path / f"{number}.mp4").write_bytes(mp4_bytes() + bytes([number]) * 2**20)
    entries = [Entry(f"f{number}", tmp_path / f"{number}.mp4") for number in range(40)]
    assert await outbox.submit_many(entries) == Entered(items=40, new=40)
    assert sorted(paths) == sorted(str(entry.media) for entry in entries)
    assert most > 1
    assert [item.key async for item in outbox.jobs()] == [entry.key for entry in entries]


async def test_a_file_is_read_once_to_hand_it_in_and_once_to_send_it(
    outbox: Outbox,
    working: Working,
    server: LocalSymbl,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "standup.mp4"
    path.write_bytes(mp4_bytes())
    await outbox.submit_many([Entry("one", path)])

    def reading(*_: object) -> int:
        raise AssertionError("it is read for its SHA-256 again")

    monkeypatch.setattr(stored, "_read_on", reading)
    async with working():
        assert (await outbox.result("one", timeout=30)).ok


async def test_an_iterable_that_fails_or_is_none_is_told(outbox: Outbox) -> None:
    def broken() -> Iterator[Entry]:
        yield from GOOD
        raise RuntimeError("the list ends here")

    with pytest.raises(RuntimeError, match="ends here"):
        await outbox.submit_many(broken())
    wrong: Any = 7
    with pytest.raises(ConfigurationError, match="items is an int"):
        await outbox.submit_many(wrong)
    assert await outbox.submit_many([]) == Entered(items=0, new=0)
    assert (await outbox.stats()).counts == {}
