"""Two workers with one item, as when one was paused and the other took over.

Both are in this process and without DBOS, so that each meets the other at the worst
moment.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from attrs import frozen

from symbl_aio import ConfigurationError, Credentials, Polls, SymblClient, Text, TextOptions
from symbl_aio._protocol.webhook_calls import mark
from symbl_aio.config import Config
from symbl_aio.durable import Item, ItemFilter, ItemState, Outbox
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.dbos import Workflows
from symbl_aio.durable.attempt_steps import MAX_CRASHES, ItemSteps, StepResult
from symbl_aio.durable.dispatch import Dispatcher
from symbl_aio.durable.heartbeat import Heartbeat
from symbl_aio.durable.items import Attempt
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import NAMELESS, SECRET, said
from tests.support import QUICK

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For decisions that do not depend on the kind of database."""


@frozen
class Hand:
    """The steps of one worker, and its heartbeat."""

    steps: ItemSteps
    heartbeat: Heartbeat


@frozen
class Two:
    """Two workers of one database and one server."""

    server: LocalSymbl
    database: Database
    outbox: Outbox
    a: Hand
    b: Hand

    async def item(self, key: str) -> Item:
        return await self.outbox.item(key)

    async def change(self, key: str, **values: Any) -> None:
        table = self.database.items
        with self.database.begin() as connection:
            connection.execute(sa.update(table).where(table.c.key == key).values(**values))

    async def intent_of(self, key: str) -> str | None:
        table = self.database.items
        with self.database.read() as connection:
            found: str | None = connection.execute(
                sa.select(table.c.sent_by).where(table.c.key == key)
            ).scalar()
            return found


@pytest.fixture
async def two(outbox: Outbox, database: str, server: LocalSymbl) -> AsyncIterator[Two]:
    tables = Database(database, connections=8)
    workflows = Workflows(tables)
    clients = [server.client(**QUICK) for _ in range(2)]
    hands = []
    for client, name in zip(clients, "ab", strict=True):
        await client.start()
        heartbeat = Heartbeat(
            tables, workflows, name, interval=1.0, worker_timeout=60.0, alone=False
        )
        await heartbeat.register()
        steps = ItemSteps(
            tables,
            client,
            heartbeat,
            Dispatcher(tables, heartbeat, poll_interval=60.0),
            name,
            on_ambiguous="at_most_once",
            reconcile_interval=0.0,
            ambiguity_timeout=0.0,
            webhook_timeout=0.0,
        )
        steps.backoff = (0.0, 0.0)
        hands.append(Hand(steps, heartbeat))
    yield Two(server, tables, outbox, *hands)
    for client in clients:
        await client.aclose(drain="none")
    await asyncio.to_thread(tables.close)


def held(hand: Hand) -> tuple[threading.Event, threading.Event]:
    """Pause a worker just before it records its intent; return its arrival and its wake-up."""
    there, woken = threading.Event(), threading.Event()
    note = hand.steps._records.record_intent

    def paused(*given: Any) -> bool:
        there.set()
        assert woken.wait(10)
        return note(*given)

    hand.steps._records.record_intent = paused  # type: ignore[method-assign, assignment]
    return there, woken


async def reached(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10)


# Observers


async def test_the_end_of_an_item_that_is_sent_again_at_once_is_emitted(two: Two) -> None:
    """An operator retries it before the worker does anything after the commit."""
    seen: list[Any] = []
    two.a.steps.observers = [seen.append]
    loop, ended, retried = asyncio.get_running_loop(), threading.Event(), threading.Event()

    def note(*given: Any) -> None:
        if given[2].startswith("UPDATE") and "error=" in given[2]:
            ended.set()

    def retry(*given: Any) -> None:
        if ended.is_set() and not retried.is_set():
            retried.set()
            asyncio.run_coroutine_threadsafe(two.outbox.retry("one"), loop).result(30)

    sa.event.listen(two.database.engine, "after_cursor_execute", note)
    sa.event.listen(two.database.engine, "checkin", retry)
    await two.outbox.submit(Text("One."), key="one")
    two.server.inject("status:400", on="/v1/process/text")
    assert (await two.a.steps.send(Attempt("one", 1))).state == ItemState.REFUSED.value
    assert retried.is_set()
    assert [(event.key, event.state) for event in seen] == [("one", "refused")]
    assert seen[0].ended_at >= seen[0].queued_at


