"""A service with a client inside, under both frameworks: its start, its stop and its routes."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from symbl_aio import (
    ClientClosedError,
    ConfigurationError,
    JobEnded,
    JobStatus,
    NotFoundError,
    Polls,
    SubmissionStarted,
    Text,
    Timeouts,
    WebhookReceiver,
)
from symbl_aio._protocol.webhook_calls import mark
from symbl_aio.contrib.journal import JobJournal
from symbl_aio.contrib.service import Embedded
from symbl_aio.testing import LocalSymbl
from tests.contrib.site import SECRET, Site, get, post, settings, site_of
from tests.contrib.test_sse import parse
from tests.support import mp4_bytes

KINDS = ["h11", "aiohttp"]
RECORDING = mp4_bytes(200_000)


@pytest.fixture(params=KINDS)
async def site(request: pytest.FixtureRequest, server: LocalSymbl) -> AsyncIterator[Site]:
    async with site_of(request.param, server) as running:
        yield running


# Starting and stopping


async def test_the_client_lives_as_long_as_the_service(server: LocalSymbl):
    symbl = Embedded(**settings(server))
    with pytest.raises(ClientClosedError, match="not started"):
        _ = symbl.client
    for _ in range(2):  # a test client starts an application more than once
        async with symbl:
            client = symbl.client
            with pytest.raises(ConfigurationError, match="already"):
                await symbl.__aenter__()
            await client.process(Text("Hello."))
        with pytest.raises(ClientClosedError):
            client.submit(Text("Too late."))
        with pytest.raises(ClientClosedError):
            _ = symbl.client


async def test_wrong_settings_are_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch, server: LocalSymbl, tmp_path: Path
):
    monkeypatch.delenv("SYMBL_APP_ID", raising=False)
    monkeypatch.delenv("SYMBL_ACCESS_TOKEN", raising=False)
    with pytest.raises(ConfigurationError, match="no credentials"):
        await Embedded().__aenter__()

    (tmp_path / "file").touch()
    before = asyncio.all_tasks()
    with pytest.raises(ConfigurationError, match="journal"):
        await Embedded(**settings(server), journal=JobJournal(tmp_path / "file")).__aenter__()
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("kind", KINDS)
async def test_a_service_that_starts_again_follows_the_jobs_it_had(
    server: LocalSymbl, tmp_path: Path, kind: str
):
    server.hold_jobs()
    async with site_of(kind, server, embedded={"journal": JobJournal(tmp_path)}) as site:
        _, told, _ = await post(f"{site.url}/recordings", RECORDING)

    async with site_of(kind, server, embedded={"journal": JobJournal(tmp_path)}) as site:
        assert site.client.stats().jobs == 1
        server.release()
        await site.heard.until(lambda: site.heard.of(JobEnded))
        (ended,) = site.heard.of(JobEnded)
        assert (ended.job_id, ended.conversation_id) == (told["job"], told["conversation"])
        assert ended.error is None


@pytest.mark.parametrize("drain", ["jobs", "uploads"])
async def test_stopping_waits_for_what_it_was_told_to_wait_for(server: LocalSymbl, drain: str):
    server.hold_jobs()
    symbl = Embedded(**settings(server), drain=drain, timeout=10)  # type: ignore[arg-type]
    async with symbl:
        job = await symbl.client.submit(Text("Hello."))
        if drain == "jobs":
            server.release()

    assert job.status is (JobStatus.COMPLETED if drain == "jobs" else JobStatus.SCHEDULED)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_service_that_stops_lets_no_half_of_an_upload_in(server: LocalSymbl, kind: str):
    before = asyncio.all_tasks()
    options = {"timeout_graceful_shutdown": 0} if kind == "h11" else {}
    async with site_of(kind, server, embedded={"timeout": 0.01}, serving=options) as site:
        _, writer = await site.connect()
        writer.write(site.head("/recordings", "Content-Length: 9000000") + RECORDING * 10)
        await server.until(lambda: server.submissions and server.submissions[0].size)
    writer.close()

    assert not any(received.accepted for received in server.submissions)
    while left := asyncio.all_tasks() - before:
        await asyncio.wait(left)


@asynccontextmanager
async def begun(
    kind: str, server: LocalSymbl
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Run a service that has the beginning of an upload, and stop it after the block."""
    async with site_of(kind, server) as site:
        reader, writer = await site.connect()
        writer.write(site.head("/recordings", f"Content-Length: {len(RECORDING)}"))
        writer.write(RECORDING[:9000])
        await site.heard.until(lambda: site.heard.of(SubmissionStarted))
        yield reader, writer


