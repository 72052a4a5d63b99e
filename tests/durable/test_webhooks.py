"""A webhook call that comes to any machine wakes the worker that has the job, and no other does."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa

from symbl_aio import ConfigurationError, Polls, Text, TextOptions, WebhookReceiver
from symbl_aio._protocol.webhook_calls import mark
from symbl_aio.durable import ItemState, Outbox
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.notifications import Notifications
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import NAMELESS, SECRET, Working, dispatch, said, until
from tests.support import QUICK

HOOKS: dict[str, Any] = {
    "webhook_base_url": "http://127.0.0.1:9/hook",  # where no server listens: the test calls
    "webhook_secret": SECRET,
    "polls": Polls(floor=100.0, ceiling=100.0),  # longer than any test
}


def url_of(server: LocalSymbl) -> tuple[str, str]:
    """Return nonce and mark of the webhook URL of the last submission."""
    url = str(server.submissions[-1].parameters["webhookUrl"])
    nonce, shown = url.removeprefix("http://127.0.0.1:9/hook/").split("/")
    return nonce, shown


def body(job_id: str, status: str = "completed", *, name: str = "jobId") -> bytes:
    return json.dumps({name: job_id, "status": status}).encode()


def asked(server: LocalSymbl) -> int:
    return sum(one.path.startswith("/v1/job/") for one in server.requests)


async def accepted(outbox: Outbox, server: LocalSymbl, key: str = "monday") -> str:
    """Hand in, and wait until the job runs, and is not going to be asked for; give its id."""
    server.hold_jobs()
    await outbox.submit(Text("One."), key=key)
    return str((await until(outbox, key, ItemState.ACCEPTED)).job_id)


@pytest.mark.parametrize("form", [False, pytest.param(True, marks=pytest.mark.durable)])
async def test_a_call_to_any_outbox_brings_the_end_at_once(
    outbox: Outbox, database: str, working: Working, server: LocalSymbl, form: bool
) -> None:
    async with working(config=HOOKS), Outbox(database, webhook_secret=SECRET) as elsewhere:
        job_id = await accepted(outbox, server)
        server.release()
        await server.until(lambda: server.unfinished == 0)
        assert asked(server) == 0
        said = body(job_id)
        if form:
            said = urlencode({"id": job_id, "status": "COMPLETED"}).encode()
        assert await elsewhere.webhook(*url_of(server), said) == 204
        assert (await outbox.result("monday", timeout=10)).ok
        # A call after the end is answered, and has no effect.
        assert await elsewhere.webhook(*url_of(server), said) == 204
    assert asked(server) == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_call_after_the_clock_was_set_back_brings_the_end_at_once(
    outbox: Outbox, tables: Database, working: Working, server: LocalSymbl
) -> None:
    async with working(config=HOOKS):
        first = await accepted(outbox, server, "first")
        tell(tables, "first", 4e9)  # by the clock before it was set back
        await server.until(lambda: asked(server) == 1)
        second = await accepted(outbox, server, "second")
        server.release()
        await server.until(lambda: server.unfinished == 0)
        assert await outbox.webhook(*url_of(server), body(second)) == 204
        assert (await outbox.result("second", timeout=10)).ok
    assert first != second


async def test_calls_are_found_by_polls_in_any_order_of_their_times(
    outbox: Outbox, tables: Database
) -> None:
    """Times are taken before the commit, so a later commit may have the earlier time."""
    for key in ("one", "two"):
        await outbox.submit(Text("We ship."), key=key)
    dispatch(tables)
    polls = Notifications(
        tables, ready=asyncio.Event(), on_webhook=lambda attempt: None, poll_interval=60.0
    )
    found: list[list[str]] = []
    for key, at in (("one", 200.0), ("two", 100.0), ("two", 100.0), ("one", 150.0)):
        tell(tables, key, at)
        found.append([attempt.key for attempt in polls._read_webhooks()])
    assert found == [["one"], ["two"], [], ["one"]]


def tell(tables: Database, key: str, at: float) -> None:
    """Record a webhook call for an item, with its time."""
    with tables.begin() as connection:
        change = sa.update(tables.items).where(tables.items.c.key == key)
        connection.execute(change.values(told_at=at))


@pytest.mark.durable
async def test_a_call_counts_once_however_often_it_comes(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    async with working(config=HOOKS):
        job_id = await accepted(outbox, server)
        for _ in range(3):  # these are true, and no news
            assert await outbox.webhook(*url_of(server), body(job_id, "in_progress")) == 204
        lies = [outbox.webhook(*url_of(server), body(job_id)) for _ in range(5)]
        assert await asyncio.gather(*lies) == [204] * 5
        await server.until(lambda: asked(server) == 1)
        assert (await outbox.item("monday")).state is ItemState.ACCEPTED
        server.release()
        # A repeated call with another job is not believed.
        assert await outbox.webhook(*url_of(server), body("another", "failed")) == 204
        assert (await outbox.result("monday", timeout=10)).ok
    assert asked(server) == 2


@pytest.mark.durable
async def test_a_call_may_overtake_the_answer_to_the_submission(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    here = asyncio.get_running_loop()
    statuses: list[int] = []

    def passed(point: str) -> None:
        """Call, in the worker's own thread, before it writes down what was answered."""
        if point == "answered":
            job_id = str(server.submissions[0].job_id)
            calling = outbox.webhook(*url_of(server), body(job_id))
            statuses.append(asyncio.run_coroutine_threadsafe(calling, here).result(10))

    async with working(config=HOOKS) as worker:
        assert worker._workflows is not None
        worker._workflows._steps._sender.checkpoint = passed
        await outbox.submit(Text("One."), key="monday")
        assert (await outbox.result("monday", timeout=10)).ok
    assert statuses == [204]


