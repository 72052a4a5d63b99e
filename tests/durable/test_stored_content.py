"""Content is stored until its retention has passed; tokens and secrets never."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from symbl_aio import Text
from symbl_aio._protocol.webhook_calls import mark
from symbl_aio.durable import ItemState, Outbox
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._store.attempt_records import AttemptRecords
from symbl_aio.durable._store.queue_control import delete_expired
from symbl_aio.durable.items import Attempt
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import NAMELESS, SECRET, Working, dispatch, said
from tests.support import mp4_bytes

APP_SECRET = "app/secret+0f-3ad1"
HOOKS: dict[str, Any] = {
    "webhook_base_url": "http://127.0.0.1:9/hook",
    "webhook_secret": SECRET,
}


@pytest.fixture
def tables(database: str) -> Iterator[Database]:
    opened = Database(database)
    yield opened
    opened.close()


def everything(database: Database) -> dict[str, str]:
    """Return all rows of all tables, as text, by the name of the table."""
    inspector = sa.inspect(database.engine)
    found = {}
    with database.read() as connection:
        for schema in [None] if database.is_sqlite else inspector.get_schema_names():
            if schema in ("information_schema", "public"):
                continue
            for name in inspector.get_table_names(schema):
                table = sa.Table(name, sa.MetaData(), schema=schema, autoload_with=connection)
                rows = connection.execute(sa.select(table)).all()
                found[name] = "\n".join(map(repr, rows))
    return found


def of_items(database: Database) -> set[str]:
    """Return the names of the tables that hold data of an item."""
    fixed = {"application_versions", "dbos_migrations", "executors", "queues"} | {
        "symbl_queue",
        "symbl_schema",
        "symbl_worker",
    }
    return {name for name, text in everything(database).items() if text} - fixed


@pytest.fixture
def server_settings() -> dict[str, Any]:
    return {"app_secret": APP_SECRET, "probe_media": False}


async def test_no_secret_is_in_any_column_of_any_table(
    outbox: Outbox, working: Working, server: LocalSymbl, tables: Database, tmp_path: Path
) -> None:
    (tmp_path / "standup.mp4").write_bytes(mp4_bytes())
    await outbox.submit(tmp_path / "standup.mp4", key="monday")
    await outbox.append("monday", Text("What was said."), key="tuesday")
    server.inject("job_fails", on="PUT")
    async with working(config=HOOKS, ambiguity_timeout=0.2):
        await outbox.result("tuesday")
        server.inject("status:400", on="POST")
        await outbox.submit(Text("Refused."), key="refused")
        await outbox.result("refused")
        server.inject("accept_then_drop", on="POST")
        await outbox.submit(Text("In doubt."), NAMELESS, key="doubtful")
        await outbox.append("doubtful", Text("Blocked."), key="blocked")
        await outbox.result("blocked")
    states = {item.key: item.state async for item in outbox.jobs()}
    assert states == {
        "monday": ItemState.COMPLETED,
        "tuesday": ItemState.FAILED,
        "refused": ItemState.REFUSED,
        "doubtful": ItemState.AMBIGUOUS,
        "blocked": ItemState.BLOCKED,
    }
    tokens = {one.headers["Authorization"].removeprefix("Bearer ") for one in server.submissions}
    hooks = [
        str(one.parameters["webhookUrl"])
        for one in server.submissions
        if "webhookUrl" in one.parameters  # that of the refused one was never parsed
    ]
    marks = {hook.rpartition("/")[2] for hook in hooks}
    assert {mark(SECRET, hook.split("/")[-2]) for hook in hooks} == marks
    stored = "\n".join(everything(tables).values())
    for secret in {APP_SECRET, SECRET, *server._tokens._valid, *tokens, *marks}:
        assert len(secret) > 8
        assert secret not in stored
    assert "What was said." in stored  # or else the others would not have been found, either
    assert str(tmp_path / "standup.mp4") in stored


# For how long


@pytest.mark.durable
async def test_what_has_ended_is_forgotten_with_all_that_the_engine_keeps_of_it(
    outbox: Outbox,
    working: Working,
    server: LocalSymbl,
    tables: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.inject("job_fails", on="PUT")
    async with working(config=HOOKS):
        await outbox.submit(Text("One."), key="monday")
        await outbox.append("monday", Text("Two."), key="tuesday")
        await outbox.result("tuesday")
        assert "item tuesday is failed: " in caplog.text
        await outbox.retry("tuesday")
        assert (await outbox.result("tuesday")).ok
        assert "never retrieved" not in caplog.text  # a failure that is written down is known
        server.inject("status:400", on="POST")
        await outbox.submit(Text("Refused."), key="refused")
        await outbox.result("refused")
        assert "item refused is refused: " in caplog.text
    full = of_items(tables)
    # DBOS records no steps of a workflow, so its table of their outputs stays empty.
    assert full >= {"symbl_item", "symbl_conversation", "workflow_status"}
    assert delete_expired(tables, 3600.0) is False
    assert of_items(tables) == full
    assert delete_expired(tables, -1.0) is False
    assert of_items(tables) == set()
    # All of it is new again.
    await outbox.submit(Text("Another."), key="monday")
    assert (await outbox.append("monday", Text("More."), key="tuesday")).number == 2
    async with working():
        assert (await outbox.result("tuesday")).ok
    assert said(server) == ["One.", "Two.", "Two.", "Another.", "More."]


@pytest.mark.durable
async def test_what_somebody_waits_for_or_is_to_decide_is_kept(
    outbox: Outbox, working: Working, server: LocalSymbl, tables: Database
) -> None:
    async with working(ambiguity_timeout=0.1):
        await outbox.submit(Text("Done."), key="done")
        await outbox.result("done")
        server.inject("status:400", on="POST")
        await outbox.submit(Text("Refused."), key="refused")
        await outbox.append("refused", Text("Blocked."), key="blocked")
        await outbox.result("blocked")
        server.inject("status:502", on="POST")
        await outbox.submit(Text("In doubt."), NAMELESS, key="doubtful")
        await outbox.result("doubtful")
    await outbox.append("done", Text("Waits."), key="waits")
    assert delete_expired(tables, -1.0) is False
    keys = [item.key async for item in outbox.jobs()]
    assert keys == ["refused", "blocked", "doubtful", "waits"]
    async with working(ambiguity_timeout=0.1):
        assert (await outbox.result("waits")).ok  # its conversation is known without the first
        await outbox.retry("refused")
        await outbox.resolve("doubtful", accepted=False)
        for key in keys:
            assert (await outbox.result(key)).ok
    assert delete_expired(tables, -1.0) is False
    assert of_items(tables) == set()


async def test_what_should_have_opened_a_conversation_is_kept_while_something_waits_for_it(
    outbox: Outbox, working: Working, server: LocalSymbl, tables: Database
) -> None:
    await outbox.submit(Text("One."), key="one")
    await outbox.append("one", Text("Two."), key="two")
    await outbox.discard("one")
    assert delete_expired(tables, -1.0) is False
    async with working():
        await outbox.result("two")
        await outbox.retry("one")
        assert (await outbox.result("two")).ok
    assert said(server) == ["One.", "Two."]


async def test_much_is_forgotten_by_and_by(outbox: Outbox, tables: Database) -> None:
    with tables.begin() as connection:
        connection.execute(
            sa.insert(tables.items),
            [
                {
                    "key": f"k-{number}",
                    "conversation": "c",
                    "number": number,
                    "opens": False,
                    "content": "{}",
                    "nonce": str(number),
                    "attempt": 1,
                    "state": "completed",
                    "queued_at": 1.0,
                    "ended_at": 1.0,
                }
                for number in range(700)
            ],
        )
    assert delete_expired(tables, 3600.0) is True
    assert len([item async for item in outbox.jobs()]) == 200
    assert delete_expired(tables, 3600.0) is False
    assert of_items(tables) == set()


@pytest.mark.parametrize(
    "database", [pytest.param("postgresql", marks=pytest.mark.durable)], indirect=True
)
async def test_an_opener_stays_for_an_append_that_is_committed_while_items_are_deleted(
    outbox: Outbox, tables: Database
) -> None:
    """The append is blocked until its opener is sent again: it must not be gone."""
    await outbox.submit(Text("We begin."), key="monday")
    dispatch(tables)
    AttemptRecords(tables, "w").record_end(Attempt("monday", 1), ItemState.REFUSED, "no")
    waits = threading.Event()
    deleting: list[asyncio.Future[bool]] = []
    loop = asyncio.get_running_loop()

    def delete_meanwhile(*given: Any) -> None:
        if given[2].startswith("INSERT"):
            deleting.append(loop.run_in_executor(None, delete_expired, tables, -1.0))
            assert waits.wait(30)

    def note(*given: Any) -> None:
        if "FOR UPDATE" in given[2]:
            waits.set()

    sa.event.listen(outbox._database.engine, "after_cursor_execute", delete_meanwhile)
    sa.event.listen(tables.engine, "before_cursor_execute", note)
    blocked = await outbox.append("monday", Text("We ship."), key="note")
    await deleting[0]
    assert blocked.state is ItemState.BLOCKED
    assert (await outbox.retry("monday")).state is ItemState.QUEUED
    assert (await outbox.item("note")).state is ItemState.QUEUED


@pytest.mark.durable
async def test_who_hands_in_while_a_conversation_is_forgotten_finds_it_or_makes_it_anew(
    outbox: Outbox, working: Working, server: LocalSymbl, tables: Database
) -> None:
    async with server.client() as symbl:
        conversation_id = (await symbl.process(Text("Opened elsewhere."))).id

    async def forget() -> None:
        while not done.is_set():
            await asyncio.to_thread(delete_expired, tables, -1.0)

    done = asyncio.Event()
    async with working():
        forgetting = asyncio.ensure_future(forget())
        for number in range(30):
            await outbox.append(conversation_id, Text(f"No {number}."), key=f"k-{number}")
            if number % 5 == 4:
                await server.until(
                    lambda last=f"No {number}.": said(server)[-1] == last  # type: ignore[misc]
                )
        done.set()
        await forgetting
    assert said(server)[1:] == [f"No {number}." for number in range(30)]


@pytest.mark.durable
async def test_a_worker_forgets_what_it_was_told_to(
    outbox: Outbox, working: Working, tables: Database
) -> None:
    async with working():
        await outbox.submit(Text("One."), key="monday")
        await outbox.result("monday")
    async with working(retention=0.0), asyncio.timeout(10):
        while of_items(tables):  # noqa: ASYNC110 - another thread forgets
            await asyncio.sleep(0.01)
