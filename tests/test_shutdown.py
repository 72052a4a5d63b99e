"""Closing: whatever the moment and the reason, nothing hangs, leaks or is lost."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from symbl_aio import (
    AmbiguousSubmissionError,
    ClientClosedError,
    JobStatus,
    Limits,
    Submission,
    SymblClient,
    Text,
    TextOptions,
    Video,
)
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK, mp4_bytes


def our_tasks() -> list[str]:
    return [t.get_name() for t in asyncio.all_tasks() if t.get_name().startswith("symbl_aio")]


async def outcomes(submissions: list[Submission]) -> list[object]:
    """What each came to; the test's own time limit catches one that never ends."""
    return await asyncio.gather(*submissions, return_exceptions=True)


class Interrupted(Exception):
    """What goes wrong in the caller's block."""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "standup.mp4"
    path.write_bytes(mp4_bytes(8 * 2**20))
    return path


@pytest.mark.parametrize("leaving", ["success", "exception", "cancellation"])
@pytest.mark.heavy
async def test_leaving_in_the_middle_of_100_uploads_leaves_nothing_behind(
    server: LocalSymbl, recording: Path, leaving: str, way: str
) -> None:
    server.hold_jobs()
    submissions: list[Submission] = []

    async def block() -> None:
        async with server.client(limits=Limits(jobs=10), **QUICK) as symbl:
            submissions.extend(symbl.submit(recording) for _ in range(100))
            await server.until(lambda: any(r.size > 0 for r in server.submissions))
            if leaving == "exception":
                raise Interrupted
            if leaving == "cancellation":
                raise asyncio.CancelledError

    with contextlib.suppress(Interrupted, asyncio.CancelledError):
        await block()

    assert our_tasks() == []
    assert all(submission.done() for submission in submissions)
    ended = await outcomes(submissions)
    accepted = [one for one in ended if not isinstance(one, BaseException)]
    assert len(accepted) + sum(isinstance(one, ClientClosedError) for one in ended) == 100
    assert len(accepted) == (10 if leaving == "success" else 0)
    assert len(server.submissions) <= 10
    gc.collect()  # an unclosed session, or an error that nobody retrieved, would warn now