@pytest.mark.durable
async def test_what_was_told_while_no_worker_lived_is_not_lost(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    async with working(config=HOOKS):
        job_id = await accepted(outbox, server)
    server.release()
    assert await outbox.webhook(*url_of(server), body(job_id)) == 204
    async with working(config=HOOKS):
        assert (await outbox.result("monday", timeout=10)).ok


@pytest.mark.durable
async def test_a_call_proves_what_was_accepted(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    async with server.client() as symbl:
        conversation_id = (await symbl.process(Text("Opened elsewhere."))).id
    server.inject("accept_then_drop", on="PUT", times=2)
    async with working(config=HOOKS, ambiguity_timeout=60.0):
        await outbox.append(conversation_id, Text("One."), key="one")
        await outbox.append(conversation_id, Text("Two."), key="two")
        first = await sent(server, 1)
        # A job that the server does not know, one of another item, and then the truth.
        assert await outbox.webhook(*url_of(server), body("nobody's")) == 204
        assert await outbox.webhook(*url_of(server), body(first)) == 204
        assert (await outbox.result("one", timeout=10)).job_id == first
        second = await sent(server, 2)
        assert await outbox.webhook(*url_of(server), body(first)) == 204
        assert (await outbox.item("two")).sending
        assert await outbox.webhook(*url_of(server), body(second, "in_progress")) == 204
        assert (await until(outbox, "two", ItemState.ACCEPTED)).job_id == second
        assert await outbox.webhook(*url_of(server), body(second)) == 204
        assert (await outbox.result("two", timeout=10)).ok
    assert said(server) == ["Opened elsewhere.", "One.", "Two."]


async def sent(server: LocalSymbl, appends: int) -> str:
    """Wait for the acceptance of an append; give its job's id."""
    await server.until(lambda: len(server.submissions) == 1 + appends)
    await server.until(lambda: server.submissions[-1].accepted)
    return str(server.submissions[-1].job_id)


# Calls without effect


async def test_only_a_holder_of_the_secret_is_listened_to(sqlite_database: str) -> None:
    good = body("1")
    genuine = mark(SECRET, "nonce")
    async with Outbox(sqlite_database, webhook_secret=SECRET) as outbox:
        for nonce, shown, said, status in [
            ("nonce", genuine, good, 204),  # of an unknown item
            ("nonce", genuine, body("1", name="id"), 204),
            ("nonce", genuine, good.ljust(WebhookReceiver.MAX_BYTES), 204),
            ("nonce", genuine, good.ljust(WebhookReceiver.MAX_BYTES + 1), 413),
            ("nonce", genuine, b"", 400),
            ("nonce", genuine, b"\xff\x00[[[", 400),
            ("nonce", genuine, b'{"status": "completed"}', 400),
            ("nonce", genuine, b"[" * 60_000, 400),
            ("nonce", mark("another secret", "nonce"), good, 404),
            ("nonce", "", good, 404),
            ("other", genuine, good, 404),
            ("\udcff", "\udcff", good, 404),
            ("nonce' or 1=1 --", mark(SECRET, "nonce' or 1=1 --"), good, 204),
            ("\udcff", mark(SECRET, "\udcff"), good, 204),
            ("\0", mark(SECRET, "\0"), good, 204),
        ]:
            assert (said[:20], await outbox.webhook(nonce, shown, said)) == (said[:20], status)
        assert await outbox.webhook(7, None, b"") == 404  # type: ignore[arg-type]


@pytest.mark.durable
@pytest.mark.parametrize("nonce", ["\udcff", "\0", "n" * 10_000])
async def test_a_strange_nonce_is_an_unknown_one(pg_database: str, nonce: str) -> None:
    async with Outbox(pg_database, webhook_secret=SECRET) as outbox:
        assert await outbox.webhook(nonce, mark(SECRET, nonce), body("1")) == 204


@pytest.mark.durable
async def test_a_strange_job_is_nobodys(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    server.inject("accept_then_drop", on="POST")
    async with working(config=HOOKS, ambiguity_timeout=1.0):
        await outbox.submit(Text("One."), NAMELESS, key="monday")
        await server.until(lambda: server.submissions and server.submissions[0].accepted)
        for job_id in ("\0", "\udcff", "j" * 5000, "../1", "\n"):
            assert await outbox.webhook(*url_of(server), body(job_id)) in (204, 400)
        assert (await outbox.result("monday", timeout=10)).state is ItemState.AMBIGUOUS


async def test_without_the_secret_nothing_can_be_heard(sqlite_database: str) -> None:
    async with Outbox(sqlite_database) as outbox:
        with pytest.raises(ConfigurationError, match="webhook_secret is missing"):
            await outbox.webhook("nonce", "mark", b"")
    for secret in ("", "\ud800", 7):
        with pytest.raises(ConfigurationError, match="webhook_secret"):
            Outbox(sqlite_database, webhook_secret=secret)  # type: ignore[arg-type]


@pytest.mark.durable
async def test_the_job_of_a_webhook_url_of_the_callers_own_is_asked_for(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    options = TextOptions(webhook_url="http://127.0.0.1:9/mine")
    async with working(config={**HOOKS, **QUICK}):
        await outbox.submit(Text("One."), options, key="monday")
        assert (await outbox.result("monday", timeout=10)).ok
    assert asked(server) > 0
