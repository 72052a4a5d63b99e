"""A loop whose tasks begin at once (``asyncio.eager_task_factory``, Python 3.12 and later)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from symbl_aio import (
    APIError,
    ClientClosedError,
    JobFailedError,
    Lanes,
    Limits,
    Text,
    Video,
)
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK, mp4_bytes
from tests.test_context import (
    test_each_submission_is_sent_in_the_context_of_its_caller as check_contexts,
)

eager: Callable[..., asyncio.Task[Any]] | None = getattr(asyncio, "eager_task_factory", None)

pytestmark = pytest.mark.skipif(eager is None, reason="eager tasks came with Python 3.12")


@pytest.fixture(autouse=True)
async def _eager() -> None:
    asyncio.get_running_loop().set_task_factory(eager)


async def test_every_main_call_works_where_tasks_begin_at_once(
    server: LocalSymbl, tmp_path: Path
) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(mp4_bytes(300_000))
    async with server.client(**QUICK) as symbl:
        job = await symbl.submit(Text("One."))
        conversation = await job
        assert await job.refresh() == job.status
        more = [symbl.append(job, Text(f"Number {number}.")) for number in range(3)]
        for submission in more:
            await (await submission)
        assert len(await conversation.messages()) == 4
        await conversation.everything()
        assert (await symbl.process(file)).id
        events = [event async for event in (await symbl.submit(Video(mp4_bytes()))).events()]
        assert events[-1].status.is_terminal
        outcomes = [outcome async for outcome in symbl.map(Text(f"{n}.") for n in range(150))]
        assert [outcome for outcome in outcomes if not outcome.ok] == []
        assert await symbl.trackers.list() is not None
    assert len(server.jobs) == 156


async def test_a_thousand_that_fail_before_their_first_await_end_one_after_the_other(
    server: LocalSymbl, tmp_path: Path
) -> None:
    """None begins inside of the one before it, which would be a thousand calls deep."""
    async with server.client(limits=Limits(jobs=1), **QUICK) as symbl:
        await symbl.process(Text("So that there is a token."))
        for _ in range(3):
            server.inject("status:400", on="POST", times=1)
            submissions = [symbl.submit(Text("No.")), *[symbl.submit(Text("Hi.")) for _ in "ab"]]
            ended = await asyncio.gather(*submissions, return_exceptions=True)
            assert isinstance(ended[0], APIError)
        missing = [symbl.submit(tmp_path / "missing.mp4") for _ in range(1000)]
        ended = await asyncio.gather(*missing, return_exceptions=True)
        assert all(isinstance(error, Exception) for error in ended)


async def test_failures_and_halts_are_told_as_ever(server: LocalSymbl) -> None:
    async with server.client(lanes=Lanes(on_failure="halt"), **QUICK) as symbl:
        server.inject("job_fails", times=1)
        with pytest.raises(JobFailedError):
            await (await symbl.submit(Text("Bad.")))


async def test_closing_ends_what_waits(server: LocalSymbl) -> None:
    server.hold_jobs()
    async with server.client(limits=Limits(jobs=1), **QUICK) as symbl:
        job = await symbl.submit(Text("One."))
        queued = symbl.submit(Text("Two."))
        waiting = asyncio.create_task(job.wait())
        await symbl.aclose(drain="none")
        for ended in (queued, waiting):
            with pytest.raises(ClientClosedError):
                await ended
    assert symbl.unfinished == (job.token,)


async def test_each_begins_with_the_context_of_who_asked_and_changes_nobody_elses(
    server: LocalSymbl,
) -> None:
    await check_contexts(server)