async def test_uvicorn_lets_an_upload_end_before_it_stops(server: LocalSymbl):
    async with begun("h11", server) as (reader, writer):
        asyncio.get_running_loop().call_soon(writer.write, RECORDING[9000:])
    assert b" 200 " in await reader.read()
    writer.close()
    assert server.submissions[0].accepted


async def test_aiohttp_takes_no_more_of_an_upload_and_says_so_at_once(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
):
    async with begun("aiohttp", server) as (reader, writer):
        pass
    answer = await reader.read()
    writer.close()
    assert b" 503 " in answer
    assert b"Retry-After" in answer
    assert not any(received.accepted for received in server.submissions)
    # Also when aiohttp itself looks for the rest of the body.
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("kind", KINDS)
async def test_an_upload_that_has_arrived_is_waited_for(server: LocalSymbl, kind: str):
    """All of it is here, and the API has not answered yet."""
    server.inject("slow:0.1")
    async with site_of(kind, server) as site:
        answer = asyncio.create_task(post(f"{site.url}/recordings", RECORDING))
        await server.until(lambda: server.submissions and server.submissions[0].complete)
    status, told, _ = await answer

    assert status == 200
    assert told["job"] in server.jobs


@pytest.mark.parametrize("kind", KINDS)
async def test_an_open_stream_of_events_does_not_keep_the_service_from_stopping(
    server: LocalSymbl, kind: str
):
    """With the shutdown of aiohttp.web; uvicorn's signals are in tests/contrib/test_fastapi.py."""
    server.hold_jobs()
    async with aiohttp.ClientSession() as visitor:
        async with site_of(kind, server, embedded={"heartbeat": 3600}) as site:
            _, told, _ = await post(f"{site.url}/recordings", RECORDING)
            page = await visitor.get(f"{site.url}/symbl/jobs/{told['job']}/events")
            assert b"scheduled" in await page.content.readuntil(b"\n\n")
            if kind == "h11":
                site.symbl.stop_streams()
        last = (await page.read()).decode().split("\n\n")[-2]
    assert parse(last + "\n\n")["data"]["status"] == 503


# Jobs


async def test_a_job_and_its_events_are_told_to_whoever_knows_its_id(
    site: Site, server: LocalSymbl
):
    server.hold_jobs()
    _, made, _ = await post(f"{site.url}/recordings", RECORDING)
    url = f"{site.url}/symbl/jobs/{made['job']}"
    status, told = await get(url)
    assert (status, told["id"], told["conversation_id"]) == (200, made["job"], made["conversation"])
    assert told["status"] in ("scheduled", "in_progress")
    assert told["error"] is None

    async with aiohttp.ClientSession() as visitor, visitor.get(f"{url}/events") as page:
        assert page.content_type == "text/event-stream"
        assert page.headers["Cache-Control"] == "no-store"
        assert b"scheduled" in await page.content.readuntil(b"\n\n")
        server.release()
        last = (await page.read()).decode().split("\n\n")[-2]
    assert parse(last + "\n\n")["id"] == "completed"
    _, told = await get(url)
    assert (told["status"], told["conversation_id"]) == ("completed", made["conversation"])

    _, again = await get(f"{url}/events")
    assert parse(again.split("\n\n")[-2] + "\n\n")["data"]["status"] == "completed"
    assert await get(f"{url}/events", {"Last-Event-ID": "completed"}) == (204, "")


async def test_a_failed_job_is_told_with_its_problem(site: Site, server: LocalSymbl):
    server.inject("job_fails")
    _, made, _ = await post(f"{site.url}/recordings", RECORDING)
    await site.heard.until(lambda: site.heard.of(JobEnded))
    status, told = await get(f"{site.url}/symbl/jobs/{made['job']}")

    assert (status, told["status"]) == (200, "failed")
    assert told["error"]["error"] == "JobFailedError"


async def test_an_id_that_somebody_made_up_is_a_404_and_takes_no_slot(
    site: Site, server: LocalSymbl
):
    for name in ("nobody", "..%2e", '%7B"v":1%7D', "%00"):
        for path in ("", "/events"):
            status, _ = await get(f"{site.url}/symbl/jobs/{name}{path}")
            assert status in (404, 400)
    assert site.client.stats().jobs == 0