# Deadlocks


@pytest.mark.parametrize(
    "database", [pytest.param("postgresql", marks=pytest.mark.durable)], indirect=True
)
async def test_a_deadlock_with_a_decision_is_no_outage(
    two: Two, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker has the item, and the operator the conversation that it opens."""
    loop, waits = asyncio.get_running_loop(), threading.Event()
    deciding: list[Any] = []

    def decide(*given: Any) -> None:
        if "accepted_at=coalesce" in given[2] and not deciding:
            which = ItemFilter(conversation="one", state=[ItemState.QUEUED])
            deciding.append(asyncio.run_coroutine_threadsafe(two.outbox.discard(which), loop))
            assert waits.wait(10)

    def note(_connection: Any, cursor: Any, statement: str, *_given: Any) -> None:
        if "FOR UPDATE" in statement and "symbl_item.key" in statement:
            cursor.execute("set local deadlock_timeout = '1min'")  # the worker notices it first
            waits.set()

    await two.outbox.submit(Text("One."), key="one")
    sa.event.listen(two.database.engine, "after_cursor_execute", decide)
    sa.event.listen(two.outbox._database.engine, "before_cursor_execute", note)
    result = await two.a.steps.send(Attempt("one", 1))
    assert result.state == ItemState.ACCEPTED.value
    decided = await asyncio.wrap_future(deciding[0])
    assert list(decided.refused) == ["one"]
    assert "cannot be used" not in caplog.text


# Paused workers


async def test_two_who_send_the_same_item_send_it_once(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    there, woken = held(two.a)
    first = asyncio.create_task(two.a.steps.send(Attempt("one", 1)))
    await reached(there)
    assert await two.b.steps.send(Attempt("one", 1)) == StepResult("accepted")
    woken.set()
    assert (await first).state == "accepted"
    assert said(two.server) == ["One."]


async def test_so_do_two_runs_of_it_in_one_worker(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    there, woken = held(two.a)
    runs = [asyncio.create_task(two.a.steps.send(Attempt("one", 1))) for _ in range(2)]
    await reached(there)
    woken.set()
    states = {(await run).state for run in runs}
    assert states <= {"accepted", "in_doubt"}
    assert said(two.server) == ["One."]


async def test_what_is_taken_back_before_the_last_byte_is_not_sent(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    there, woken = held(two.a)
    attempt = asyncio.create_task(two.a.steps.send(Attempt("one", 1)))
    await reached(there)
    await two.outbox.discard("one")
    woken.set()
    assert (await attempt).state == "superseded"
    assert said(two.server) == []


async def test_an_item_that_is_discarded_after_its_dispatch_is_not_sent(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    attempt = Attempt("one", 1)
    row = two.a.steps._records.read(attempt)
    assert row is not None
    two.a.steps.expect(attempt, row)
    await two.outbox.discard("one")
    assert (await two.a.steps.send(attempt)).state == "superseded"
    assert said(two.server) == []


async def test_the_end_of_a_job_changes_no_item_that_has_ended_by_other_means(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    attempt = Attempt("one", 1)
    assert (await two.a.steps.send(attempt)).state == "accepted"
    await two.change("one", state=ItemState.LOST.value, error="of another worker")
    assert (await two.a.steps.follow(attempt, False)).state == "lost"
    assert (await two.item("one")).error == "of another worker"


async def test_what_may_be_sent_already_is_not_taken_back(two: Two) -> None:
    two.server.inject("slow:60", on="POST")
    await two.outbox.submit(Text("One."), key="one")
    attempt = asyncio.create_task(two.a.steps.send(Attempt("one", 1)))
    await two.server.until(lambda: two.server.submissions)
    with pytest.raises(ConfigurationError, match="'one' is being sent, or may have been; wait"):
        await two.outbox.discard("one")
    attempt.cancel()
    await asyncio.wait([attempt])


async def test_an_answer_that_comes_after_the_end_changes_nothing(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    two.server.inject("slow:60", on="POST")
    sending = asyncio.create_task(two.a.steps.send(Attempt("one", 1)))
    await two.server.until(lambda: two.server.jobs and two.server.unfinished == 0)
    job_id = next(iter(two.server.jobs))
    await two.change("one", heard=job_id)
    assert (await two.b.steps.reconcile(Attempt("one", 1), 0)).state == "accepted"
    assert (await two.b.steps.follow(Attempt("one", 1), False)).state == "completed"
    two.server._closing.set()  # the answer comes
    assert (await sending).state == "completed"
    item = await two.item("one")
    assert (item.state, item.job_id) == (ItemState.COMPLETED, job_id)


async def test_an_answer_that_comes_after_all_hope_was_given_up_tells_the_person(two: Two) -> None:
    await two.outbox.submit(Text("One."), NAMELESS, key="one")
    two.server.inject("slow:60", on="POST")
    sending = asyncio.create_task(two.a.steps.send(Attempt("one", 1)))
    await two.server.until(lambda: two.server.jobs)
    assert (await two.b.steps.reconcile(Attempt("one", 1), 0)).state == "ambiguous"
    two.server._closing.set()
    assert (await sending).state == "ambiguous"
    item = await two.item("one")
    assert item.state is ItemState.AMBIGUOUS
    assert item.error is not None
    assert next(iter(two.server.jobs)) in item.error


async def test_who_was_paused_after_the_note_does_not_send_and_takes_it_back(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    noted = two.a.steps._records.record_intent

    def then_paused(*given: Any) -> bool:
        done = noted(*given)
        # Its last beat was long ago when it looks, and it beats again at once.
        is_fresh = iter([False, *[True] * 10])
        two.a.heartbeat.is_fresh = lambda: next(is_fresh)  # type: ignore[method-assign]
        two.a.steps._records.record_intent = noted  # type: ignore[method-assign]
        return done

    two.a.steps.backoff = (0.0,)
    two.a.steps._records.record_intent = then_paused  # type: ignore[method-assign, assignment]
    with pytest.raises(asyncio.CancelledError):  # back into the queue
        await two.a.steps.send(Attempt("one", 1))
    assert said(two.server) == []
    assert await two.intent_of("one") is None
    assert (await two.b.steps.reconcile(Attempt("one", 1), 0)).state == "unsent"
    assert (await two.b.steps.send(Attempt("one", 1))).state == "accepted"


async def test_nobody_takes_back_the_note_of_another(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    two.server.inject("status:502", on="POST")
    assert (await two.b.steps.send(Attempt("one", 1))).state == "in_doubt"
    note = await two.intent_of("one")
    assert note is not None
    attempt = Attempt("one", 1)
    two.a.steps._records.clear_intent(attempt, "a/1")
    assert await two.intent_of("one") == note
    two.a.steps._records.clear_intent(attempt, note)
    assert await two.intent_of("one") is None


async def test_who_was_declared_dead_does_not_send(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    with two.database.begin() as connection:
        workers = two.database.workers
        connection.execute(sa.delete(workers).where(workers.c.id == "a"))
    with pytest.raises(asyncio.CancelledError):
        await two.a.steps.send(Attempt("one", 1))
    assert said(two.server) == []
    assert (await two.item("one")).state is ItemState.QUEUED


async def test_an_intent_waits_for_an_eviction_and_is_refused_by_it(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    record = two.a.steps._records.record_intent
    workers = two.database.workers
    with two.database.begin() as evicting:
        evicting.execute(sa.delete(workers).where(workers.c.id == "a"))
        recording = asyncio.ensure_future(
            two.database.call(lambda: record(Attempt("one", 1), "a/1"))
        )
        done, _ = await asyncio.wait([recording], timeout=0.2)  # the length of the fault itself
        assert not done
    assert await recording is False
    assert await two.intent_of("one") is None


async def test_an_intent_that_is_recorded_late_is_cleared_after_that(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    there, woken = held(two.a)
    sender, loop = two.a.steps._sender, asyncio.get_running_loop()
    clear, begun, cleared = sender._clear, asyncio.Event(), asyncio.Event()

    def observed(*given: Any) -> None:
        loop.call_soon_threadsafe(begun.set)
        clear(*given)
        loop.call_soon_threadsafe(cleared.set)

    sender._clear = observed  # type: ignore[method-assign, assignment]
    sending = asyncio.create_task(two.a.steps.send(Attempt("one", 1)))
    await reached(there)
    closing = asyncio.create_task(sender.client.aclose(drain="none"))  # it abandons the try
    async with asyncio.timeout(10):
        await begun.wait()
        with pytest.raises(TimeoutError):  # the length of the fault itself
            await asyncio.wait_for(cleared.wait(), 0.2)
        woken.set()
        await cleared.wait()
    assert await two.intent_of("one") is None
    sending.cancel()
    await asyncio.wait([sending, closing])


# Steps that were done already


@on_sqlite
@pytest.mark.parametrize("state", [ItemState.REFUSED, ItemState.COMPLETED, ItemState.BLOCKED])
async def test_what_has_ended_is_not_begun_again(two: Two, state: ItemState) -> None:
    await two.outbox.submit(Text("One."), key="one")
    await two.change("one", state=state.value)
    assert (await two.a.steps.send(Attempt("one", 1))).state == state.value
    assert (await two.a.steps.reconcile(Attempt("one", 1), 0)).state == state.value
    assert (await two.a.steps.follow(Attempt("one", 1), False)).state == state.value
    assert said(two.server) == []


@on_sqlite
async def test_an_earlier_attempt_and_a_forgotten_item_are_left_alone(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    await two.change("one", attempt=2)
    for key in ("one", "forgotten"):
        assert (await two.a.steps.send(Attempt(key, 1))).state == "superseded"
        assert (await two.a.steps.reconcile(Attempt(key, 1), 0)).state == "superseded"
        assert (await two.a.steps.follow(Attempt(key, 1), False)).state == "superseded"
    assert said(two.server) == []


# Items that cannot be sent


@on_sqlite
async def test_what_this_worker_cannot_send_goes_back_and_another_sends_it(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    stranger = SymblClient(
        Credentials("app", "another"), config=Config(base_url=two.server.base_url, **QUICK)
    )
    async with stranger:
        two.a.steps._sender.client = stranger
        with pytest.raises(asyncio.CancelledError):
            await two.a.steps.send(Attempt("one", 1))
    item = await two.item("one")
    assert (item.state, item.sending) == (ItemState.QUEUED, False)
    assert (await two.b.steps.send(Attempt("one", 1))).state == "accepted"


@on_sqlite
@pytest.mark.parametrize("hears", [False, True])
async def test_nor_does_it_take_a_job_for_lost_that_it_may_not_ask_for(
    two: Two, hears: bool
) -> None:
    await two.outbox.submit(Text("One."), key="one")
    await two.b.steps.send(Attempt("one", 1))
    stranger = SymblClient(
        Credentials("app", "another"), config=Config(base_url=two.server.base_url, **QUICK)
    )
    async with stranger:
        two.a.steps._sender.client = stranger
        with pytest.raises(asyncio.CancelledError):  # back into the queue
            await two.a.steps.follow(Attempt("one", 1), hears)
    assert (await two.item("one")).state is ItemState.ACCEPTED
    while (await two.b.steps.follow(Attempt("one", 1), hears)).state == "accepted":
        pass
    assert (await two.item("one")).ok


@on_sqlite
async def test_a_job_that_the_server_does_not_know_yet_is_not_lost(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    await two.a.steps.send(Attempt("one", 1))
    two.server.inject("not_found", on="job", times=1000)
    assert (await two.b.steps.follow(Attempt("one", 1), True)).state == "accepted"
    await two.change("one", accepted_at=0.0)
    assert (await two.b.steps.follow(Attempt("one", 1), True)).state == "lost"


@on_sqlite
async def test_a_job_without_end_is_lost_in_the_end(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    two.server.hold_jobs()
    await two.a.steps.send(Attempt("one", 1))
    polls = Polls(floor=0.002, ceiling=0.01, max_age=0.01)
    async with two.server.client(**{**QUICK, "polls": polls}) as impatient:
        two.b.steps._sender.client = impatient
        states = [(await two.b.steps.follow(Attempt("one", 1), True)).state]
        while states[-1] == "accepted":
            states.append((await two.b.steps.follow(Attempt("one", 1), True)).state)
    assert states[-1] == "lost"


@on_sqlite
async def test_an_item_that_nobody_can_read_is_refused_and_says_why(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    await two.change("one", content="no JSON")
    assert (await two.a.steps.send(Attempt("one", 1))).state == "refused"
    assert "not foreseen" in str((await two.item("one")).error)


HOOKS: dict[str, Any] = {"webhook_base_url": "https://example.com/hooks", "webhook_secret": SECRET}
HOLOGRAM = {"media": {"kind": "hologram"}, "options": None}
NEW_OPTION = {
    "media": {"kind": "text", "messages": [{"text": "One."}]},
    "options": {
        "type": "TextOptions",
        "fields": {"mood": True, "extra_query": {}, "extra_body": {}},
    },
}


@on_sqlite
@pytest.mark.parametrize("content", [HOLOGRAM, NEW_OPTION])
async def test_content_of_a_newer_release_waits_for_a_worker_of_that_release(
    two: Two, content: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await two.outbox.submit(Text("One."), key="one")
    await two.change("one", content=json.dumps(content))
    with pytest.raises(asyncio.CancelledError):  # requeued, for another worker
        await two.a.steps.send(Attempt("one", 1))
    item = await two.item("one")
    assert (item.state, item.sending, said(two.server)) == (ItemState.QUEUED, False, [])
    assert "item one waits: its content is of another release" in caplog.text


@on_sqlite
@pytest.mark.parametrize("content", [HOLOGRAM, NEW_OPTION])
async def test_a_job_is_followed_whatever_release_has_stored_its_content(
    two: Two, content: dict[str, Any]
) -> None:
    await two.outbox.submit(Text("One."), key="one")
    await two.a.steps.send(Attempt("one", 1))
    await two.change("one", content=json.dumps(content))
    async with two.server.client(**QUICK, **HOOKS) as client:
        two.b.steps._sender.client = client
        assert (await two.b.steps.send(Attempt("one", 1))).state == "accepted"
        assert (await two.b.steps.follow(Attempt("one", 1), False)).state == "completed"


@on_sqlite
@pytest.mark.parametrize("content", [HOLOGRAM, NEW_OPTION])
async def test_evidence_is_looked_for_whatever_release_has_stored_the_content(
    two: Two, content: dict[str, Any]
) -> None:
    await two.outbox.submit(Text("One."), key="one")
    await two.change("one", content=json.dumps(content), sent_by="c/1", sent_at=time.time())
    async with two.server.client(**QUICK, **HOOKS) as client:
        two.a.steps._sender.client = client
        assert (await two.a.steps.send(Attempt("one", 1))).state == "in_doubt"
        assert (await two.a.steps.reconcile(Attempt("one", 1), 0)).state == "ambiguous"
    assert "nothing tells" in str((await two.item("one")).error)


@on_sqlite
async def test_the_log_names_no_remedy_that_only_a_caller_of_the_client_has(
    two: Two, caplog: pytest.LogCaptureFixture
) -> None:
    await two.outbox.submit(Text("One."), key="one")
    two.server.inject("status:500", on="POST")
    assert (await two.a.steps.send(Attempt("one", 1))).state == "in_doubt"
    assert "item one is in doubt: " in caplog.text
    assert "500" in caplog.text
    assert "error.reconcile()" not in caplog.text
    assert "not sent again" not in caplog.text  # which on_ambiguous decides


@on_sqlite
async def test_what_workers_die_of_is_given_up(two: Two) -> None:
    await two.outbox.submit(Text("One."), key="one")
    await two.change("one", deaths=MAX_CRASHES)
    assert (await two.a.steps.send(Attempt("one", 1))).state == "refused"
    assert said(two.server) == []
    await two.change("one", state=ItemState.QUEUED.value, sent_by="a/1", sent_at=0.0)
    assert (await two.a.steps.reconcile(Attempt("one", 1), 0)).state == "ambiguous"


# What proves what


@on_sqlite
async def test_what_another_worker_wrote_proves_nothing_of_the_same_words(two: Two) -> None:
    await two.outbox.submit(Text("We begin."), key="one")
    await two.outbox.append("one", Text("We ship."), key="two")
    await two.outbox.append("one", Text("We ship."), key="three")
    for key, hand in (("one", two.a), ("two", two.b)):
        assert (await hand.steps.send(Attempt(key, 1))).state == "accepted"
        assert (await hand.steps.follow(Attempt(key, 1), False)).state == "completed"
    two.server.inject("status:502", on="PUT")  # and nothing was accepted
    assert (await two.a.steps.send(Attempt("three", 1))).state == "in_doubt"
    assert (await two.a.steps.reconcile(Attempt("three", 1), 0)).state == "ambiguous"


@on_sqlite
async def test_words_of_its_own_prove_an_append(two: Two) -> None:
    await two.outbox.submit(Text("We begin."), key="one")
    await two.outbox.append("one", Text("We ship."), key="two")
    await two.a.steps.send(Attempt("one", 1))
    await two.a.steps.follow(Attempt("one", 1), False)
    two.server.inject("accept_then_status:502", on="PUT")
    assert (await two.a.steps.send(Attempt("two", 1))).state == "in_doubt"
    await two.server.until(lambda: two.server.unfinished == 0)
    assert (await two.b.steps.reconcile(Attempt("two", 1), 0)).state == "completed"


@on_sqlite
async def test_they_prove_nothing_where_an_item_is_forgotten_or_sent_again(two: Two) -> None:
    await two.outbox.submit(Text("We begin."), key="one")
    await two.outbox.append("one", Text("We ship."), key="two")
    await two.outbox.append("one", Text("We pause."), key="three")
    for key in ("one", "two"):
        await two.a.steps.send(Attempt(key, 1))
        await two.a.steps.follow(Attempt(key, 1), False)
    two.server.inject("accept_then_status:502", on="PUT")
    await two.a.steps.send(Attempt("three", 1))
    await two.server.until(lambda: two.server.unfinished == 0)
    table = two.database.items
    with two.database.read() as connection:
        row = connection.execute(sa.select(table).where(table.c.key == "two")).one()
    with two.database.begin() as connection:  # as if its retention had passed
        connection.execute(sa.delete(table).where(table.c.key == "two"))
    assert (await two.b.steps.reconcile(Attempt("three", 1), 0)).state == "ambiguous"
    with two.database.begin() as connection:
        connection.execute(sa.insert(table).values(**row._mapping))
    await two.change("three", state=ItemState.QUEUED.value, attempt=2)
    assert (await two.b.steps.reconcile(Attempt("three", 2), 0)).state == "ambiguous"
    await two.change("three", state=ItemState.QUEUED.value, attempt=1)
    assert (await two.b.steps.reconcile(Attempt("three", 1), 0)).state == "completed"


@on_sqlite
async def test_a_conversation_of_that_name_from_before_proves_nothing(two: Two) -> None:
    async with two.server.client(**QUICK) as earlier:
        await earlier.process(Text("Of another day."), TextOptions(name="monday"))
    await two.outbox.submit(Text("We begin."), key="monday")
    two.server.inject("status:502", on="POST")
    assert (await two.a.steps.send(Attempt("monday", 1))).state == "in_doubt"
    (known,) = two.server._conversations.by_id.values()
    known.started_at -= timedelta(minutes=10)
    assert (await two.b.steps.reconcile(Attempt("monday", 1), 0)).state == "ambiguous"


@on_sqlite
async def test_a_webhook_proves_an_opening_whose_name_is_the_callers(two: Two) -> None:
    given = TextOptions(name="Standup")
    for key in ("one", "two"):
        await two.outbox.submit(Text(f"We begin {key}."), given, key=key)
    assert (await two.a.steps.send(Attempt("one", 1))).state == "accepted"
    two.server.inject("accept_then_status:502", on="POST")
    assert (await two.a.steps.send(Attempt("two", 1))).state == "in_doubt"
    jobs = list(two.server.jobs.values())
    # That of the other, then its own: of the two conversations, one is known to be another's.
    await two.change("two", heard=jobs[1].id)
    assert (await two.b.steps.reconcile(Attempt("two", 1), 0)).state == "accepted"
    item = await two.item("two")
    assert (item.job_id, item.conversation_id) == (jobs[1].id, jobs[1].conversation_id)


@on_sqlite
async def test_a_job_of_another_item_is_not_believed(two: Two) -> None:
    for key in ("one", "two"):
        await two.outbox.submit(Text(f"We begin {key}."), NAMELESS, key=key)
    assert (await two.a.steps.send(Attempt("one", 1))).state == "accepted"
    two.server.inject("status:502", on="POST")
    await two.a.steps.send(Attempt("two", 1))
    await two.change("two", heard=next(iter(two.server.jobs)))
    assert (await two.b.steps.reconcile(Attempt("two", 1), 0)).state == "ambiguous"


@on_sqlite
async def test_a_server_that_cannot_be_asked_settles_nothing(two: Two) -> None:
    await two.outbox.submit(Text("We begin."), key="one")
    two.server.inject("status:502", on="POST")
    await two.a.steps.send(Attempt("one", 1))
    two.server.inject("status:500", on="GET", times=100)
    assert (await two.b.steps.reconcile(Attempt("one", 1), 0)).state == "in_doubt"
    await two.change("one", sent_at=1.0)  # past every timeout
    assert (await two.b.steps.reconcile(Attempt("one", 1), 0)).state == "ambiguous"


@on_sqlite
async def test_sending_again_has_an_end_too(two: Two) -> None:
    await two.outbox.submit(Text("We begin."), NAMELESS, key="one")
    two.b.steps._on_ambiguous = "at_least_once"
    two.server.inject("status:502", on="POST", times=2)
    await two.a.steps.send(Attempt("one", 1))
    assert (await two.b.steps.reconcile(Attempt("one", 1), 9)).state == "unsent"
    await two.a.steps.send(Attempt("one", 1))
    assert (await two.b.steps.reconcile(Attempt("one", 1), 10)).state == "ambiguous"


async def test_a_database_that_is_away_while_proof_is_looked_for_ends_no_doubt(two: Two) -> None:
    two.server.inject("accept_then_drop", on="POST")
    await two.outbox.submit(Text("One."), TextOptions(name="many"), key="one")
    assert (await two.a.steps.send(Attempt("one", 1))).state == "in_doubt"
    (job,) = two.server.jobs.values()
    owner = two.a.steps._records.job_owner

    def away(**_: Any) -> str | None:
        two.a.steps._records.job_owner = owner  # type: ignore[method-assign]
        raise sa.exc.OperationalError(
            "select", {}, psycopg.OperationalError("the server closed the connection")
        )

    two.a.steps._records.job_owner = away  # type: ignore[method-assign]
    await two.change("one", heard=job.id)
    assert (await two.a.steps.reconcile(Attempt("one", 1), 0)).state == "in_doubt"
    assert (await two.a.steps.reconcile(Attempt("one", 1), 0)).state == "accepted"
    assert (await two.outbox.item("one")).job_id == job.id


async def test_the_word_that_a_job_has_ended_is_not_used_up_by_one_look(two: Two) -> None:
    two.server.inject("accept_then_drop", on="POST")
    await two.outbox.submit(Text("One."), TextOptions(name="many"), key="one")
    assert (await two.a.steps.send(Attempt("one", 1))).state == "in_doubt"
    (job,) = two.server.jobs.values()
    with two.database.read() as connection:
        nonce = str(connection.execute(sa.select(two.database.items.c.nonce)).scalar())
    body = json.dumps({"jobId": job.id, "status": "completed"}).encode()
    assert await two.outbox.webhook(nonce, mark(SECRET, nonce), body) == 204
    # The call notified a worker that died: this one finds it in the database.
    assert (await two.a.steps.reconcile(Attempt("one", 1), 0)).state == "accepted"
    assert (await two.outbox.item("one")).job_id == job.id
