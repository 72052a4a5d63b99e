"""An operator sees whether the server lives, what it does, and each request, without a secret."""

from __future__ import annotations

import logging
import re
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from symbl_aio.server.hosting_settings import Hosting
from symbl_aio.server.storage.store import StorageError

from .conftest import MP4

Usage = namedtuple("Usage", "total used free")


async def test_health_and_readiness_need_no_token(caller: Any) -> None:
    for path in ("/healthz", "/readyz"):
        assert (await caller.anonymous("GET", path)).status == 200


async def test_a_full_disk_is_not_ready_but_healthy(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await start(directory=tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(0, 0, 0))

    answer = await caller.anonymous("GET", "/readyz")

    assert (answer.status, answer.body["reason"]) == (503, "the disk is full")
    assert (await caller.anonymous("GET", "/healthz")).status == 200


async def metrics(caller: Any) -> dict[str, float]:
    answer = await caller.anonymous("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.body.endswith("# EOF\n")
    samples = [line for line in answer.body.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in samples)}


async def test_metrics_count_jobs_by_state_and_refusals(start: Any) -> None:
    caller = await start(default_transcript="Ann: Hello.")
    caller.server.hold_jobs()
    for _ in range(2):
        await caller.video()
    into = (await caller.video()).body["conversationId"]
    await caller.video(into=into)  # waits for the one before
    await caller.anonymous("GET", "/v1/conversations")

    running = await metrics(caller)
    assert running['symbl_aio_jobs{state="in_progress"}'] == 3
    assert running['symbl_aio_jobs{state="scheduled"}'] == 1
    assert running["symbl_aio_queue_age_seconds"] > 0
    assert running['symbl_aio_refused_total{status="401"}'] == 1
    assert running["symbl_aio_connections"] >= 1
    assert running["process_resident_memory_bytes"] > 10_000_000

    caller.server.release()
    await caller.server.until(lambda: not caller.server.unfinished)
    ended = await metrics(caller)
    assert ended['symbl_aio_jobs_ended_total{state="completed"}'] == 4
    assert ended['symbl_aio_jobs{state="in_progress"}'] == 0
    assert ended["symbl_aio_queue_age_seconds"] == 0


async def test_metrics_have_the_form_of_openmetrics(caller: Any) -> None:
    text = (await caller.anonymous("GET", "/metrics")).body
    families = re.findall(r"^# TYPE (\S+) (gauge|counter)$", text, re.M)
    assert len(dict(families)) == len(families) > 10
    kinds = dict(families)
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name = re.match(r"[a-z_]+", line).group()  # type: ignore[union-attr]
        family = name.removesuffix("_total")
        assert kinds[family] == ("counter" if name.endswith("_total") else "gauge")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via"])
async def test_metrics_that_a_proxy_passes_on_need_a_token(caller: Any, header: str) -> None:
    headers = {header: "for=203.0.113.9"}

    assert (await caller.anonymous("GET", "/metrics", headers=headers)).status == 401
    assert (await caller.request("GET", "/metrics", headers=headers)).status == 200


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


async def test_a_failed_job_has_its_reason(start: Any) -> None:
    caller = await start()
    failing = (await caller.audio(b"no sound at all")).body["jobId"]
    fine = (await caller.text("Yes.")).body["jobId"]
    await caller.server.until(lambda: not caller.server.unfinished)

    answer = (await caller.get(f"/v1/job/{failing}")).body
    assert (answer["status"], bool(answer["reason"])) == ("failed", True)
    assert (await caller.get(f"/v1/job/{fine}")).body == {"id": fine, "status": "completed"}
