"""An operator's decisions about items are executed, and impossible ones refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import evolve

from symbl_aio import ConfigurationError, NotFoundError, Text
from symbl_aio._outage import Outage
from symbl_aio.durable import Item, ItemState, Outbox
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._store import queue_control
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import NAMELESS, Working, said, until
from tests.durable.test_dispatch import change
from tests.support import QUICK

FOLLOWERS = ["two", "three", "four"]


async def hand_in(outbox: Outbox) -> None:
    await outbox.submit(Text("one"), NAMELESS, key="one")
    for key in FOLLOWERS:
        await outbox.append("one", Text(key), key=key)


async def states(outbox: Outbox) -> list[ItemState]:
    return [item.state async for item in outbox.jobs(conversation="one")]


async def halted(outbox: Outbox, server: LocalSymbl, *, on: str, accept: bool) -> Item:
    """Bring an item into doubt that nothing ends, and wait for what follows to be blocked."""
    server.inject("accept_then_drop" if accept else "status:502", on=on)
    await hand_in(outbox)
    last = await outbox.result(FOLLOWERS[-1])
    assert last.state is ItemState.BLOCKED
    assert "ambiguous" in str(last.error)
    return await outbox.item("one" if on == "POST" else "two")


@pytest.mark.parametrize("on", ["POST", pytest.param("PUT", marks=pytest.mark.durable)])
async def test_what_was_not_accepted_is_sent_again_and_all_that_waited_goes_on_in_order(
    outbox: Outbox, working: Working, server: LocalSymbl, on: str
) -> None:
    async with working(ambiguity_timeout=0.2):
        item = await halted(outbox, server, on=on, accept=False)
        assert item.state is ItemState.AMBIGUOUS
        assert not item.sending
        late = await outbox.append("one", Text("late"), key="late")
        assert (await outbox.result("late")).state is ItemState.BLOCKED
        assert late.number == 5
        resolved = await outbox.resolve(item.key, accepted=False)
        assert (resolved.state, resolved.error, resolved.ended_at) == (ItemState.QUEUED, None, None)
        assert (await outbox.result("late")).ok
        assert await states(outbox) == [ItemState.COMPLETED] * 5
    assert said(server) == ["one", *FOLLOWERS, "late"]


@pytest.mark.durable
@pytest.mark.parametrize("follow", [True, False])
async def test_what_was_accepted_is_not_sent_again(
    outbox: Outbox, working: Working, server: LocalSymbl, follow: bool
) -> None:
    async with working(ambiguity_timeout=0.2):
        item = await halted(outbox, server, on="POST", accept=True)
        (job,) = server.jobs.values()
        server.hold_jobs()
        resolved = await outbox.resolve(
            "one",
            accepted=True,
            conversation_id=job.conversation_id,
            job_id=job.id if follow else None,
        )
        assert resolved.conversation_id == job.conversation_id
        assert resolved.state is (ItemState.ACCEPTED if follow else ItemState.COMPLETED)
        assert resolved.error is None
        server.release()
        assert (await outbox.result("four")).conversation_id == job.conversation_id
        assert await states(outbox) == [ItemState.COMPLETED] * 4
        assert (await outbox.item("one")).job_id == (job.id if follow else None)
        assert item.state is ItemState.AMBIGUOUS
    assert said(server) == ["one", *FOLLOWERS]


@pytest.mark.durable
async def test_the_job_of_an_append_is_followed_to_its_true_end(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    server.inject("job_fails", on="PUT")
    async with working(ambiguity_timeout=0.2):
        await halted(outbox, server, on="PUT", accept=True)
        job = list(server.jobs.values())[-1]
        await outbox.resolve("two", accepted=True, job_id=job.id)
        assert (await outbox.result("two")).state is ItemState.FAILED
        assert (await outbox.result("four")).ok
        # It was accepted once, and failed: a person may have it sent again all the same.
        await outbox.retry("two")
        again = await outbox.result("two")
        assert again.ok
        assert again.job_id not in (None, job.id)
    assert said(server) == ["one", *FOLLOWERS, "two"]


@pytest.mark.durable
async def test_what_would_be_a_mistake_is_refused(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    async with working(ambiguity_timeout=0.2):
        await outbox.submit(Text("another"), key="another")
        another = await outbox.result("another")
        await halted(outbox, server, on="POST", accept=True)
        mistakes: list[tuple[str, Callable[[], Any]]] = [
            ("conversation_id is missing", lambda: outbox.resolve("one", accepted=True)),
            (
                "is that of item 'another'",
                lambda: outbox.resolve(
                    "one", accepted=True, conversation_id="c", job_id=another.job_id
                ),
            ),
            ("leave them out", lambda: outbox.resolve("one", accepted=False, job_id="1")),
            ("leave them out", lambda: outbox.resolve("one", accepted=False, conversation_id="1")),
            (
                "conversation_id",
                lambda: outbox.resolve("one", accepted=True, conversation_id="../1"),
            ),
            ("completed, and only amb", lambda: outbox.resolve("another", accepted=False)),
            ("blocked, and only amb", lambda: outbox.resolve("two", accepted=False)),
            ("ambiguous; say what became of it: resolve", lambda: outbox.retry("one")),
            ("completed", lambda: outbox.retry("another")),
            ("'one' of the conversation is ambiguous; resolve", lambda: outbox.retry("two")),
        ]
        for told, act in mistakes:
            with pytest.raises(ConfigurationError, match=told):
                await act()
        assert await states(outbox) == [ItemState.AMBIGUOUS, *[ItemState.BLOCKED] * 3]
        (job,) = [job for job in server.jobs.values() if job.id != another.job_id]
        await outbox.resolve("one", accepted=True, conversation_id=job.conversation_id)
        assert (await outbox.result("four")).ok
    server.clear_faults()


@pytest.mark.durable
async def test_an_append_belongs_to_the_conversation_it_was_appended_to(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    async with working(ambiguity_timeout=0.2):
        await halted(outbox, server, on="PUT", accept=False)
        with pytest.raises(ConfigurationError, match="was appended to"):
            await outbox.resolve("two", accepted=True, conversation_id="another")
        resolved = await outbox.resolve("two", accepted=True)
        assert resolved.conversation_id == (await outbox.item("one")).conversation_id
        assert (await outbox.result("four")).ok
    assert said(server) == ["one", "three", "four"]  # as the person said


@pytest.mark.durable
@pytest.mark.parametrize(
    "state", [ItemState.QUEUED, ItemState.ACCEPTED, ItemState.COMPLETED, ItemState.FAILED]
)
async def test_only_what_is_in_doubt_is_resolved(
    outbox: Outbox, working: Working, server: LocalSymbl, state: ItemState
) -> None:
    if state is ItemState.FAILED:
        server.inject("job_fails")
    server.hold_jobs()
    await outbox.submit(Text("one"), key="one")
    async with working():
        if state is not ItemState.QUEUED:
            await until(outbox, "one", ItemState.ACCEPTED)
        if state in (ItemState.COMPLETED, ItemState.FAILED):
            server.release()
            await outbox.result("one")
        if state is ItemState.QUEUED:
            return
        for accepted in (True, False):
            with pytest.raises(ConfigurationError, match=f"{state.value}, and only ambiguous"):
                await outbox.resolve("one", accepted=accepted)
        if state is not ItemState.FAILED:
            with pytest.raises(ConfigurationError, match=f"item 'one' is {state.value}"):
                await outbox.retry("one")
        server.release()


async def test_what_waits_is_neither_resolved_nor_retried(outbox: Outbox) -> None:
    await outbox.submit(Text("one"), key="one")
    with pytest.raises(ConfigurationError, match="queued, and only ambiguous"):
        await outbox.resolve("one", accepted=False)
    with pytest.raises(ConfigurationError, match="item 'one' is queued"):
        await outbox.retry("one")


# Refused items


async def test_who_could_not_open_the_conversation_goes_first(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    server.inject("status:400", on="POST")
    async with working():
        await hand_in(outbox)
        assert (await outbox.result("four")).state is ItemState.BLOCKED
        assert await states(outbox) == [ItemState.REFUSED, *[ItemState.BLOCKED] * 3]
        with pytest.raises(ConfigurationError, match=r"'one' has not opened .* retry that first"):
            await outbox.retry("two")
        again = await outbox.retry("one")
        assert (again.state, again.error, again.ended_at) == (ItemState.QUEUED, None, None)
        assert (await outbox.result("four")).ok
    assert said(server) == ["one", *FOLLOWERS]


@pytest.mark.durable
async def test_a_refused_append_keeps_nobody_up_and_may_come_later(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    server.inject("status:400", on="PUT")
    async with working():
        await hand_in(outbox)
        assert (await outbox.result("two")).state is ItemState.REFUSED
        assert (await outbox.result("four")).ok
        await outbox.retry("two")
        assert (await outbox.result("two")).ok
    assert said(server) == ["one", "three", "four", "two"]


@pytest.mark.durable
async def test_a_lost_job_may_be_sent_again(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    server.inject("status:404", on="/v1/job", times=1000)
    async with working(config={"polls": evolve(QUICK["polls"], not_found_grace=0.05)}):
        await outbox.submit(Text("one"), key="one")
        lost = await outbox.result("one")
        assert lost.state is ItemState.LOST
        server.clear_faults()
        await outbox.retry("one")
        again = await outbox.result("one")
        assert again.ok
        assert again.conversation_id not in (None, lost.conversation_id)
        await outbox.append("one", Text("two"), key="two")
        assert (await outbox.result("two")).conversation_id == again.conversation_id
    assert said(server) == ["one", "one", "two"]


# Discarded items


async def test_what_was_taken_back_is_not_sent_and_what_follows_goes_on(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    await hand_in(outbox)
    taken = await outbox.discard("three")
    assert (taken.state, taken.sending, taken.error) == (ItemState.DISCARDED, False, None)
    assert taken.ended_at is not None
    assert (await outbox.append("one", Text("three"), key="three")).state is ItemState.DISCARDED
    assert [event.state async for event in outbox.events("three")] == [
        ItemState.QUEUED,
        ItemState.DISCARDED,
    ]
    async with working():
        assert (await outbox.result("four")).ok
        assert said(server) == ["one", "two", "four"]
        await outbox.retry("three")
        assert (await outbox.result("three")).ok
        for key, state in (("one", "completed"), ("three", "completed")):
            with pytest.raises(ConfigurationError, match=f"{key!r} is {state}, and only"):
                await outbox.discard(key)
    assert said(server) == ["one", "two", "four", "three"]


async def test_what_follows_a_conversation_that_was_taken_back_waits_for_a_person(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    await hand_in(outbox)
    await outbox.discard("one")
    async with working():
        assert (await outbox.result("four")).state is ItemState.BLOCKED
        assert (await outbox.discard("two")).state is ItemState.DISCARDED
        await outbox.retry("one")
        assert (await outbox.result("four")).ok
    assert said(server) == ["one", "three", "four"]


@pytest.mark.parametrize("on", ["PUT", pytest.param("POST", marks=pytest.mark.durable)])
async def test_a_doubt_may_be_left_behind(
    outbox: Outbox, working: Working, server: LocalSymbl, on: str
) -> None:
    async with working(ambiguity_timeout=0.2):
        item = await halted(outbox, server, on=on, accept=False)
        await outbox.discard(item.key)
        last = await outbox.result("four")
        if on == "PUT":
            assert last.ok
            assert said(server) == ["one", "three", "four"]
            return
        assert last.state is ItemState.BLOCKED
        assert "retry" in str(last.error)  # the reason is another one by now
        await outbox.retry("one")
        assert (await outbox.result("four")).ok
    assert said(server) == ["one", *FOLLOWERS]


async def test_who_waits_for_what_is_taken_back_is_told_soon(outbox: Outbox) -> None:
    await outbox.submit(Text("one"), key="one")
    waiting = asyncio.create_task(outbox.result("one", timeout=10))
    with pytest.raises(TimeoutError):  # the other waits with it meanwhile
        await outbox.result("one", timeout=0.3)
    await outbox.discard("one")  # and no worker runs, so that no workflow ends
    assert (await waiting).state is ItemState.DISCARDED


# At the same moment


@pytest.mark.durable
async def test_all_of_a_conversation_may_be_decided_about_at_once(
    outbox: Outbox, database: str, working: Working, server: LocalSymbl
) -> None:
    """Who holds an item waits for its conversation, and who holds that waits for its items."""
    async with Outbox(database) as elsewhere, working(ambiguity_timeout=0.1):
        for again in range(5):
            server.inject("status:502", on="POST")
            one, *others = keys = [f"{again}-{number}" for number in range(6)]
            await outbox.submit(Text(one), NAMELESS, key=one)
            for key in others:
                await outbox.append(one, Text(key), key=key)
            await outbox.result(keys[-1])
            decided = await asyncio.gather(
                elsewhere.resolve(one, accepted=False),
                *(outbox.discard(key) for key in others),
                return_exceptions=True,
            )
            # One that is sent already is refused; nothing else blocks.
            wrong = [type(error) for error in decided if isinstance(error, BaseException)]
            assert set(wrong) <= {ConfigurationError}
            for key in keys:
                assert (await outbox.result(key)).state in (
                    ItemState.COMPLETED,
                    ItemState.DISCARDED,
                )


@pytest.mark.durable
async def test_one_of_many_who_decide_at_once_is_heard(
    outbox: Outbox, database: str, working: Working, server: LocalSymbl
) -> None:
    async with Outbox(database) as elsewhere, working(ambiguity_timeout=0.2):
        await halted(outbox, server, on="POST", accept=False)
        decided = await asyncio.gather(
            *(one.resolve("one", accepted=False) for one in [outbox, elsewhere] * 4),
            return_exceptions=True,
        )
        refused = [one for one in decided if isinstance(one, ConfigurationError)]
        assert len(refused) == 7
        assert (await outbox.result("four")).ok
    assert said(server) == ["one", *FOLLOWERS]


@pytest.mark.durable
@pytest.mark.parametrize("how", ["resolve", "retry"])
async def test_nothing_stays_blocked_by_who_decides_while_it_is_being_blocked(
    outbox: Outbox,
    working: Working,
    server: LocalSymbl,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """A program decides at once, while those that follow are blocked one after the other."""
    monkeypatch.setattr(Outage, "pause", 0.001)
    conversations = [f"c-{number}" for number in range(8)]

    async def decide(key: str) -> None:
        result = await outbox.result(key)
        while result.state is not ItemState.COMPLETED:
            if how == "retry":
                await outbox.retry(key)
            else:
                await outbox.resolve(key, accepted=False)
            result = await outbox.result(key)

    # Of the second kind few: after three in a row, one item is sent at a time.
    fault, times = ("status:400", 40) if how == "retry" else ("status:502", 12)
    server.inject(fault, on="POST", times=times)
    for key in conversations:
        await outbox.submit(Text(key), NAMELESS, key=key)
        for number in range(6):
            await outbox.append(key, Text(f"{key} {number}"), key=f"{key}-{number}")
    async with working(ambiguity_timeout=0.05, poll_interval=0.01):
        await asyncio.gather(*map(decide, conversations))
        for key in conversations:
            assert (await outbox.result(f"{key}-5")).ok
        assert set((await outbox.stats()).counts) == {ItemState.COMPLETED}
    for key in conversations:
        of_it = [text for text in said(server) if text.startswith(key)]
        assert of_it == [key, *(f"{key} {number}" for number in range(6))]


async def test_an_item_that_expires_before_a_decision_about_it_is_not_found(
    outbox: Outbox, tables: Database
) -> None:
    await outbox.submit(Text("Old."), key="old")
    change(tables, "old", state="failed", ended_at=0.0, ready=None)
    expired = threading.Event()

    def expire(*given: Any) -> None:
        is_first = given[2].startswith("begin") or "FOR UPDATE" in given[2]
        if is_first and not expired.is_set():
            expired.set()
            assert not queue_control.delete_expired(tables, 60.0)

    sa.event.listen(outbox._database.engine, "before_cursor_execute", expire)
    with pytest.raises(NotFoundError, match="old"):
        await outbox.retry("old")
    assert expired.is_set()