async def test_nobody_can_say_which_conversation_a_job_adds_to(server: LocalSymbl):
    async with Embedded(**settings(server)) as symbl:
        job = await symbl.client.submit(Text("Hello."))
        with pytest.raises(NotFoundError):
            await symbl.find(" " + job.token)


async def test_a_page_that_is_closed_leaves_nothing_behind(server: LocalSymbl):
    server.hold_jobs(before="in_progress")
    for kind in ("h11", "httptools", "aiohttp"):
        async with site_of(kind, server, embedded={"heartbeat": 0.01}) as site:
            job = await site.client.submit(Text("Hello."))
            before = asyncio.all_tasks()
            reader, writer = await site.connect()
            writer.write(site.head(f"/symbl/jobs/{job.id}/events", method="GET"))
            await reader.readuntil(b":\n\n")
            streams = {t for t in asyncio.all_tasks() - before if "of a stream" in t.get_name()}
            assert len(streams) == 2
            writer.transport.abort()
            await asyncio.wait(streams)
            assert not job.done()


def test_conversations_of_ended_jobs_are_remembered_up_to_a_number():
    symbl = Embedded()
    for number in range(10_500):
        symbl._on_event(JobEnded(f"job {number}", "conversation", None))

    assert len(symbl._conversations) == 10_000
    assert "job 10499" in symbl._conversations


# Webhooks


async def called(url: str, body: bytes) -> int:
    async with (
        aiohttp.ClientSession() as api,
        api.post(url, data=io.BytesIO(body)) as answered,
    ):
        return answered.status


SLOW = Polls(floor=3600, ceiling=3600)


@pytest.mark.parametrize("kind", KINDS)
async def test_webhook_calls_are_answered_as_they_deserve(server: LocalSymbl, kind: str):
    server.inject("no_webhook")
    async with site_of(kind, server, webhooks=True, polls=SLOW) as site:
        _, made, _ = await post(f"{site.url}/recordings", RECORDING)
        hook = server.submissions[-1].query["webhookUrl"]
        await server.until(lambda: not server.unfinished)
        body = json.dumps({"jobId": made["job"], "status": "completed"}).encode()
        other = "0" if hook[-1] != "0" else "1"

        assert await called(hook[:-1] + other, body) == 404
        assert await called(f"{site.url}/symbl/webhooks/a/b", body) == 404
        assert await called(hook, b"nonsense") == 400
        assert await called(hook, bytes(WebhookReceiver.MAX_BYTES + 1)) == 413
        assert await called(hook, bytes(10 * 2**20)) == 413
        assert await called(hook, body.replace(b"completed", b"in_progress")) == 204
        assert site.heard.of(JobEnded) == []
        assert await called(hook, body) == 204
        await site.heard.until(lambda: site.heard.of(JobEnded))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_webhook_whose_body_does_not_come_is_ended(server: LocalSymbl, kind: str):
    async with site_of(kind, server, webhooks=True, timeouts=Timeouts(stall=0.05)) as site:
        shown = mark(SECRET, "nonce")
        for path, status in (("nonce/nothing", b" 404 "), (f"nonce/{shown}", b" 408 ")):
            reader, writer = await site.connect()
            writer.write(site.head(f"/symbl/webhooks/{path}", "Content-Length: 100") + b"{")
            assert status in await reader.readline()
            writer.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_webhooks_come_from_the_networks_that_were_named(server: LocalSymbl, kind: str):
    named = ("192.0.2.0/24",)
    async with site_of(kind, server, webhooks=True, webhook_networks=named) as site:
        assert await called(f"{site.url}/symbl/webhooks/a/b", b"{}") == 403


async def test_without_a_secret_no_webhook_is_expected(site: Site):
    assert await called(f"{site.url}/symbl/webhooks/a/b", b"{}") == 404


@pytest.mark.parametrize("kind", KINDS)
async def test_jobs_resolve_by_webhooks_alone(server: LocalSymbl, kind: str):
    async with site_of(kind, server, webhooks=True, polls=SLOW) as site:
        for _ in range(5):
            job = await site.client.submit(Text("Hello."))
            await job
            assert [event.source for event in [e async for e in job.events()]][-1] == "webhook"