async def test_jobs_still_running_end_their_waiters_and_can_be_attached_again(
    server: LocalSymbl,
) -> None:
    async with server.client(**QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Hello."))
        waiters = [asyncio.create_task(job.wait()) for _ in range(3)]
        await job.refresh()
    for waiter in waiters:
        with pytest.raises(ClientClosedError) as closed:
            await waiter
        assert closed.value.job is job
    (token,) = symbl.unfinished

    server.release()
    async with server.client(**QUICK) as later:
        conversation = await later.job(token)
        assert conversation.id == job.conversation_id
        assert later.unfinished == ()


async def test_draining_jobs_waits_for_them(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Hello."))
        closing = asyncio.create_task(symbl.aclose(drain="jobs"))
        await job.refresh()
        assert not closing.done()
        server.release()
        await closing
        assert job.status is JobStatus.COMPLETED
    assert symbl.unfinished == ()


async def test_draining_ends_after_its_timeout(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Hello."))
        await symbl.aclose(drain="jobs", timeout=0.05)
        assert symbl.unfinished == (job.token,)


async def test_uploads_that_started_are_finished_but_not_for_ever(server: LocalSymbl) -> None:
    feed: asyncio.Queue[bytes] = asyncio.Queue()
    data = mp4_bytes(1000)

    async def slowly() -> AsyncIterator[bytes]:
        while part := await feed.get():
            yield part

    async with server.client(**QUICK) as symbl:
        kept = symbl.submit(Video(slowly(), size=1000))
        feed.put_nowait(data[:500])
        feed.put_nowait(data[500:])
        await server.until(lambda: len(server.submissions) == 1)
        closing = asyncio.create_task(symbl.aclose(timeout=30))
        feed.put_nowait(b"")
        await closing
    assert (await kept).conversation_id is not None

    async with server.client(**QUICK) as symbl:
        cut = symbl.submit(Video(slowly(), size=1000))
        feed.put_nowait(data[:500])
        feed.put_nowait(data[500:])
        await server.until(lambda: len(server.submissions) == 2)
        await symbl.aclose(timeout=0.05)
        with pytest.raises(ClientClosedError):
            await cut
    await server.until(lambda: len(server.requests) >= 2)
    assert not server.submissions[1].complete


async def test_what_was_sent_whole_and_not_answered_is_ambiguous_at_the_end(
    server: LocalSymbl,
) -> None:
    server.inject("slow", on="POST")
    async with server.client(**QUICK) as symbl:
        submission = symbl.submit(Text("Hello."))
        await server.until(lambda: server.submissions and server.submissions[0].complete)
        await symbl.aclose(drain="none")
        with pytest.raises(AmbiguousSubmissionError) as unknown:
            await submission
        assert unknown.value.sent == "maybe"


async def test_what_was_withdrawn_stays_so_though_the_client_closes_at_once(
    server: LocalSymbl, recording: Path
) -> None:
    async with server.client(**QUICK) as symbl:
        submission = symbl.submit(recording)
        await server.until(lambda: server.submissions)
        assert submission.cancel()
        await symbl.aclose(drain="none")
    with pytest.raises(asyncio.CancelledError):
        await submission
    assert server.jobs == {}


async def test_a_closed_client_refuses_everything_and_says_what_to_do(server: LocalSymbl) -> None:
    symbl = server.client()
    with pytest.raises(ClientClosedError, match="async with"):
        symbl.submit(Text("Too early."))
    async with symbl:
        conversation = symbl.conversation("123")
        submission = symbl.submit(Text("Hello."))
        await submission
    with pytest.raises(ClientClosedError, match="closed"):
        symbl.submit(Text("Too late."))
    with pytest.raises(ClientClosedError):
        await conversation.messages()
    with pytest.raises(ClientClosedError):
        await symbl.start()
    await symbl.aclose()


async def test_closing_twice_at_once_closes_once(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        symbl.submit(Text("Hello."))
        await asyncio.gather(symbl.aclose(), symbl.aclose(), symbl.aclose(drain="none"))
        assert our_tasks() == []


async def test_whoever_waits_for_jobs_is_not_left_waiting_by_a_closing_that_does_not(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    symbl = server.client(**QUICK)
    await symbl.start()
    server.hold_jobs()
    job = await symbl.submit(Text("Hello."))
    patient = asyncio.create_task(symbl.aclose(drain="jobs", timeout=3600))
    await job.refresh()
    await symbl.aclose(drain="none")
    await patient
    assert symbl.unfinished == (job.token,)
    assert caplog.records == []


async def test_cancelling_the_closing_still_closes(server: LocalSymbl) -> None:
    symbl = server.client(**QUICK)
    await symbl.start()
    server.hold_jobs()
    job = await symbl.submit(Text("Hello."))
    closing = asyncio.create_task(symbl.aclose(drain="jobs"))
    await job.refresh()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await symbl.aclose()
    assert our_tasks() == []
    with pytest.raises(ClientClosedError):
        await job


async def test_closing_again_waits_for_a_closing_whose_caller_was_cancelled(
    server: LocalSymbl,
) -> None:
    for steps in range(1, 12):
        symbl = server.client(**QUICK)
        await symbl.start()
        await symbl.submit(Text("Hello."))
        closing = asyncio.create_task(symbl.aclose(drain="none"))
        for _ in range(steps):
            await asyncio.sleep(0)
        closing.cancel()
        await symbl.aclose()
        assert our_tasks() == []
        await asyncio.gather(closing, return_exceptions=True)


@pytest.mark.filterwarnings("ignore::symbl_aio.EarlyReadWarning")
@pytest.mark.parametrize("waiting_for", ["refresh", "messages", "reconcile"])
async def test_whoever_waits_for_an_answer_is_told_at_once_that_the_client_closed(
    server: LocalSymbl, waiting_for: str
) -> None:
    async with server.client() as symbl:  # whose retries would take seconds
        job = await symbl.submit(Text("Hello."))
        server.inject("accept_then_drop", on="POST")
        with pytest.raises(AmbiguousSubmissionError) as unknown:
            await symbl.submit(Text("Hello?"), TextOptions(name="Hello"))
        server.inject("slow:30", on="GET", times=1000)
        calls: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "refresh": job.refresh,
            "messages": job.conversation.messages,
            "reconcile": unknown.value.reconcile,
        }
        asking = asyncio.create_task(calls[waiting_for]())
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await symbl.aclose(drain="none")
            with pytest.raises(ClientClosedError):
                await asking
    assert our_tasks() == []


async def test_the_constructor_needs_no_event_loop() -> None:
    symbl = await asyncio.to_thread(_made_in_a_thread)
    await symbl.aclose()


def _made_in_a_thread() -> SymblClient:
    from symbl_aio import Config, Credentials

    return SymblClient(Credentials("app", "secret"), config=Config(base_url="http://127.0.0.1:9"))
