"""The log has each request but successful probes, with its caller, and no secret."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import namedtuple
from typing import Any

import pytest

from symbl_aio.server.hosting_settings import Hosting
from symbl_aio.server.storage.store import StorageError

from .conftest import MP4

Usage = namedtuple("Usage", "total used free")


async def test_the_access_log_has_each_request_and_no_secret(
    start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caller = await start(hosting=Hosting(access_log=True), default_transcript="Hello.")
    with caplog.at_level(logging.INFO, "symbl_aio.server.access"):
        await caller.video(MP4, name="private name")
        link = (await caller.get("/v1/conversations/experiences/insights/list")).body["url"]
        await caller.anonymous("GET", link.removeprefix(caller.server.base_url))
        await caller.anonymous("GET", f"/v1/{caller.token}?token={caller.token}")
        await caller.anonymous("GET", "/v1/job/a%0AWARNING%20forged")
    lines = [r.getMessage() for r in caplog.records if r.name == "symbl_aio.server.access"]
    text = "\n".join(lines)

    assert len(lines) == len(text.splitlines()) == 6
    assert '127.0.0.1 "POST /v1/process/video" 201 ' in text
    assert re.search(r'"GET /pages/\{subject}/\d+/\{signature}" 200 ', text)
    assert '"GET -" 401 ' in text
    for secret in (caller.token, "private", "secret", link.rsplit("/", 1)[1]):
        assert secret not in text


async def test_the_access_log_names_the_caller_behind_a_known_proxy(
    start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    forwarded = {"X-Forwarded-For": "198.51.100.7, 203.0.113.9"}
    for hosting in (Hosting(access_log=True, proxies=["127.0.0.1"]), Hosting(access_log=True)):
        caller = await start(hosting=hosting)
        with caplog.at_level(logging.INFO, "symbl_aio.server.access"):
            await caller.anonymous("GET", "/v1/conversations", headers=forwarded)

    lines = [r.getMessage() for r in caplog.records if r.name == "symbl_aio.server.access"]
    assert [line.partition(" ")[0] for line in lines] == ["203.0.113.9", "127.0.0.1"]


async def test_a_request_that_is_no_http_is_a_line_and_no_fault(
    start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caller = await start(hosting=Hosting(access_log=True))
    port = int(caller.server.base_url.rpartition(":")[2])
    with caplog.at_level(logging.INFO):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nno header\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await caller.anonymous("GET", "/v1/conversations")

    assert b" 400 " in answer
    lines = [r.getMessage() for r in caplog.records if r.name == "symbl_aio.server.access"]
    assert [line.rpartition('"')[0] for line in lines] == [
        '127.0.0.1 "UNKNOWN -',
        '127.0.0.1 "GET /v1/conversations',
    ]
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


async def test_a_probe_is_logged_only_when_it_fails(
    start: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await start(hosting=Hosting(access_log=True))
    with caplog.at_level(logging.INFO, "symbl_aio.server.access"):
        for path in ("/healthz", "/readyz", "/metrics"):
            await caller.anonymous("GET", path)
        monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(0, 0, 0))
        await caller.anonymous("GET", "/readyz")

    [line] = [r.getMessage() for r in caplog.records if r.name == "symbl_aio.server.access"]
    assert '"GET /readyz" 503 ' in line


@pytest.mark.parametrize(
    "path",
    [
        "/v1/job/{}",
        "/v1/conversations/{}/messages",
        "/v1/conversations/{}/bookmarks/{}",
        "/v1/process/text/{}",
        "/v1/manage/tracker/{}",
        "/v1/streaming/{}",
        "/v1/subscribe/{}",
        "/pages/{}/1/2",
    ],
)
async def test_a_secret_in_the_place_of_an_id_is_not_logged(
    start: Any, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    caller = await start(hosting=Hosting(access_log=True))
    with caplog.at_level(logging.DEBUG, "symbl_aio.server"):
        await caller.get("/v1/conversations")
        for secret in (caller.token, "app-secret-0123456789abcdef"):
            for method in ("GET", "PUT", "DELETE"):
                await caller.request(method, path.format(secret, secret))
        await caller.request("GET", "/v1/conversations", params={caller.token: "x"})
    text = "\n".join(record.getMessage() for record in caplog.records)

    assert '"GET /' in text
    assert caller.token not in text
    # The longest piece of a token that a shortened line could show.
    assert caller.token[:20] not in text
    assert "app-secret" not in text


async def test_a_change_that_cannot_be_stored_is_logged_without_what_stands_for_an_id(
    start: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await start()

    async def fail(*_: Any) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(caller.server._conversations, "from_request", fail)
    with caplog.at_level(logging.DEBUG, "symbl_aio.server"):
        assert (await caller.get("/v1/conversations/a-secret/messages")).status == 503
    assert "GET /v1/conversations/{conversation_id}/messages: the disk is full" in caplog.text
    assert "a-secret" not in caplog.text


async def test_ids_are_logged(start: Any, caplog: pytest.LogCaptureFixture) -> None:
    caller = await start(hosting=Hosting(access_log=True))
    with caplog.at_level(logging.INFO, "symbl_aio.server.access"):
        made = (await caller.text("Yes.")).body
        paths = [f"/v1/job/{made['jobId']}", f"/v1/conversations/{made['conversationId']}/topics"]
        for path in paths:
            await caller.get(path)
    for path in paths:
        assert f'"GET {path}" 200 ' in caplog.text
