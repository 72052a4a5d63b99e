"""The disk is looked at before a body, and a full disk is a refusal that says when to come back."""

from __future__ import annotations

import asyncio
import errno
from collections import namedtuple
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from symbl_aio.server import spooled_body
from symbl_aio.server.server_limits import ServerLimits
from symbl_aio.server.spooled_body import SpooledBody
from symbl_aio.server.upload_space import UploadSpace

from .conftest import MP4

Usage = namedtuple("Usage", "total used free")


async def test_a_recording_has_a_largest_size(start: Any, tmp_path: Path) -> None:
    caller = await start(
        limits=ServerLimits(upload=1000), directory=tmp_path, default_transcript="Hello."
    )

    assert (await caller.video(MP4 + bytes(1000))).status == 413
    assert (await caller.video()).status == 201


async def test_too_little_space_is_a_refusal_before_the_body(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await start(directory=tmp_path, job_limit=1, default_transcript="Hello.")
    await caller.get("/v1/conversations")
    free = [0]
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(0, 0, free[0]))

    refused = await caller.video(MP4 + bytes(9_000_000))
    assert (refused.status, refused.headers["Retry-After"]) == (503, "60")
    assert caller.server.submissions[0].size == 0

    free[0] = 2**30
    assert (await caller.video()).status == 201


async def test_a_disk_that_fills_up_under_a_body_is_a_refusal(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await start(directory=tmp_path, job_limit=1, default_transcript="Hello.")

    def full(self: SpooledBody, batch: list[bytes]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(spooled_body.SpooledBody, "_write_batch", full)
        refused = await caller.video(MP4 + bytes(5_000_000))

    assert (refused.status, refused.headers["Retry-After"]) == (503, "60")
    assert (await caller.video()).status == 201


def test_uploads_on_their_way_share_the_space(tmp_path: Path) -> None:
    space = UploadSpace(tmp_path, ServerLimits())
    first, second = (SpooledBody(tmp_path, keep=True, hashed=False) for _ in range(2))
    half = space.free() // 2 + 2**20
    limits = ServerLimits(upload=half)
    space = UploadSpace(tmp_path, limits)
    with space.granted(first, half):
        with pytest.raises(Exception, match="full"), space.granted(second, half):
            pass
        first.size = half
        with space.granted(second, half):
            pass


async def _without_length(size: int) -> AsyncIterator[bytes]:
    yield MP4
    while size > 0:
        yield bytes(min(size, 2**20))
        size -= 2**20


async def test_a_body_without_a_length_meets_the_same_limits(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await start(
        limits=ServerLimits(upload=30 * 2**20), directory=tmp_path, default_transcript="Hello."
    )
    path = "/v1/process/video"

    too_large = await caller.request("POST", path, data=_without_length(40 * 2**20))
    assert too_large.status == 413

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(0, 0, 2**26 + 10 * 2**20))
    full = await caller.request("POST", path, data=_without_length(20 * 2**20))
    assert (full.status, full.headers["Retry-After"]) == (503, "60")
    left = await asyncio.to_thread(lambda: list(tmp_path.rglob("tmp*")))
    assert not left


async def _job_of_a_linked_recording(caller: Any) -> Any:
    async def recording(request: web.Request) -> web.Response:
        return web.Response(body=_without_length(20 * 2**20))

    app = web.Application()
    app.router.add_get("/call.mp4", recording)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    link = {"url": f"http://127.0.0.1:{runner.addresses[0][1]}/call.mp4"}
    accepted = await caller.request("POST", "/v1/process/video/url", json=link)
    await caller.server.until(lambda: not caller.server.unfinished)
    await runner.cleanup()
    return (await caller.get(f"/v1/job/{accepted.body['jobId']}")).body


async def test_a_linked_recording_leaves_the_reserve_free(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await start(directory=tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(0, 0, 2**26 + 10 * 2**20))

    job = await _job_of_a_linked_recording(caller)

    assert job["reason"] == "The disk of the server is full."
    assert not await asyncio.to_thread(lambda: list(tmp_path.rglob("tmp*")))


async def test_a_disk_that_fails_under_a_linked_recording_is_not_called_a_fault_of_the_link(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await start(directory=tmp_path)

    def broken(self: SpooledBody, batch: list[bytes]) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(spooled_body.SpooledBody, "_write_batch", broken)

    job = await _job_of_a_linked_recording(caller)

    assert job["reason"] == "a recording cannot be written: Input/output error"


async def test_a_directory_that_has_gone_is_named_and_hides_no_metrics(
    start: Any, tmp_path: Path
) -> None:
    caller = await start(data=tmp_path / "data", default_transcript="Hello.")
    (tmp_path / "data" / "bodies").rename(tmp_path / "elsewhere")

    refused = await caller.video()
    ready = await caller.anonymous("GET", "/readyz")
    metrics = await caller.anonymous("GET", "/metrics")

    assert (refused.status, refused.headers["Retry-After"]) == (503, "10")
    assert ready.status == 503
    assert "No such file" in ready.body["reason"]
    assert metrics.status == 200
    assert "symbl_aio_jobs" in metrics.body
    (tmp_path / "elsewhere").rename(tmp_path / "data" / "bodies")
    assert (await caller.video()).status == 201
    assert (await caller.anonymous("GET", "/readyz")).status == 200
