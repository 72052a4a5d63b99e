"""Observers that use the client, in the middle of the change that they are called for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from symbl_aio import (
    AppendBlockedError,
    Audio,
    ClientClosedError,
    Config,
    Credentials,
    Event,
    Job,
    Limits,
    Submission,
    SubmissionAccepted,
    SubmissionEnded,
    SubmissionRefused,
    SubmissionStarted,
    SymblClient,
    Text,
)
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK


class At:
    """Calls ``act`` once, at the first event of a kind that is about ``key``."""

    def __init__(self, kind: type, key: str, act: Callable[[Any], object]) -> None:
        self._kind, self._key, self._act = kind, key, act
        self.result: object = None
        self.reached = asyncio.Event()

    def __call__(self, event: Event) -> None:
        is_it = isinstance(event, self._kind) and getattr(event, "key", None) == self._key
        if is_it and not self.reached.is_set():
            self.reached.set()
            self.result = self._act(event)


APP = Credentials("app", "secret")


async def test_who_cancels_a_refused_submission_has_cancelled_it() -> None:
    second: list[Submission] = []
    at = At(SubmissionRefused, "second", lambda _event: second[0].cancel())
    async with LocalSymbl(job_limit=1) as server, server.client(observers=[at], **QUICK) as symbl:
        server.hold_jobs()
        await symbl.submit(Text("One."))
        second.append(symbl.submit(Text("Two."), key="second"))
        with pytest.raises(asyncio.CancelledError):
            await second[0]
        assert at.result is True
        server.release()
    assert [seen.accepted for seen in server.submissions] == [True, False]


async def test_who_cancels_a_started_submission_has_cancelled_it(server: LocalSymbl) -> None:
    second: list[Submission] = []
    at = At(SubmissionStarted, "second", lambda _event: second[0].cancel())
    async with server.client(observers=[at], **QUICK) as symbl:
        await symbl.submit(Text("One."))  # leaves a token, and an idle connection
        second.append(symbl.submit(Text("Two."), key="second"))
        with pytest.raises(asyncio.CancelledError):
            await second[0]
        assert at.result is True
    assert [seen.accepted for seen in server.submissions] == [True]


async def test_who_attaches_to_an_accepted_job_gets_its_one_handle(server: LocalSymbl) -> None:
    def attach(event: SubmissionAccepted) -> Job:
        return symbl.job(event.token)

    at = At(SubmissionAccepted, "one", attach)
    async with server.client(observers=[at], **QUICK) as symbl:
        job = await symbl.submit(Text("One."), key="one")
        assert at.result is job
        await job


async def test_an_append_to_a_submission_that_has_just_failed_is_blocked(
    server: LocalSymbl,
) -> None:
    first: list[Submission] = []

    def append(_event: object) -> object:
        with pytest.raises(AppendBlockedError):
            symbl.append(first[0], Text("Next."))
        return True

    at = At(SubmissionEnded, "first", append)
    async with server.client(observers=[at], **QUICK) as symbl:
        first.append(symbl.submit(Audio("/nowhere/first.mp3"), key="first"))
        with pytest.raises(Exception, match="cannot be opened"):
            await first[0]
        assert at.result is True
        assert symbl.stats().halted == ()


async def test_a_submission_in_an_observer_leaves_no_timer_behind() -> None:
    again: list[Submission] = []
    at = At(SubmissionEnded, "late", lambda _event: again.append(symbl.submit(Text("Again."))))
    limits = Limits(jobs=1, wait_for_slot=0.05)
    async with LocalSymbl(job_limit=1) as server:
        async with server.client(observers=[at], **QUICK | {"limits": limits}) as symbl:
            server.hold_jobs()
            await symbl.submit(Text("One."))
            symbl.submit(Text("Late."), key="late")
            await asyncio.wait_for(at.reached.wait(), 10)
        loop: Any = asyncio.get_running_loop()
        timers = [timer for timer in loop._scheduled if not timer.cancelled()]
        assert not [timer for timer in timers if "Submissions" in repr(timer)]
        server.release()


class Server:
    """An API of one job, whose answers to submissions wait for ``go_on``."""

    def __init__(self, *answers: web.Response) -> None:
        self.received, self.go_on = asyncio.Event(), asyncio.Event()
        self.tokens = 0
        self._answers = list(answers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/oauth2/token:generate", self._token)
        app.router.add_post("/v1/process/text", self._submit)
        app.router.add_get("/v1/job/{id}", self._job)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _token(self, _request: web.Request) -> web.Response:
        self.tokens += 1
        return web.json_response({"accessToken": f"t{self.tokens}", "expiresIn": 3600})

    async def _submit(self, request: web.Request) -> web.Response:
        await request.read()
        self.received.set()
        await self.go_on.wait()
        if self._answers:
            return self._answers.pop(0)
        return web.json_response({"conversationId": "c", "jobId": "j"}, status=201)

    async def _job(self, _request: web.Request) -> web.Response:
        return web.json_response({"id": "j", "status": "scheduled"})


@pytest.mark.parametrize("status", [401, 425, 503])
async def test_a_cancel_that_came_too_late_changes_nothing(status: int) -> None:
    """The answer to a body that was handed over whole says that it was not accepted."""
    server = Server(web.Response(status=status, headers={"Retry-After": "0"}))
    async with server.running() as url, SymblClient(APP, config=Config(url, **QUICK)) as symbl:
        submission = symbl.submit(Text("One."))
        await server.received.wait()
        assert submission.cancel() is False
        server.go_on.set()
        assert (await submission).id == "j"
        await symbl.aclose(drain="none")


async def test_closing_ends_with_the_last_upload_also_without_an_observer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A server that repeats a job id changes no status, so that there is no event at all."""
    caplog.set_level(logging.WARNING, "symbl_aio")
    server = Server()
    async with server.running() as url:
        symbl = SymblClient(APP, config=Config(url, **QUICK))
        await symbl.start()
        server.go_on.set()
        first = await symbl.submit(Text("One."))
        server.go_on.clear()
        server.received.clear()
        second = symbl.submit(Text("Two."))
        await server.received.wait()
        closing = asyncio.create_task(symbl.aclose(drain="uploads", timeout=3600))
        await asyncio.sleep(0)  # its first step
        server.go_on.set()
        await asyncio.wait_for(closing, 20)
        assert await second is first


async def test_a_job_of_a_closed_client_cannot_be_awaited_again(server: LocalSymbl) -> None:
    symbl = server.client(**QUICK)
    await symbl.start()
    server.hold_jobs()
    await symbl.submit(Text("One."))
    await symbl.aclose(drain="none")
    (token,) = symbl.unfinished
    with pytest.raises(ClientClosedError):
        await asyncio.wait_for(symbl.job(token).wait(), 20)
    server.release()
