"""A server that runs for long in memory keeps rows, and few objects."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from symbl_aio.server.storage import sqlite_store
from tests.server.conftest import Start


async def test_only_the_conversations_that_were_used_last_are_objects(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "_LOADED_SIZE", 5 * 2000)
    caller = await start(retain=3)
    ids = []
    for n in range(20):
        opened = await caller.text(f"Ann: Number {n}. " + "word " * 400)
        ids.append(opened.body["conversationId"])
        await caller.server.until(lambda: not caller.server.unfinished)

    assert len(caller.server._conversations.by_id) <= 4
    for n in (0, 19, 7):
        answer = await caller.get(f"/v1/conversations/{ids[n]}/messages")
        assert answer.body["messages"][0]["text"] == f"Number {n}."
    listed = await caller.get("/v1/conversations")
    assert [each["id"] for each in listed.body["conversations"]] == ids


async def test_recordings_are_temporary_files_that_end_with_their_job_or_conversation(
    start: Start, tmp_path: Path
) -> None:
    caller = await start(retain=3, directory=tmp_path, default_transcript="Ann: Hello.")

    def recordings() -> list[Any]:
        return [path for path in tmp_path.glob("*/*") if path.is_file()]

    caller.server.hold_jobs()
    first = (await caller.video()).body
    await caller.video()
    assert len(recordings()) == 2

    deleted = await caller.request("DELETE", f"/v1/conversations/{first['conversationId']}")
    assert (deleted.status, len(recordings())) == (200, 1)
    caller.server.release()
    await caller.server.until(lambda: not caller.server.unfinished)
    assert recordings() == []

    await caller.server.aclose()
    assert not os.listdir(tmp_path)
