"""Several worker processes: the guarantees when the kernel chooses the one that answers.

``uvicorn --workers 4``, real processes that share a socket, a webhook secret and a journal.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from symbl_aio.testing import LocalSymbl
from tests.contrib.process import WebProcess
from tests.contrib.site import get, post
from tests.support import mp4_bytes

# Five processes have to start, which takes long on a machine with other work: once for the
# module, whose tests share the event loop that the server runs in.
pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

WORKERS = 4
RECORDING = mp4_bytes(100_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[LocalSymbl]:
    async with LocalSymbl(probe_media=False, default_transcript="Ann: Hello there.") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(
    server: LocalSymbl, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WebProcess]:
    journal = tmp_path_factory.mktemp("journal")
    async with WebProcess.running(server, journal, workers=WORKERS) as process:
        yield process


async def workers(service: WebProcess, enough: Callable[[dict[int, int]], bool]) -> dict[int, int]:
    """Ask until what is known of the workers is enough: the jobs that each follows, by its pid."""
    known: dict[int, int] = {}
    while not enough(known):
        asking = (get(f"{service.url}/worker") for _ in range(16))
        for answer in await asyncio.gather(*asking, return_exceptions=True):
            if isinstance(answer, aiohttp.ClientError):
                continue  # accepted by a worker that was killed
            assert not isinstance(answer, BaseException)
            known[answer[1]["pid"]] = answer[1]["jobs"]
    return known


async def uploaded(service: WebProcess, count: int) -> list[str]:
    """Upload so many recordings at once, and give the ids of their jobs."""
    uploads = (post(f"{service.url}/recordings", RECORDING) for _ in range(count))
    answers = await asyncio.gather(*uploads)
    assert {status for status, _, _ in answers} == {200}
    return [told["job"] for _, told, _ in answers]


async def called(url: str, job: str) -> int:
    """Call a webhook as the API does, and give the status."""
    call = {"jobId": job, "status": "completed"}
    async with aiohttp.ClientSession() as api, api.post(url, json=call) as answered:
        return answered.status


async def test_whichever_worker_is_called_webhooks_are_taken_and_jobs_resolve(
    service: WebProcess, server: LocalSymbl
):
    server.hold_jobs()
    before = len(server.webhook_calls)
    await workers(service, lambda known: len(known) == WORKERS)
    jobs = await uploaded(service, 24)
    assert len(set(jobs)) == 24
    pages = [asyncio.create_task(get(f"{service.url}/symbl/jobs/{job}/events")) for job in jobs]

    hook = server.submissions[-1].query["webhookUrl"]
    forged = hook[:-1] + ("0" if hook[-1] != "0" else "1")
    assert set(await asyncio.gather(*(called(forged, jobs[-1]) for _ in range(32)))) == {404}
    assert set(await asyncio.gather(*(called(hook, jobs[-1]) for _ in range(32)))) == {204}
    assert (await get(f"{service.url}/symbl/jobs/{jobs[0]}"))[1]["status"] != "completed"

    server.release()
    for _, page in await asyncio.gather(*pages):
        assert "id: completed" in page
    # Scheduled, in progress and completed, each to whatever worker the kernel chose.
    await server.until(lambda: len(server.webhook_calls) == before + 3 * 24)
    assert all(call.acknowledged for call in server.webhook_calls[before:])
    # And the worker that submitted it has followed each to its end.
    await workers(service, lambda known: len(known) == WORKERS and not any(known.values()))

    server.inject("no_webhook", times=24)
    await uploaded(service, 24)
    await workers(service, lambda known: len(known) == WORKERS and not any(known.values()))
    assert len(server.webhook_calls) == before + 3 * 24, "the polls alone have done it"


async def test_the_jobs_of_a_worker_that_was_killed_are_followed_by_its_successor(
    service: WebProcess, server: LocalSymbl
):
    server.hold_jobs()
    jobs = await uploaded(service, 12)
    known = await workers(service, lambda known: sum(known.values()) == 12)
    busiest = max(known, key=lambda pid: known[pid])
    os.kill(busiest, signal.SIGKILL)

    # uvicorn starts another in its place; and no two workers follow the same job.
    known = await workers(service, lambda known: len(known.keys() - {busiest}) == WORKERS)
    known.pop(busiest, None)
    assert sum(known.values()) == 12
    server.release()
    for job in jobs:
        assert "id: completed" in (await get(f"{service.url}/symbl/jobs/{job}/events"))[1]


async def test_each_worker_keeps_the_job_limit_by_itself(server: LocalSymbl, tmp_path: Path):
    server.hold_jobs()
    uploads: list[asyncio.Task[tuple[int, object, object]]] = []
    known: dict[int, int] = {}
    async with WebProcess.running(server, tmp_path, workers=2, jobs=1) as service:
        while sum(known.values()) < 2:
            # One by one: one worker would accept all simultaneous connections.
            uploads.append(asyncio.create_task(post(f"{service.url}/recordings", RECORDING)))
            known = await workers(service, lambda known: len(known) == 2)
        assert set(known.values()) == {1}
        server.release()
        assert {status for status, _, _ in await asyncio.gather(*uploads)} == {200}
