"""Webhook calls over real sockets: what a client does with them, whoever makes them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web
from attrs import define, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from symbl_aio import (
    ConfigurationError,
    Job,
    JobFailedError,
    JobStatus,
    Limits,
    Polls,
    SymblClient,
    Text,
    TextOptions,
    Video,
)
from symbl_aio._protocol.webhook_calls import WebhookCall, mark
from symbl_aio.config import Config
from symbl_aio.testing import LocalSymbl
from symbl_aio.webhooks import WebhookReceiver, verify
from tests.support import QUICK, mp4_bytes
from tests.tables import table

SECRET = "shared by all workers"
NEVER = Polls(floor=3600, ceiling=3600)
"""Polls that nothing but a webhook brings within the time of a test."""


@define(eq=False)
class Hook:
    """A service that takes webhook calls for whichever client it has."""

    url: str = ""
    client: SymblClient | None = None
    answered: list[int] = field(factory=list)
    session: aiohttp.ClientSession = field(init=False)

    @asynccontextmanager
    async def with_client(
        self, server: LocalSymbl, secret: str = SECRET, **config: Any
    ) -> AsyncIterator[SymblClient]:
        hooked = {"webhook_base_url": self.url, "webhook_secret": secret, "polls": NEVER}
        async with server.client(**{**QUICK, **hooked, **config}) as symbl:
            self.client = symbl
            yield symbl
            await symbl.aclose(drain="none")

    async def take(self, request: web.Request) -> web.Response:
        assert self.client is not None
        webhooks = self.client.webhooks
        if not webhooks.allows(request.remote):
            return web.Response(status=403)
        body = bytearray()
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > webhooks.MAX_BYTES:
                break
        path = request.match_info
        return web.Response(status=webhooks.receive(path["nonce"], path["mark"], bytes(body)))

    @web.middleware
    async def note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPException as error:
            self.answered.append(error.status)
            raise
        except Exception:
            self.answered.append(500)
            raise
        self.answered.append(response.status)
        return response

    async def call(
        self,
        url: str,
        body: bytes | AsyncIterator[bytes] = b"",
        content_type: str = "application/json",
    ) -> int:
        headers = {"Content-Type": content_type}
        target = URL(url, encoded=True)
        async with self.session.post(target, data=body, headers=headers) as response:
            return response.status

    async def tell(self, url: str, job_id: str, status: str) -> int:
        return await self.call(url, said(job_id, status))


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with open_hook() as hook:
        yield hook


@asynccontextmanager
async def open_hook() -> AsyncIterator[Hook]:
    hook = Hook()
    app = web.Application(middlewares=[hook.note])
    app.router.add_post("/hooks/{nonce}/{mark}", hook.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks"
    try:
        async with aiohttp.ClientSession() as hook.session:
            yield hook
    finally:
        await runner.cleanup()


def said(job_id: str, status: str) -> bytes:
    return json.dumps({"jobId": job_id, "status": status}).encode()


def url_of(server: LocalSymbl, which: int = -1) -> str:
    received = server.submissions[which]
    return str(received.parameters.get("webhookUrl") or received.query["webhookUrl"])


def polls_seen(server: LocalSymbl) -> int:
    return sum(seen.path.startswith("/v1/job/") for seen in server.requests)


async def followed(symbl: SymblClient, count: int) -> list[Job]:
    return [await symbl.submit(Text(f"Hello, {number}.")) for number in range(count)]


# The ordinary way


async def test_a_webhook_brings_the_one_poll_that_resolves_a_job(
    server: LocalSymbl, hook: Hook
) -> None:
    async with hook.with_client(server) as symbl:
        for media in (Text("Hello."), Video(mp4_bytes())):
            await symbl.process(media)
        assert symbl.stats().polls == 2
    await server.until(lambda: len(server.webhook_calls) == 6)
    assert all(call.acknowledged for call in server.webhook_calls)
    assert set(hook.answered) == {204}


async def test_a_job_that_fails_is_told_by_its_webhook(server: LocalSymbl, hook: Hook) -> None:
    async with hook.with_client(server) as symbl:
        server.inject("job_fails")
        with pytest.raises(JobFailedError):
            await symbl.process(Text("Hello."))
        assert symbl.stats().polls == 1


@pytest.mark.parametrize("key", ["jobId", "id"])
@pytest.mark.parametrize("form", [False, True], ids=["JSON", "form"])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data"])
async def test_both_keys_and_both_shapes_are_read_whatever_the_header_says(
    server: LocalSymbl, hook: Hook, key: str, form: bool, content_type: str
) -> None:
    async with hook.with_client(server) as symbl:
        server.inject("no_webhook")
        job = await symbl.submit(Text("Hello."))
        await server.until(lambda: server.unfinished == 0)
        values = {key: job.id, "status": "COMPLETED"}
        body = (urlencode(values) if form else json.dumps(values)).encode()

        assert await hook.call(url_of(server), body, content_type) == 204
        await job


async def test_a_webhook_url_of_the_callers_own_wins(server: LocalSymbl, hook: Hook) -> None:
    async with hook.with_client(server) as symbl:
        for own in ("http://127.0.0.1:9/mine", ""):
            await symbl.submit(Text("Hello."), TextOptions(webhook_url=own))
            assert server.submissions[-1].parameters.get("webhookUrl", "") == own
        await server.until(lambda: server.unfinished == 0)
    assert hook.answered == []


async def test_every_submission_has_a_url_of_its_own(server: LocalSymbl, hook: Hook) -> None:
    async with hook.with_client(server) as symbl:
        await followed(symbl, 5)
    urls = {url_of(server, number) for number in range(5)}
    assert len(urls) == 5
    for url in urls:
        base, nonce, shown = url.rsplit("/", 2)
        assert (base, shown) == (hook.url, mark(SECRET, nonce))


# Twice, late, early, in another order, not at all


async def test_a_webhook_that_comes_twice_costs_nothing_more(
    server: LocalSymbl, hook: Hook
) -> None:
    async with hook.with_client(server) as symbl:
        server.inject("duplicate_webhook", times=20)
        for _ in range(20):
            await symbl.process(Text("Hello."))
        await server.until(lambda: len(server.webhook_calls) == 120)
        assert symbl.stats().polls == 20
    assert set(hook.answered) == {204}


async def test_a_webhook_that_comes_when_all_is_over_changes_nothing_and_is_not_kept(
    server: LocalSymbl, hook: Hook
) -> None:
    async with hook.with_client(server, polls=QUICK["polls"]) as symbl:
        server.inject("late_webhook")
        job = await symbl.submit(Text("Hello."))
        await job
        asked = symbl.stats().polls
        server.release_webhooks()
        await server.until(lambda: len(server.webhook_calls) == 3)
        await job
        assert job.status is JobStatus.COMPLETED
        assert symbl.stats().polls == asked
        assert len(symbl._engine._ambiguous.parked) == 0
    assert hook.answered == [204] * 3


async def test_a_webhook_that_overtakes_the_answer_to_its_submission_is_kept_for_it(
    server: LocalSymbl, hook: Hook
) -> None:
    async with hook.with_client(server) as symbl:
        server.inject("early_webhook", times=10)
        await asyncio.gather(*(symbl.process(Text(f"Hello, {n}.")) for n in range(10)))
        assert symbl.stats().polls == 10
    assert hook.answered == [204] * 30


async def test_calls_in_another_order_lead_to_the_same_end(server: LocalSymbl, hook: Hook) -> None:
    async with hook.with_client(server) as symbl:
        server.inject("no_webhook")
        job = await symbl.submit(Text("Hello."))
        await server.until(lambda: server.unfinished == 0)
        for status in ("completed", "in_progress", "scheduled", "failed"):
            assert await hook.tell(url_of(server), job.id, status) == 204
        await job
        assert job.status is JobStatus.COMPLETED


async def test_a_call_that_comes_before_the_end_that_it_tells_is_not_the_end(
    server: LocalSymbl, hook: Hook
) -> None:
    async with hook.with_client(server) as symbl:
        server.hold_jobs()
        server.inject("no_webhook")
        job = await symbl.submit(Text("Hello."))
        assert await hook.tell(url_of(server), job.id, "completed") == 204
        await server.until(lambda: polls_seen(server) == 1)
        assert not job.done()
        server.release()
        await server.until(lambda: server.unfinished == 0)
        assert await hook.tell(url_of(server), job.id, "completed") == 204
        await job


async def test_with_every_webhook_lost_all_jobs_resolve_by_polling(
    server: LocalSymbl, hook: Hook
) -> None:
    async with hook.with_client(server, polls=QUICK["polls"], limits=Limits(jobs=50)) as symbl:
        await asyncio.gather(*(symbl.process(Text(f"WebhookCall, {n}.")) for n in range(10)))
        server.inject("no_webhook", times=200)
        done = await asyncio.gather(*(symbl.process(Text(f"Lost, {n}.")) for n in range(200)))
    assert len({conversation.id for conversation in done}) == 200
    assert len(hook.answered) == 30


async def test_a_service_that_cannot_be_called_costs_no_job(server: LocalSymbl) -> None:
    nowhere: dict[str, Any] = {
        "webhook_base_url": "http://127.0.0.1:9/hooks",
        "webhook_secret": SECRET,
    }
    async with server.client(**QUICK, **nowhere) as symbl:
        await asyncio.gather(*(symbl.process(Text(f"Hello, {n}.")) for n in range(20)))


# After a restart, and on other workers


async def test_after_a_restart_an_old_url_brings_the_poll_of_a_job_attached_again(
    server: LocalSymbl, hook: Hook
) -> None:
    server.hold_jobs()
    async with hook.with_client(server) as symbl:
        token = (await symbl.submit(Text("Hello."))).token
    async with hook.with_client(server) as symbl:
        job = symbl.job(token)
        waiter = asyncio.create_task(job.wait())
        server.release()
        assert (await waiter).id == job.conversation_id
        assert symbl.stats().polls == 1
    await server.until(lambda: len(server.webhook_calls) == 3)
    assert set(hook.answered) == {204}


async def test_a_worker_with_another_secret_answers_404(server: LocalSymbl, hook: Hook) -> None:
    server.hold_jobs()
    async with hook.with_client(server) as symbl:
        token = (await symbl.submit(Text("Hello."))).token
        await server.until(lambda: len(server.webhook_calls) == 2)
    async with hook.with_client(server, secret="another") as symbl:
        waiter = asyncio.create_task(symbl.job(token).wait())
        server.release()
        await server.until(lambda: len(server.webhook_calls) == 3)
        assert symbl.stats().polls == 0
        waiter.cancel()
    assert hook.answered == [204, 204, 404]


async def test_a_call_that_reaches_another_worker_costs_that_worker_nothing(
    server: LocalSymbl, hook: Hook
) -> None:
    async with (
        hook.with_client(server, polls=QUICK["polls"]) as ours,
        hook.with_client(server, webhook_base_url=None) as other,
    ):
        await ours.process(Text("Hello."))
        await server.until(lambda: len(server.webhook_calls) == 3)
        assert other.stats().polls == 0
    assert hook.answered == [204] * 3


async def test_a_call_from_another_thread_is_taken_on_the_clients_own(
    server: LocalSymbl, hook: Hook
) -> None:
    async with hook.with_client(server) as symbl:
        server.inject("no_webhook")
        job = await symbl.submit(Text("Hello."))
        await server.until(lambda: server.unfinished == 0)
        _, nonce, shown = url_of(server).rsplit("/", 2)
        body = said(job.id, "completed")
        assert await asyncio.to_thread(symbl.webhooks.receive, nonce, shown, body) == 204
        await job


async def test_before_the_start_and_after_the_end_a_call_is_answered_and_does_nothing(
    server: LocalSymbl,
) -> None:
    symbl = server.client(webhook_secret=SECRET)
    body = said("j1", "completed")
    assert symbl.webhooks.receive("n", mark(SECRET, "n"), body) == 204
    async with symbl:
        webhooks = symbl.webhooks
    assert webhooks.receive("n", mark(SECRET, "n"), body) == 204
    assert await asyncio.to_thread(webhooks.receive, "n", mark(SECRET, "n"), body) == 204


# Whoever calls

FORGED, UNREADABLE, TOO_LARGE, TAKEN = 404, 400, 413, 204


@frozen
class Variant:
    """A call that somebody makes who knows one genuine URL, or none, and what comes of it."""

    path: str
    body: bytes
    expected: int
    content_type: str = "application/json"


def flipped(text: str, at: int) -> str:
    return text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]


def forged(nonce: str, shown: str, other: str, body: bytes) -> Iterator[Variant]:
    """Everything but the URL itself: no mark that is wrong in one place is taken."""
    paths = [
        *(f"{nonce}/{flipped(shown, at)}" for at in range(len(shown))),
        *(f"{nonce}/{shown[:size]}" for size in range(1, len(shown))),
        *(f"{flipped(nonce, at)}/{shown}" for at in range(len(nonce))),
        *(f"{nonce}/{shown}{more}" for more in ("0", "%00", "%20", "%0A", ".", "%2F", "/", "/x")),
        *(f"{nonce}{more}/{shown}" for more in ("0", "%00", "%20", "%0A", ".", "%2F", "%C3%BC")),
        *(f"{more}{nonce}/{shown}" for more in ("0", "%00", "%20", "..%2F", "%FF", "%ED%A0%80")),
        f"{nonce}/{shown.upper()}",
        f"{nonce}/{mark('', nonce)}",
        f"{nonce}/{mark('another secret', nonce)}",
        f"{nonce}/{mark(SECRET, nonce + ' ')}",
        f"{nonce}/{mark(SECRET, '')}",
        f"{other}/{shown}",
        f"{shown}/{nonce}",
        f"{nonce}/{nonce}",
        f"{nonce}/{'0' * 5000}",
        f"{'n' * 5000}/{shown}",
        f"{nonce}/%FF%FE",
        f"{nonce}/%F0%9F%98%80",
        f"{nonce}/null",
        f"{nonce}/-",
        nonce,
        "",
        "/",
    ]
    for path in paths:
        yield Variant(path, body, FORGED)


def unreadable(path: str, job_id: str) -> Iterator[Variant]:
    """Bodies that name no job, or no status."""
    whole = said(job_id, "completed")
    values = [None, True, False, 0.5, -1.5, [], {}, [job_id], {"id": job_id}, "", " ", "..", "a/b"]
    bodies = [
        *(whole[:size] for size in range(len(whole))),
        *(whole[at:] for at in range(1, 12)),
        *(json.dumps({"jobId": value, "status": "completed"}).encode() for value in values),
        *(
            json.dumps({"jobId": job_id, "status": value}).encode()
            for value in values
            if not isinstance(value, str)
        ),
        *(json.dumps(value).encode() for value in [*values, [whole.decode()], job_id, 7]),
        *(bytes([number]) * 9 for number in range(0, 256, 5)),
        *(whole.decode().encode(name)[1:] for name in ("utf-16", "utf-32")),
        b"[" * 50_000,
        b'{"jobId":' * 7_000,
        b"9" * 60_000,
        b"&" * 60_000,
        b"%" * 60_000,
        b"jobId=&status=",
        b"jobId=" + job_id.encode(),
        b"a=1&" * 150 + urlencode({"jobId": job_id, "status": "completed"}).encode(),
        b'{"jobId": "\\ud800", "status": "completed"}',
        b'{"jobId": "a\\u0000b", "status": "completed"}',
        b'{"jobId": 1e999, "status": "completed"}',
        b'{"JOBID": "x", "STATUS": "completed"}',
        b"<status>completed</status>",
        b"--x\r\nContent-Disposition: form-data; name=jobId\r\n\r\n1\r\n--x--\r\n",
    ]
    for body in bodies:
        yield Variant(path, body, UNREADABLE)


def too_large(path: str, job_id: str) -> Iterator[Variant]:
    whole = said(job_id, "completed")
    most = WebhookReceiver.MAX_BYTES
    for size in (most + 1, most + 2, 2 * most, 5 * most, 10 * most):
        yield Variant(path, whole + b" " * (size - len(whole)), TOO_LARGE)
        yield Variant(path, b"\0" * size, TOO_LARGE)
        yield Variant(path, b"jobId=x&status=completed&" + b"a" * size, TOO_LARGE)


def lies(path: str, held: list[str], ended: list[str]) -> Iterator[Variant]:
    """Calls that can be read, of jobs that did not end, that ended long ago, or never were."""
    statuses = [
        *("completed", "failed", "COMPLETED", "Failed", "in_progress", "scheduled"),
        *("", "done", "unknown", " completed", "completed\n", "null", "ü", "x" * 5000),
    ]
    others = ["no-such-job", "1", "%2e%2e", "a" * 5000, "jöb", "'; --", "{{7*7}}", "-"]
    for job_id in (*held, *ended, *others):
        for status in statuses:
            yield Variant(path, said(job_id, status), TAKEN)
        form = urlencode({"id": job_id, "status": "completed"}).encode()
        yield Variant(path, form, TAKEN, "application/x-www-form-urlencoded")
        yield Variant(path, form, TAKEN, "text/html; charset=no-such-charset")
    padding = WebhookReceiver.MAX_BYTES - len(said(held[0], "completed"))
    yield Variant(path, said(held[0], "completed") + b" " * padding, TAKEN)


def bound(jobs: int, seconds: float, polls: Polls) -> float:
    """Polls that calls may bring at most: one a second and job, and a budget for all of them."""
    return min(jobs * (1 + int(seconds)), polls.hinted_per_second * (seconds + 0.1))


async def test_whoever_calls_and_whatever_is_said_no_job_is_resolved_but_by_the_server(
    server: LocalSymbl, hook: Hook
) -> None:
    async with hook.with_client(server) as symbl:
        ended = [await symbl.submit(Text(f"Ended, {number}.")) for number in range(2)]
        for job in ended:
            await job
        await server.until(lambda: len(server.webhook_calls) == 6)
        server.hold_jobs()
        server.inject("no_webhook", times=3)
        held = await followed(symbl, 3)
        url, other = url_of(server), url_of(server, -2)
        nonce, shown = url.rsplit("/", 2)[1:]
        path = f"{nonce}/{shown}"
        told = said(held[0].id, "completed")
        variants = [
            *forged(nonce, shown, other.rsplit("/", 2)[1], told),
            *unreadable(path, held[0].id),
            *too_large(path, held[0].id),
            *lies(path, [job.id for job in held], [job.id for job in ended]),
        ]
        assert len(set(variants)) >= 500

        asked, began = symbl.stats().polls, time.monotonic()
        hook.answered.clear()
        for variant in variants:
            status = await hook.call(
                f"{hook.url}/{variant.path}", variant.body, variant.content_type
            )
            assert status == variant.expected, variant
        assert not {500} & set(hook.answered)
        polls = symbl.stats().polls - asked
        assert 3 <= polls <= bound(3, time.monotonic() - began, NEVER)
        assert not any(job.done() for job in held)
        assert {job.status for job in held} <= {JobStatus.SCHEDULED, JobStatus.IN_PROGRESS}
        assert all(job.status is JobStatus.COMPLETED for job in ended)

        server.release()
        await server.until(lambda: server.unfinished == 0)
        for job in held:
            assert await hook.tell(url, job.id, "failed") == 204
        for job in held:
            await job
            assert job.status is JobStatus.COMPLETED


async def test_bytes_that_are_hardly_http_disturb_nothing(server: LocalSymbl, hook: Hook) -> None:
    async with hook.with_client(server) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Hello."))
        path = url_of(server).removeprefix(hook.url.removesuffix("/hooks")).encode()
        port = URL(hook.url).port
        body = said(job.id, "completed")
        for raw in (
            b"POST /hooks/\xff\xfe/\xfd HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            b"POST /hooks/%FF%ED%A0%80/%80 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            b"POST " + path + b"\xff HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n" + body,
            b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n" + body,
            b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n"
            b"Content-Length: 3\r\n\r\n\x1f\x8b\x08",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(raw)
            writer.write_eof()
            await reader.read()
            writer.close()
            await writer.wait_closed()
        assert not job.done()
        assert symbl.stats().polls == 0
        server.release()
        await job


async def test_a_body_without_end_is_cut_short(server: LocalSymbl, hook: Hook) -> None:
    async with hook.with_client(server) as symbl:
        await symbl.submit(Text("Hello."))
        given_up = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield b'{"jobId": "'
            while not given_up.is_set():
                yield b"a" * 2**14

        status = await hook.call(url_of(server), endless())
        given_up.set()
        assert status == 413


@pytest.mark.heavy
async def test_a_leaked_url_costs_at_most_a_poll_a_second_for_each_job_known_here(
    server: LocalSymbl, hook: Hook
) -> None:
    async with hook.with_client(server, limits=Limits(jobs=20)) as symbl:
        server.hold_jobs()
        server.inject("no_webhook", times=20)
        jobs = await followed(symbl, 20)
        leaked = url_of(server)
        nonce, mark = leaked.rsplit("/", 2)[1:]
        began = time.monotonic()
        calls = 0
        while polls_seen(server) < 45:  # the third of some job
            for job in jobs:
                assert await hook.tell(leaked, job.id, "completed") == 204
                # As many more as a caller sends between two polls, however slow the machine is.
                for _ in range(200):
                    assert symbl.webhooks.receive(nonce, mark, said(job.id, "completed")) == 204
                calls += 201
            assert symbl.stats().polls <= bound(20, time.monotonic() - began, NEVER)
        # A job's polls are a second apart; what slows the machine can only add to it.
        assert time.monotonic() - began >= 1.9
        assert calls > 10 * polls_seen(server)
        assert not any(job.done() for job in jobs)
        server.release()


@pytest.mark.heavy
async def test_hints_for_many_jobs_stay_within_the_budget_for_all_of_them(
    server: LocalSymbl, hook: Hook
) -> None:
    polls = Polls(floor=3600, ceiling=3600, hinted_per_second=20)
    async with hook.with_client(server, polls=polls, limits=Limits(jobs=50)) as symbl:
        server.hold_jobs()
        server.inject("no_webhook", times=50)
        jobs = await followed(symbl, 50)
        leaked = url_of(server)
        began = time.monotonic()
        while polls_seen(server) < 12:
            for job in jobs:
                assert await hook.tell(leaked, job.id, "failed") == 204
        assert symbl.stats().polls <= bound(50, time.monotonic() - began, polls)
        server.release()


# In any order, with any lies among them

CALLS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 3),
        st.sampled_from(["scheduled", "in_progress", "completed", "failed", "paused"]),
        st.sampled_from(["jobId", "id"]),
        st.booleans(),
        st.sampled_from([None, "server ends", "poll"]),
    ),
    max_size=30,
)


@settings(max_examples=25)
@given(calls=CALLS, failing=st.sets(st.integers(0, 3)))
def test_only_the_servers_word_counts_however_calls_are_mixed(
    calls: list[tuple[int, int, str, str, bool, str | None]], failing: set[int]
) -> None:
    """Four jobs, some of which fail; anything is told of any of them, at any of their URLs."""

    async def live() -> None:
        async with LocalSymbl(probe_media=False) as server, open_hook() as hook:
            server.hold_jobs()
            async with hook.with_client(server, polls=QUICK["polls"]) as symbl:
                jobs = []
                for number in range(4):
                    server.inject("no_webhook")
                    if number in failing:
                        server.inject("job_fails")
                    jobs.append(await symbl.submit(Text(f"Hello, {number}.")))
                for about, at, status, key, form, first in calls:
                    if first == "server ends":
                        server.release(1)
                    elif first == "poll":
                        await jobs[about].refresh()
                    values = {key: jobs[about].id, "status": status}
                    body = (urlencode(values) if form else json.dumps(values)).encode()
                    assert await hook.call(url_of(server, at), body) == 204
                    for job in jobs:
                        if job.done():
                            assert server.jobs[job.id].finished
                server.release()
                ends = await asyncio.gather(*jobs, return_exceptions=True)
                failed = {n for n, end in enumerate(ends) if isinstance(end, JobFailedError)}
                assert failed == failing
                assert [type(end) for end in ends].count(JobFailedError) == len(failing)

    asyncio.run(live())


anything = st.one_of(st.none(), st.integers(), st.text(), st.binary(), st.lists(st.text()))


@given(nonce=anything, shown=anything, body=anything)
def test_nothing_that_it_is_given_raises(nonce: Any, shown: Any, body: Any) -> None:
    heard: list[tuple[str, str, str]] = []
    webhooks = WebhookReceiver(lambda *told: heard.append(told), SECRET)

    assert webhooks.receive(nonce, shown, body) == 404
    assert webhooks.receive("n", mark(SECRET, "n"), body) in (204, 400)
    assert webhooks.receive("n", mark(SECRET, "n"), bytearray(said("j", "completed"))) == 204
    assert ("n", "j", "completed") in heard


@table(
    "shown,body,found",
    [
        (mark("s", "n"), b"id=j1&status=completed", WebhookCall("j1", "completed")),
        (mark("s", "n"), bytearray(b"id=j1&status=failed"), WebhookCall("j1", "failed")),
        (mark("other", "n"), b"id=j1&status=completed", 404),
        (mark("s", "n"), b"x" * (WebhookReceiver.MAX_BYTES + 1), 413),
        (mark("s", "n"), b"id=j1", 400),
        (mark("s", "n"), "a text", 400),
    ],
)
def test_a_call_is_verified_and_decoded_or_refused_with_a_status(
    shown: str, body: bytes, found: WebhookCall | int
):
    assert verify("s", "n", shown, body) == found


# Who may call


@table(
    "networks,peer,allowed",
    [
        ((), "203.0.113.9", True),
        ((), None, True),
        ((), "", True),
        (("192.0.2.0/24",), "192.0.2.255", True),
        (("192.0.2.0/24",), "192.0.3.0", False),
        (("192.0.2.0/24",), "::ffff:192.0.2.1", True),
        (("192.0.2.0/24",), "::ffff:192.0.3.1", False),
        (("::ffff:192.0.2.0/120",), "::ffff:192.0.2.1", True),
        (("::ffff:192.0.2.0/120",), "192.0.2.1", True),
        (("::ffff:192.0.2.0/120",), "192.0.3.1", False),
        (("::/0",), "192.0.2.1", False),
        (("192.0.2.7",), "192.0.2.7", True),
        (("192.0.2.7",), "192.0.2.8", False),
        (("10.0.0.0/8", "2001:db8::/32"), "2001:db8::1", True),
        (("10.0.0.0/8", "2001:db8::/32"), "2001:db9::1", False),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("0.0.0.0/0", "::/0"), None, False),
        (("0.0.0.0/0", "::/0"), "", False),
        (("0.0.0.0/0", "::/0"), "/run/service.sock", False),
        (("0.0.0.0/0", "::/0"), "192.0.2.1:443", False),
        (("0.0.0.0/0", "::/0"), "192.0.2.1, 10.0.0.1", False),
    ],
)
def test_a_caller_is_let_in_from_the_networks_that_are_named(
    networks: tuple[str, ...], peer: str | None, allowed: bool
) -> None:
    symbl = SymblClient(
        lambda: asyncio.sleep(0, "token"),
        config=Config(webhook_secret=SECRET, webhook_networks=networks),
    )
    assert symbl.webhooks.allows(peer) is allowed


async def test_a_caller_from_elsewhere_is_refused_and_the_job_resolves_by_polling(
    server: LocalSymbl, hook: Hook
) -> None:
    elsewhere = {"webhook_networks": ["192.0.2.0/24"], "polls": QUICK["polls"]}
    async with hook.with_client(server, **elsewhere) as symbl:
        await symbl.process(Text("Hello."))
        await server.until(lambda: len(server.webhook_calls) == 3)
    assert hook.answered == [403] * 3


# Settings


def test_webhooks_need_a_secret(server: LocalSymbl) -> None:
    with pytest.raises(ConfigurationError, match=r"Config\.webhook_secret is missing; give"):
        _ = server.client().webhooks


def test_a_worker_may_take_calls_for_what_others_submit(server: LocalSymbl) -> None:
    symbl = server.client(webhook_secret=SECRET)
    assert symbl.webhooks is symbl.webhooks
    assert symbl.webhooks.receive("n", mark(SECRET, "n"), said("j", "completed")) == 204


def test_the_secret_is_shown_nowhere(server: LocalSymbl) -> None:
    symbl = server.client(webhook_secret=SECRET)
    for value in (symbl, symbl.config, symbl.webhooks):
        assert SECRET not in repr(value)
