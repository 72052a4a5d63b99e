"""Each submission is stored once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from symbl_aio import (
    Audio,
    ClientClosedError,
    ConfigurationError,
    MediaRejectedError,
    Text,
    TextOptions,
    Video,
)
from symbl_aio.durable import Item, ItemState, Outbox
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import NAMELESS, Working, said
from tests.names import CONTROLS, FILE_NAMES
from tests.support import mp4_bytes


async def test_a_conversation_is_named_before_anybody_has_accepted_it(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    opened = await outbox.submit(Text("One."), key="monday")
    assert (opened.state, opened.conversation, opened.number) == (ItemState.QUEUED, "monday", 1)
    for number in range(2, 5):
        item = await outbox.append("monday", Text(f"No {number}."), key=f"monday-{number}")
        assert (item.conversation, item.number) == ("monday", number)
        assert (item.conversation_id, item.job_id, item.sending) == (None, None, False)
    async with working():
        last = await outbox.result("monday-4")
    assert last.ok
    assert said(server) == ["One.", "No 2.", "No 3.", "No 4."]
    (opening, *appends) = server.submissions
    assert [opening.method, *(s.method for s in appends)] == ["POST", "PUT", "PUT", "PUT"]
    assert {s.conversation_id for s in server.submissions} == {last.conversation_id}
    assert opening.parameters["name"] == "monday"


# The same again


async def test_the_same_key_with_the_same_content_is_the_same_item(
    outbox: Outbox, database: str
) -> None:
    options = TextOptions(name="Standup", extra_body={"a": [1, None]})
    first = await outbox.submit(Text("Hello."), options, key="monday")
    again = await outbox.submit(Text("Hello."), options, key="monday")
    appended = await outbox.append("monday", Text("More."), key="tuesday")
    async with Outbox(database) as elsewhere:
        assert await elsewhere.submit(Text("Hello."), options, key="monday") == first == again
        assert await elsewhere.append("monday", Text("More."), key="tuesday") == appended
    assert [item.number async for item in outbox.jobs()] == [1, 2]


async def test_one_of_many_who_hand_in_the_same_at_once_is_taken(
    outbox: Outbox, database: str
) -> None:
    async with Outbox(database) as elsewhere:
        given = await asyncio.gather(
            *(one.submit(Text("Hello."), key="monday") for one in [outbox, elsewhere] * 8),
        )
        assert len({item.queued_at for item in given}) == 1
        more = await asyncio.gather(
            *(one.append("monday", Text("More."), key="more") for one in [outbox, elsewhere] * 8),
            *(one.append("elsewhere", Text("New."), key="new") for one in [outbox, elsewhere] * 8),
        )
        assert {(item.key, item.number) for item in more} == {("more", 2), ("new", 1)}
    assert [item.key async for item in outbox.jobs(conversation="monday")] == ["monday", "more"]


async def test_a_key_is_for_one_thing(outbox: Outbox, tmp_path: Path) -> None:
    path = tmp_path / "standup.mp4"
    path.write_bytes(mp4_bytes())
    await outbox.submit(Text("Hello."), key="monday")
    await outbox.append("monday", Text("More."), key="tuesday")
    await outbox.append("c-1", path, key="file")
    other: list[tuple[str, Callable[[], Any]]] = [
        ("other media", lambda: outbox.submit(Text("Goodbye."), key="monday")),
        ("options", lambda: outbox.submit(Text("Hello."), TextOptions(name="x"), key="monday")),
        ("a new conversation", lambda: outbox.append("monday", Text("Hello."), key="monday")),
        ("an append", lambda: outbox.submit(Text("More."), key="tuesday")),
        ("another conv", lambda: outbox.append("c-1", Text("More."), key="tuesday")),
        ("another conv", lambda: outbox.append("unknown", Text("More."), key="tuesday")),
        ("other media", lambda: outbox.append("c-1", Video(path), key="file")),
        ("other media", lambda: outbox.append("c-1", Audio(path), key="file")),
    ]
    for used_for, hand_in in other:
        with pytest.raises(ConfigurationError, match=rf"key '.*' was used for .*{used_for}"):
            await hand_in()
    path.write_bytes(mp4_bytes()[:-1] + b"x")
    with pytest.raises(ConfigurationError, match="used for other media"):
        await outbox.append("c-1", path, key="file")
    assert [item.key async for item in outbox.jobs()] == ["monday", "tuesday", "file"]


async def test_a_name_is_for_one_conversation(outbox: Outbox) -> None:
    await outbox.append("c-1", Text("Hello."), key="monday")
    with pytest.raises(ConfigurationError, match="names a conversation that exists"):
        await outbox.submit(Text("Hello."), key="c-1")
    with pytest.raises(ConfigurationError, match="'monday' is the key of an append; give 'c-1'"):
        await outbox.append("monday", Text("More."))


async def test_without_a_key_everything_is_new(outbox: Outbox) -> None:
    items = [await outbox.submit(Text("Hello.")) for _ in range(3)]
    assert len({item.key for item in items}) == 3


# The same conversation, by whatever name


@pytest.mark.durable
async def test_the_real_id_is_the_same_lane_as_the_key(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    await outbox.submit(Text("One."), key="monday")
    server.hold_jobs()
    async with working():
        async for event in outbox.events("monday"):
            if event.state is ItemState.ACCEPTED:
                break
        first = await outbox.item("monday")
        assert first.conversation_id is not None
        # The first is on its way, and both names are known.
        await outbox.append("monday", Text("Two."))
        three = await outbox.append(first.conversation_id, Text("Three."), key="three")
        assert (three.conversation, three.number) == ("monday", 3)
        again = await outbox.append("monday", Text("Three."), key="three")
        assert again == three
        server.release()
        assert (await outbox.result("three")).ok
    assert said(server) == ["One.", "Two.", "Three."]
    assert {s.conversation_id for s in server.submissions} == {first.conversation_id}


@pytest.mark.durable
async def test_a_conversation_may_have_been_opened_elsewhere(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    async with server.client() as symbl:
        conversation_id = (await symbl.process(Text("Opened elsewhere."))).id
    for number in range(3):
        item = await outbox.append(conversation_id, Text(f"No {number}."), key=f"no-{number}")
        assert (item.conversation, item.number) == (conversation_id, number + 1)
    async with working():
        assert (await outbox.result("no-2")).conversation_id == conversation_id
    assert said(server) == ["Opened elsewhere.", "No 0.", "No 1.", "No 2."]


@pytest.mark.durable
async def test_an_id_that_is_not_known_yet_keeps_an_order_of_its_own(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    # The server has accepted what its sender does not know yet, and somebody found it there.
    server.inject("accept_then_drop", on="POST")
    async with working(ambiguity_timeout=0.2):
        await outbox.submit(Text("One."), NAMELESS, key="monday")
        assert (await outbox.result("monday")).state is ItemState.AMBIGUOUS
        conversation_id = server.submissions[0].conversation_id
        assert conversation_id is not None
        by_id = await outbox.append(conversation_id, Text("By id."), key="by-id")
        assert by_id.conversation == conversation_id
        assert (await outbox.result("by-id")).ok
        await outbox.resolve("monday", accepted=True, conversation_id=conversation_id)
        by_key = await outbox.append("monday", Text("By key."), key="by-key")
        assert (by_key.conversation, by_key.number) == ("monday", 2)
        again = await outbox.append(conversation_id, Text("Again by id."), key="again")
        assert (again.conversation, again.number) == (conversation_id, 2)
        assert (await outbox.result("by-key")).conversation_id == conversation_id
        assert (await outbox.result("again")).conversation_id == conversation_id
    assert {s.conversation_id for s in server.submissions} == {conversation_id}
    known = [item.key async for item in outbox.jobs(conversation=conversation_id)]
    assert known == ["monday", "by-id", "by-key", "again"]


# Wrong use


@pytest.mark.parametrize("key", ["", " ", "a\n", "\0", "\ud800", "k" * 201, 7, b"monday"])
async def test_a_key_can_be_read_by_people(sqlite_database: str, key: Any) -> None:
    async with Outbox(sqlite_database) as outbox:
        with pytest.raises(ConfigurationError, match="key is"):
            await outbox.submit(Text("Hello."), key=key)
        for ask in (
            lambda: outbox.item(key),
            lambda: outbox.result(key),
            lambda: anext(outbox.events(key)),
            lambda: outbox.resolve(key, accepted=False),
            lambda: outbox.retry(key),
        ):
            with pytest.raises(ConfigurationError, match="key is"):
                await ask()
        strange = "Größe/№ 7#1 'x' \"y\" %s :k"
        assert (await outbox.submit(Text("Hello."), key=strange)).number == 1
        assert (await outbox.item(strange)).key == strange


async def test_names_of_files_from_real_machines_are_keys(sqlite_database: str) -> None:
    async with Outbox(sqlite_database) as outbox:
        for name in FILE_NAMES:
            await outbox.submit(Text("Hello."), key=name)
            assert (await outbox.item(name)).key == name
            await outbox.append(name, Text("Hello again."), key=f"{name} (2)")
        for bad in CONTROLS:
            with pytest.raises(ConfigurationError, match="key is"):
                await outbox.submit(Text("Hello."), key=f"a{bad}b")


@pytest.mark.parametrize("conversation", ["", "  ", "\0", "\ud800", 7, b"c-1"])
async def test_a_conversation_has_a_name(sqlite_database: str, conversation: Any) -> None:
    async with Outbox(sqlite_database) as outbox:
        with pytest.raises(ConfigurationError, match="give the key of the item that opens it"):
            await outbox.append(conversation, Text("Hello."))
        with pytest.raises(ConfigurationError, match="give the key of the item that opens it"):
            await anext(outbox.jobs(conversation=conversation))


async def test_what_is_refused_leaves_nothing_behind(sqlite_database: str) -> None:
    async with Outbox(sqlite_database) as outbox:
        with pytest.raises(ConfigurationError, match="media is bytes"):
            await outbox.submit(Video(mp4_bytes()), key="monday")
        with pytest.raises(MediaRejectedError):
            await outbox.append("monday", "/nowhere/standup.mp4", key="tuesday")
        assert [item async for item in outbox.jobs()] == []
        assert (await outbox.submit(Text("Hello."), key="monday")).number == 1


async def test_an_outbox_that_is_not_open_says_so(sqlite_database: str) -> None:
    outbox = Outbox(sqlite_database, webhook_secret="secret")
    calls: list[Callable[[], Any]] = [
        lambda: outbox.submit(Text("Hello.")),
        lambda: outbox.append("monday", Text("Hello.")),
        lambda: outbox.item("monday"),
        lambda: outbox.result("monday"),
        lambda: anext(outbox.events("monday")),
        lambda: anext(outbox.jobs()),
        lambda: outbox.stats(),
        lambda: outbox.webhook("nonce", "mark", b""),
        lambda: outbox.resolve("monday", accepted=False),
        lambda: outbox.retry("monday"),
    ]

    async def assert_closed() -> None:
        for call in calls:
            with pytest.raises(ClientClosedError, match="outbox is not open"):
                await call()

    await assert_closed()
    await outbox.aclose()
    await outbox.aclose()
    await assert_closed()
    outbox = Outbox(sqlite_database, webhook_secret="secret")
    async with outbox:
        assert isinstance(await outbox.submit(Text("Hello."), key="monday"), Item)
        with pytest.raises(ConfigurationError, match="started already"):
            await outbox.start()
    await assert_closed()
    with pytest.raises(ConfigurationError, match="started already; make a new one"):
        await outbox.start()
