"""What is deleted by its age, and what is kept."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from symbl_aio.server.conversations import retention
from symbl_aio.server.conversations.retention import Retention
from tests.server.conftest import Caller, Start
from tests.server.storage.test_sqlite_store import files_with

DAY = 86400.0


async def rest(caller: Caller) -> None:
    await caller.server.until(lambda: not caller.server.unfinished)


async def ids(caller: Caller) -> list[str]:
    listed = await caller.get("/v1/conversations")
    return [conversation["id"] for conversation in listed.body["conversations"]]


def sweeper(caller: Caller) -> Retention:
    [account] = caller.server._accounts
    return account._retention


def recordings(data: Path) -> list[Path]:
    return list((data / "bodies").iterdir())


def set_back(data: Path, table: str, column: str, *, number: int) -> None:
    """Move a time in the database by two days."""
    with closing(sqlite3.connect(data / "symbl.sqlite3")) as database, database:
        database.execute(
            f"UPDATE {table} SET {column} = {column} - ? WHERE number = ?", (2 * DAY, number)
        )


async def is_stored(caller: Caller, job: str) -> bool:
    """Return whether the next server on the directory would know a finished job."""
    return await sweeper(caller)._store.finished_job(job) is not None


async def test_a_conversation_is_deleted_when_it_was_not_changed_for_so_many_days(
    start: Start, tmp_path: Path
) -> None:
    caller = await start(data=tmp_path / "data", keep_days=2)
    old = (await caller.text("Ann: The password is Xanadu.")).body
    await rest(caller)

    await sweeper(caller).sweep(time.time() + 1.9 * DAY)
    assert await ids(caller) == [old["conversationId"]]
    await sweeper(caller).sweep(time.time() + 2.1 * DAY)

    assert await ids(caller) == []
    assert await is_stored(caller, old["jobId"]) is False
    assert files_with(tmp_path, "Xanadu") == []


async def test_conversations_of_an_application_that_is_not_served_any_more_are_deleted(
    start: Start, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    before = await start(data=data)
    await before.text("Ann: The password is Xanadu.")
    await rest(before)
    await before.server.aclose()
    with closing(sqlite3.connect(data / "symbl.sqlite3")) as connection, connection:
        connection.execute("UPDATE conversations SET changed_at = changed_at - 3 * 86400")

    after = await start(data=data, keep_days=2, app_id="another")
    (retention,) = after.server._retentions
    while files_with(tmp_path, "Xanadu"):
        await retention.sweep(time.time())

    assert await retention._store.expired(time.time()) == []


async def test_more_conversations_than_one_query_returns_are_deleted(
    start: Start, tmp_path: Path
) -> None:
    caller = await start(data=tmp_path / "data", keep_days=1)
    for _ in range(101):
        await caller.text("Hello.")
    await rest(caller)

    await sweeper(caller).sweep(time.time() + 2 * DAY)

    assert await ids(caller) == []


async def test_a_recording_that_is_kept_ends_with_its_conversation(
    start: Start, tmp_path: Path
) -> None:
    caller = await start(data=tmp_path, keep_days=1, default_transcript="Ann: Hello.")
    deleted, expired = (await caller.video()).body, (await caller.video()).body
    await rest(caller)
    assert len(recordings(tmp_path)) == 2

    await caller.request("DELETE", f"/v1/conversations/{deleted['conversationId']}")
    assert len(recordings(tmp_path)) == 1
    await sweeper(caller)._conversations.expire(expired["conversationId"], time.time() + DAY)
    assert recordings(tmp_path) == []


async def test_a_recording_ends_at_its_age_though_its_conversation_goes_on(
    start: Start, tmp_path: Path
) -> None:
    caller = await start(data=tmp_path, keep_days=1, default_transcript="Ann: Hello.")
    opened = (await caller.video()).body
    await caller.video(into=opened["conversationId"])
    await rest(caller)
    set_back(tmp_path, "jobs", "ended_at", number=1)

    await sweeper(caller).sweep(time.time())

    assert len(recordings(tmp_path)) == 1
    assert await ids(caller) == [opened["conversationId"]]
    assert await is_stored(caller, opened["jobId"])


async def test_a_conversation_with_an_unfinished_job_is_kept(start: Start, tmp_path: Path) -> None:
    caller = await start(data=tmp_path / "data", keep_days=1)
    opened = (await caller.text("One.")).body["conversationId"]
    await rest(caller)
    caller.server.hold_jobs()
    await caller.text("Two.", into=opened)

    await sweeper(caller).sweep(time.time() + 2 * DAY)
    assert await ids(caller) == [opened]
    caller.server.release()
    await rest(caller)
    await sweeper(caller).sweep(time.time() + 2 * DAY)

    assert await ids(caller) == []


async def test_one_that_changes_between_query_and_deletion_is_kept(
    start: Start, tmp_path: Path
) -> None:
    caller = await start(data=tmp_path / "data", keep_days=1)
    opened = (await caller.text("One.")).body["conversationId"]
    old = (await caller.text("Two.")).body["conversationId"]
    await rest(caller)
    set_back(tmp_path / "data", "conversations", "changed_at", number=2)
    conversations = sweeper(caller)._conversations
    cutoff = time.time() - DAY

    await conversations.expire(opened, cutoff)
    assert await ids(caller) == [opened, old]

    await conversations.expire(old, cutoff)
    assert await ids(caller) == [opened]


async def test_without_a_number_of_days_nothing_is_deleted_by_age(
    start: Start, tmp_path: Path
) -> None:
    caller = await start(data=tmp_path / "data")
    opened = (await caller.text("One.")).body
    await rest(caller)

    await sweeper(caller).sweep(time.time() + 10_000 * DAY)

    assert await ids(caller) == [opened["conversationId"]]
    assert (await caller.get(f"/v1/job/{opened['jobId']}")).status == 200


async def test_the_job_of_a_deleted_conversation_is_forgotten_after_a_month(
    start: Start, tmp_path: Path
) -> None:
    caller = await start(data=tmp_path / "data")
    opened = (await caller.text("One.")).body
    await rest(caller)
    await caller.request("DELETE", f"/v1/conversations/{opened['conversationId']}")
    job = opened["jobId"]

    await sweeper(caller).sweep(time.time() + 29 * DAY)
    assert await is_stored(caller, job)
    await sweeper(caller).sweep(time.time() + 31 * DAY)

    assert await is_stored(caller, job) is False


async def test_a_server_sweeps_when_it_starts_and_again_later(
    start: Start, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(retention, "_PAUSE", 0.0)
    data, far = tmp_path / "data", time.time() + 2 * DAY
    caller = await start(data=data, keep_days=1)
    await caller.text("One.")
    await rest(caller)
    await caller.server.aclose()
    monkeypatch.setattr(time, "time", lambda: far)

    after = await start(data=data, keep_days=1)
    swept = asyncio.Event()
    after_sweep = sweeper(after).sweep

    async def count(now: float) -> None:
        await after_sweep(now)
        swept.set()

    monkeypatch.setattr(sweeper(after), "sweep", count)
    await swept.wait()

    assert await ids(after) == []


async def test_a_clock_that_jumps_has_an_hour_to_be_put_right(
    start: Start, tmp_path: Path, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retention, "_PAUSE", 0.0)
    caller = await start(data=tmp_path, keep_days=1)
    opened = (await caller.text("One.")).body["conversationId"]
    await rest(caller)
    sweep, rounds, far = sweeper(caller).sweep, asyncio.Semaphore(0), time.time() + 365 * DAY

    async def count(now: float) -> None:
        await sweep(now)
        rounds.release()

    monkeypatch.setattr(sweeper(caller), "sweep", count)
    await rounds.acquire()
    monkeypatch.setattr(time, "time", lambda: far)
    monkeypatch.setattr(retention, "_PAUSE", 3600.0)
    kept = await ids(caller)

    assert kept == [opened]
    assert "the clock went forward" in caplog.text
