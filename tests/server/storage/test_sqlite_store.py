"""What a server on a data directory continues with, and what it forgets."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import wave
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from aiohttp import web

from symbl_aio.server import write_backup
from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.job import Status
from symbl_aio.server.storage import sqlite_store
from symbl_aio.server.storage.store import StorageError
from tests.server.conftest import Caller, Start
from tests.server.storage.conftest import Restart

PARTS = (
    "",
    "/messages?verbose=true&sentiment=true",
    "/topics?sentiment=true&parentRefs=true",
    "/questions",
    "/action-items",
    "/follow-ups",
    "/insights",
    "/entities",
    "/members",
    "/analytics",
    "/trackers-detected",
    "/summary",
    "/bookmarks",
    "/bookmarks-summary",
    "/callscore",
    "/lm-insights/status",
)


async def rest(caller: Caller) -> None:
    await caller.server.until(lambda: not caller.server.unfinished)


def texts_with(word: str) -> list[str]:
    """Return the longer texts that contain a word and that an object of this process refers to."""
    gc.collect()
    referred = (text for one in gc.get_objects() for text in gc.get_referents(one))
    texts = {str(text) for text in referred if type(text) in (str, bytes) and text}
    return sorted(text for text in texts if word in text and text != word)


def files_with(data: Path, text: str) -> list[str]:
    """Return the names of the files that contain a text."""
    return [f.name for f in data.rglob("*") if f.is_file() and text.encode() in f.read_bytes()]


async def rich_conversation(caller: Caller) -> str:
    """Return a conversation to which every kind of writing call was made."""
    opened = await caller.text(
        "Ann: Hello Bob, shall we ship the new parser tomorrow?",
        "Bob: I will send the report to Ann by Friday, and call the customer.",
        name="Planning",
        trackers=[{"name": "Parser", "vocabulary": ["new parser"]}],
        entities=[{"customType": "document", "text": "report"}],
        detectEntities=True,
        detectPhrases=True,
        enableSummary=True,
        features={"featureList": ["callScore"]},
    )
    conversation = opened.body["conversationId"]
    path = f"/v1/conversations/{conversation}"
    await rest(caller)
    lines = [f"Cid: The parser of release {n} is ready, and I like it." for n in range(12)]
    await caller.text(*lines, into=conversation)
    await rest(caller)
    members = (await caller.get(f"{path}/members")).body["members"]
    await caller.put(f"{path}/members/{members[0]['id']}", {**members[0], "name": "Anna"})
    await caller.put(
        f"{path}/speakers",
        {
            "speakerEvents": [
                {
                    "type": "started_speaking",
                    "user": {"name": "Dora", "email": "dora@example.com"},
                    "offset": {"seconds": 0, "nanos": 0},
                },
                {
                    "type": "stopped_speaking",
                    "user": {"name": "Dora", "email": "dora@example.com"},
                    "offset": {"seconds": 3, "nanos": 0},
                },
            ]
        },
    )
    await caller.put(path, {"metadata": {"room": "blue", "odd": "é\ud83d\ude00"}})
    await caller.put(f"{path}/experiences/url", {"url": "https://example.com/recording"})
    made = await caller.request(
        "POST",
        f"{path}/bookmarks",
        json={
            "label": "Start",
            "description": "The first minute",
            "user": {"name": "Ann", "userId": "u", "email": "ann@example.com"},
            "beginTimeOffset": 0,
            "duration": 9,
        },
    )
    assert made.status == 201
    return str(conversation)


async def everything(caller: Caller, conversation: str) -> dict[str, Any]:
    paths = [f"/v1/conversations/{conversation}{part}" for part in PARTS]
    paths += ["/v1/conversations", "/v1/manage/trackers", "/v1/manage/groups"]
    paths += ["/v1/manage/entities", "/v1/manage/settings"]
    return {path: (await caller.get(path)).body for path in paths}


async def test_everything_is_the_same_after_a_restart(stored: Caller, restart: Restart) -> None:
    conversation = await rich_conversation(stored)
    for path, body in (
        ("/v1/manage/tracker", {"name": "Price", "vocabulary": ["too expensive"]}),
        ("/v1/manage/group", {"name": "Plans", "criteria": "conversation.name==Planning"}),
        ("/v1/manage/entity", {"type": "custom", "subType": "a", "category": "Custom",
                               "values": ["x"]}),
    ):  # fmt: skip
        assert (await stored.request("POST", path, json=body)).status == 201, path
    patch = [{"op": "replace", "path": "/intelligence/bookmarks/enabled", "value": True}]
    assert (await stored.request("PATCH", "/v1/manage/settings", json=patch)).status == 200
    before = await everything(stored, conversation)

    after = await everything(await restart(stored), conversation)

    assert after == before
    assert len(before[f"/v1/conversations/{conversation}/summary"]["summary"]) > 1


async def test_what_was_accepted_survives_a_crash(stored: Caller, crash: Restart) -> None:
    conversation = await rich_conversation(stored)
    before = await everything(stored, conversation)

    assert await everything(await crash(stored), conversation) == before


async def test_queued_jobs_run_in_order_with_their_ids(stored: Caller, crash: Restart) -> None:
    opened = (await stored.text("One.")).body["conversationId"]
    await rest(stored)
    stored.server.hold_jobs()
    queued = [await stored.text(f"{n}.", into=opened) for n in ("Two", "Three")]
    queued.append(await stored.video(into=opened))
    queued.append(await stored.text("Five.", into=opened))
    jobs = [answer.body["jobId"] for answer in queued]

    after = await crash(stored)
    assert list(after.server.jobs) == jobs
    await rest(after)

    for job in jobs:
        assert (await after.get(f"/v1/job/{job}")).body == {"id": job, "status": "completed"}
    messages = (await after.get(f"/v1/conversations/{opened}/messages")).body["messages"]
    assert [m["text"] for m in messages] == ["One.", "Two.", "Three.", "Hello.", "Five."]


async def test_a_recording_is_removed_when_its_job_has_ended(
    stored: Caller, data: Path, restart: Restart
) -> None:
    bodies = data / "bodies"
    stored.server.hold_jobs()
    answer = await stored.video()
    assert len(list(bodies.iterdir())) == 1
    (bodies / "tmp-of-a-kill").write_bytes(b"half")

    after = await restart(stored)
    await rest(after)

    assert (await after.get(f"/v1/job/{answer.body['jobId']}")).body["status"] == "completed"
    assert list(bodies.iterdir()) == []


async def test_recordings_that_were_kept_are_removed_by_a_server_that_keeps_none(
    stored: Caller, restart: Restart, data: Path
) -> None:
    keeping = await restart(stored, keep_days=30)
    await keeping.video()
    await keeping.server.until(lambda: not keeping.server.unfinished)
    kept = len(os.listdir(data / "bodies"))
    await restart(await restart(keeping, keep_days=30))

    assert (kept, os.listdir(data / "bodies")) == (1, [])
    await asyncio.to_thread(write_backup, data, data.with_suffix(".tar"))


async def test_calls_of_webhooks_are_made_by_the_next_server(
    stored: Caller, restart: Restart
) -> None:
    begun, release, called = asyncio.Event(), asyncio.Event(), []

    async def hook(request: web.Request) -> web.Response:
        called.append(await request.json())
        begun.set()
        await release.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hook)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        # The first call never ends, so the server stops with all three to be made.
        answer = await stored.text("Hello.", webhookUrl=url)
        await rest(stored)
        await begun.wait()
        await stored.server.aclose()
        called.clear()
        release.set()

        after = await restart(stored)
        await after.server.until(lambda: after.server._webhooks._pending == {})
        third = await restart(after)
        assert third.server._webhooks._pending == {}
    finally:
        await runner.cleanup()

    statuses = ("scheduled", "in_progress", "completed")
    assert called == [{"jobId": answer.body["jobId"], "status": each} for each in statuses]


async def test_tokens_are_accepted_after_a_restart_and_stored_as_hashes(
    stored: Caller, data: Path, restart: Restart
) -> None:
    pair = {"appId": "app", "appSecret": "secret"}
    issued = await stored.anonymous(
        "POST", "/oauth2/token:generate", json={"type": "application", **pair}
    )
    stored.token, refresh = issued.body["accessToken"], issued.body["refershToken"]
    assert files_with(data, stored.token) == files_with(data, refresh) == []

    after = await restart(stored)

    assert (await after.get("/v1/conversations")).status == 200
    body = {**pair, "refreshToken": refresh}
    assert (await after.anonymous("POST", "/oauth2/token:refresh", json=body)).status == 200
    revoked = await after.request("DELETE", "/oauth2/token:revoke", json=pair)
    assert revoked.status == 200
    assert (await (await restart(after)).get("/v1/conversations")).status == 401


async def test_an_expired_token_is_refused_after_a_restart(
    stored: Caller, restart: Restart
) -> None:
    await stored.get("/v1/conversations")

    after = await restart(stored, clock=lambda: 2**33)

    assert (await after.get("/v1/conversations")).status == 401


async def test_links_to_pages_work_after_a_restart(stored: Caller, restart: Restart) -> None:
    opened = (await stored.text("Hello there.")).body["conversationId"]
    await rest(stored)
    made = await stored.request(
        "POST", f"/v1/conversations/{opened}/experiences", json={"name": "verbose-text-summary"}
    )
    path = "/" + made.body["url"].split("/", 3)[3]

    page = await (await restart(stored)).anonymous("GET", path)

    assert page.status == 200
    assert "Hello there." in page.body


async def test_applications_share_a_directory_and_see_nothing_of_each_other(
    stored: Caller, restart: Restart
) -> None:
    opened = (await stored.text("Hello.")).body
    await rest(stored)

    other = await restart(stored, app_id="other")
    refused = await other.get("/v1/conversations")
    issued = await other.anonymous(
        "POST",
        "/oauth2/token:generate",
        json={"type": "application", "appId": "other", "appSecret": "secret"},
    )
    other.token = issued.body["accessToken"]

    assert refused.status == 401
    assert (await other.get("/v1/conversations")).body == {"conversations": []}
    assert (await other.get(f"/v1/job/{opened['jobId']}")).status == 404
    assert (await other.get(f"/v1/conversations/{opened['conversationId']}")).status == 404


# Deletion


async def test_deleting_a_conversation_leaves_no_copy(
    stored: Caller, data: Path, restart: Restart
) -> None:
    word = f"Xanadu{token_hex(8)}"
    secret = f"The marmalade password is {word}."
    opened = (await stored.text(f"Ann: {secret}", name=f"About {word}")).body["conversationId"]
    kept = (await stored.text("Ann: Something else.")).body["conversationId"]
    await rest(stored)
    path = f"/v1/conversations/{opened}"
    await stored.text(f"Bob: {secret}", into=opened, enableSummary=True)
    await rest(stored)
    await stored.put(path, {"metadata": {"a": f"Of {word}"}})
    for part in PARTS:
        await stored.get(path + part)
    assert files_with(data, word) != []
    stored.server.hold_jobs(before="in_progress")
    await stored.text(f"Ann: {secret}", into=opened)
    await stored.video(into=opened)
    del secret
    assert texts_with(word) != []

    assert (await stored.request("DELETE", path)).status == 200

    assert files_with(data, word) == []
    assert texts_with(word) == []
    assert list((data / "bodies").iterdir()) == []
    gc.collect()
    assert opened not in [o.id for o in gc.get_objects() if isinstance(o, Conversation)]
    assert all(job.payload is None for job in stored.server.jobs.values())
    stored.server.release()
    await rest(stored)
    after = await restart(stored)
    assert (await after.get(path)).status == 404
    assert [c["id"] for c in (await after.get("/v1/conversations")).body["conversations"]] == [kept]


async def test_unfinished_jobs_of_a_deleted_conversation_fail(
    stored: Caller, crash: Restart
) -> None:
    opened = await stored.text("One.")
    conversation = opened.body["conversationId"]
    await rest(stored)
    stored.server.hold_jobs()
    queued = [await stored.text("Two.", into=conversation), await stored.video(into=conversation)]
    await stored.server.until(
        lambda: stored.server.jobs[queued[0].body["jobId"]].status is Status.IN_PROGRESS
    )
    await stored.request("DELETE", f"/v1/conversations/{conversation}")

    after = await crash(stored)
    stored.server.release()
    for caller in (stored, after):
        await rest(caller)
        for answer in queued:
            found = await caller.get(f"/v1/job/{answer.body['jobId']}")
            assert found.body["status"] == "failed"
        assert (await caller.get(f"/v1/conversations/{conversation}")).status == 404


async def test_an_append_is_refused_if_its_conversation_is_deleted_meanwhile(
    stored: Caller, data: Path
) -> None:
    opened = (await stored.text("One.")).body["conversationId"]
    await rest(stored)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def body() -> Any:
        yield b"\x00\x00\x00\x18ftypmp42"
        begun.set()
        await go_on.wait()
        yield bytes(64)

    upload = asyncio.ensure_future(
        stored.request(
            "PUT",
            f"/v1/process/video/{opened}",
            data=body(),
            headers={"Content-Type": "video/mp4", "Content-Length": "76"},
        )
    )
    await begun.wait()
    await stored.server.until(lambda: stored.server.uploading == 1)
    await stored.request("DELETE", f"/v1/conversations/{opened}")
    go_on.set()

    assert (await upload).status == 404
    assert list((data / "bodies").iterdir()) == []
    assert stored.server.unfinished == 0


# Stopping


async def test_a_stopping_server_refuses_submissions_and_accepts_those_that_are_uploaded(
    stored: Caller, restart: Restart
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def body() -> Any:
        yield b"\x00\x00\x00\x18ftypmp42"
        begun.set()
        await go_on.wait()
        yield bytes(64)

    headers = {"Content-Type": "video/mp4", "Content-Length": "76"}
    upload = asyncio.ensure_future(
        stored.request("POST", "/v1/process/video", data=body(), headers=headers)
    )
    await begun.wait()
    await stored.server.until(lambda: stored.server.uploading == 1)
    stored.server.hold_jobs()
    draining = asyncio.ensure_future(stored.server.drain())
    await asyncio.sleep(0)

    refused = await stored.text("Too late.")
    assert refused.status == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert (await stored.get("/v1/conversations")).status == 200
    assert not draining.done()
    go_on.set()
    accepted = await upload
    await draining
    assert accepted.status == 201

    after = await restart(stored)
    await rest(after)
    job = await after.get(f"/v1/job/{accepted.body['jobId']}")
    assert job.body["status"] == "completed"


# Lists, and memory


QUERIES = (
    "",
    "?order=desc",
    "?limit=3&offset=2",
    "?limit=3&offset=2&order=desc",
    "?limit=0",
    "?offset=100",
    "?filter=conversation.name==call 7",
    "?filter=conversation.metadata.odd==True&limit=2&offset=1",
    "?startTime=2020-01-01T00:00:00Z&limit=50",
    "?startTime=2020-01-01T00:00:00Z&endTime=2021-01-01T00:00:00Z",
    "?startTime=2020-01-01T00:00:00Z&endTime=2020-06-01T00:00:04Z",
)


@pytest.mark.parametrize("chunk", [2, 500])
async def test_lists_are_those_of_a_server_in_memory(
    stored: Caller, start: Any, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(sqlite_store, "_CHUNK", chunk)
    memory = await start()
    # Of those that begin when they are sent there is one: two may begin in one millisecond, and
    # would be equal on one of the servers alone.
    starts = [f"2020-06-01T00:00:0{n // 2}Z" for n in range(9)]
    starts += [(datetime.now(UTC) - timedelta(hours=14 - n)).isoformat() for n in range(9, 13)]
    for caller in (stored, memory):
        for n in range(14):
            item = {"payload": {"content": "Hello."}} | (
                {"duration": {"startTime": starts[n]}} if n < 13 else {}
            )
            opened = await caller.request(
                "POST", "/v1/process/text", json={"messages": [item], "name": f"call {n}"}
            )
            conversation = opened.body["conversationId"]
            await caller.put(
                f"/v1/conversations/{conversation}", {"metadata": {"odd": str(n % 2 == 1)}}
            )
        await rest(caller)

    for query in QUERIES:
        lists = [await caller.get(f"/v1/conversations{query}") for caller in (stored, memory)]
        names = [[item["name"] for item in answer.body["conversations"]] for answer in lists]
        assert names[0] == names[1], query
    assert len(names[0]) == 9


async def test_conversations_that_were_not_used_for_longest_leave_memory(
    stored: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "_LOADED_SIZE", 5 * 2000)
    ids = []
    for n in range(20):
        opened = await stored.text(f"Ann: Number {n}. " + "word " * 400)
        ids.append(opened.body["conversationId"])
        await rest(stored)

    assert len(stored.server._conversations.by_id) == 4
    for n in (0, 19, 7, 0):
        answer = await stored.get(f"/v1/conversations/{ids[n]}/messages")
        assert answer.body["messages"][0]["text"] == f"Number {n}."
        assert len(stored.server._conversations.by_id) <= 4
    assert ids[0] in stored.server._conversations.by_id
    for n in (1, 2, 0, 3, 4):
        await stored.get(f"/v1/conversations/{ids[n]}/messages")
    assert ids[0] in stored.server._conversations.by_id


async def test_a_change_that_nothing_waits_for_is_logged_only_if_it_fails(
    stored: Caller, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    [account] = stored.server._accounts
    stored.server.revoke_tokens()
    await account.conversations._store.state()
    assert "could not be stored" not in caplog.text

    (data / "symbl.sqlite3").unlink()
    stored.server.revoke_tokens()
    with pytest.raises(StorageError):
        await account.conversations._store.state()
    assert caplog.text.count("a change could not be stored: the database") == 1


async def test_an_id_that_no_database_takes_is_unknown(stored: Caller) -> None:
    """Without its C extensions, aiohttp passes a byte of a path that is no UTF-8 as a surrogate."""
    [account] = stored.server._accounts

    assert await account.conversations.get("\udcff") is None
    assert await account.jobs.find("\udcff") is None


@pytest.mark.heavy
async def test_speakers_and_short_messages_count_as_what_they_need_in_memory(
    stored: Caller,
) -> None:
    lines = [f"{n}: a" for n in range(4000)]
    for _ in range(4):
        await stored.text(*lines)
        await rest(stored)

    assert len(stored.server._conversations.by_id) == 1


async def test_the_trackers_of_a_deleted_conversation_are_not_in_memory(stored: Caller) -> None:
    secret = f"of {token_hex(8)}"
    opened = await stored.text(
        "Ann: Hello Bob.",
        trackers=[{"name": "a", "vocabulary": [f"phrase {secret}"]}],
        entities=[{"customType": "b", "text": f"text {secret}"}],
    )
    path = f"/v1/conversations/{opened.body['conversationId']}"
    await rest(stored)
    for part in ("trackers-detected", "entities"):
        assert (await stored.get(f"{path}/{part}")).status == 200
    assert texts_with(secret)

    assert (await stored.request("DELETE", path)).status == 200
    assert not texts_with(secret)


async def test_jobs_that_a_server_took_over_are_in_its_metrics(
    stored: Caller, restart: Restart
) -> None:
    stored.server.hold_jobs()
    opened = await stored.text("Ann: One.")
    await stored.text("Ann: Two.", into=opened.body["conversationId"])

    after = await restart(stored, job_seconds=1000)
    await after.server.until(
        lambda: after.server.jobs[opened.body["jobId"]].status is Status.IN_PROGRESS
    )
    lines = (await after.get("/metrics")).body.splitlines()

    assert 'symbl_aio_jobs{state="in_progress"} 1' in lines
    assert 'symbl_aio_jobs{state="scheduled"} 1' in lines


@pytest.mark.parametrize("left", [None, 100])
async def test_a_job_whose_recording_is_not_whole_fails_with_that_reason(
    start: Start, data: Path, left: int | None
) -> None:
    recording_of = io.BytesIO()
    with wave.open(recording_of, "wb") as writer:
        writer.setparams((1, 2, 8000, 8000, "NONE", ""))
        writer.writeframes(bytes(16_000))
    sent = recording_of.getvalue()
    before = await start(data=data)
    before.server.hold_jobs()
    job_id = (await before.audio(sent)).body["jobId"]
    await before.server.aclose()
    (recording,) = (data / "bodies").iterdir()
    if left is None:
        recording.unlink()
    else:
        os.truncate(recording, left)

    after = await start(data=data)
    await after.server.until(lambda: not after.server.unfinished)
    after.token = before.token
    job = await after.get(f"/v1/job/{job_id}")

    assert job.body["status"] == "failed"
    assert job.body["reason"] == (
        f"its recording in the data directory has {left or 0} of {len(sent)} bytes"
    )
