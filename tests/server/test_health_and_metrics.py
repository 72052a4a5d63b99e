"""An operator sees whether the server lives, and what it does."""

from __future__ import annotations

import re
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

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


async def test_a_failed_job_has_its_reason(start: Any) -> None:
    caller = await start()
    failing = (await caller.audio(b"no sound at all")).body["jobId"]
    fine = (await caller.text("Yes.")).body["jobId"]
    await caller.server.until(lambda: not caller.server.unfinished)

    answer = (await caller.get(f"/v1/job/{failing}")).body
    assert (answer["status"], bool(answer["reason"])) == ("failed", True)
    assert (await caller.get(f"/v1/job/{fine}")).body == {"id": fine, "status": "completed"}
