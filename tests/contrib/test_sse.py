"""The events of a job as a page sees them, whenever it comes and however the job ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from symbl_aio import Job, JobStatus, Polls, Text
from symbl_aio.contrib.sse import has_ended, stream
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK

NEVER = 3600.0


def parse(text: str) -> dict[str, Any]:
    """Read one event as an ``EventSource`` does."""
    assert text.endswith("\n\n")
    fields = dict(line.split(": ", 1) for line in text.rstrip("\n").split("\n"))
    return {**fields, "data": json.loads(fields["data"])}


async def rest(events: AsyncGenerator[bytes, None]) -> list[dict[str, Any]]:
    return [parse(event.decode()) async for event in events if event != b":\n\n"]


def statuses(events: list[dict[str, Any]]) -> list[str]:
    assert all(event["event"] == "status" for event in events)
    return [event["data"]["status"] for event in events]


async def test_who_comes_late_sees_what_has_happened(server: LocalSymbl):
    async with server.client(**QUICK) as symbl:
        job = await symbl.submit(Text("Hello."))
        await job
        events = await rest(stream(job, asyncio.Event()))

    assert statuses(events)[0] == "scheduled"
    assert statuses(events)[-1] == "completed"
    last = events[-1]
    assert last["id"] == "completed"
    assert last["data"]["id"] == job.id
    assert last["data"]["conversation_id"] == job.conversation_id
    assert last["data"]["error"] is None
    assert all("id" not in event for event in events[:-1])


async def test_any_number_of_pages_see_the_same(server: LocalSymbl):
    server.hold_jobs()
    async with server.client(**QUICK) as symbl:
        job = await symbl.submit(Text("Hello."))
        watching = [asyncio.create_task(rest(stream(job, asyncio.Event()))) for _ in range(20)]
        server.release()
        seen = await asyncio.gather(*watching)

    assert all(events == seen[0] for events in seen)
    assert statuses(seen[0])[-1] == "completed"


async def test_a_job_that_failed_ends_with_its_problem(server: LocalSymbl):
    server.inject("job_fails")
    async with server.client(**QUICK) as symbl:
        job = await symbl.submit(Text("Hello."))
        last = (await rest(stream(job, asyncio.Event())))[-1]

    assert (last["event"], last["id"]) == ("status", "failed")
    assert last["data"]["error"]["error"] == "JobFailedError"
    assert last["data"]["error"]["job_id"] == job.id


async def test_a_job_that_is_lost_ends_with_a_problem(server: LocalSymbl):
    polls = Polls(floor=0.002, ceiling=0.01, not_found_grace=0.01)
    async with server.client(**QUICK | {"polls": polls}) as symbl:
        events = await rest(stream(symbl.job("nobody-knows-it"), asyncio.Event()))

    (last,) = events
    assert last["event"] == "problem"
    assert (last["data"]["status"], last["data"]["error"]) == (502, "JobLostError")
    assert "id" not in last


@pytest.mark.parametrize("who", ["service", "client"])
async def test_what_stops_in_the_middle_says_that_it_pays_to_come_back(
    server: LocalSymbl, who: str
):
    server.hold_jobs()
    stopping = asyncio.Event()
    async with server.client(**QUICK) as symbl:
        job = await symbl.submit(Text("Hello."))
        events = stream(job, stopping, heartbeat=NEVER)
        assert parse((await anext(events)).decode())["data"]["status"] == "scheduled"
        if who == "service":
            stopping.set()
        else:
            await symbl.aclose(drain="none")
        last = (await rest(events))[-1]

    assert (last["event"], last["data"]["status"]) == ("problem", 503)
    assert last["data"]["error"] == "ClientClosedError"


async def test_while_nothing_happens_there_is_a_heartbeat(server: LocalSymbl):
    server.hold_jobs(before="in_progress")
    async with server.client(**QUICK) as symbl:
        job = await symbl.submit(Text("Hello."))
        events = stream(job, asyncio.Event(), heartbeat=0.01)
        assert b"scheduled" in await anext(events)
        assert [await anext(events) for _ in range(3)] == [b":\n\n"] * 3
        server.release()
        assert statuses(await rest(events))[-1] == "completed"


def streams() -> list[str]:
    return [t.get_name() for t in asyncio.all_tasks() if t.get_name().endswith("of a stream")]


async def test_whoever_leaves_leaves_no_task(server: LocalSymbl):
    server.hold_jobs(before="in_progress")
    async with server.client(**QUICK) as symbl:
        job = await symbl.submit(Text("Hello."))
        waits = stream(job, asyncio.Event(), heartbeat=0.001)
        while await anext(waits) != b":\n\n":
            pass
        assert len(streams()) == 2
        await waits.aclose()
        assert streams() == []

        waits = stream(job, asyncio.Event(), heartbeat=NEVER)
        await anext(waits)
        reading = asyncio.create_task(rest(waits))
        await asyncio.wait([reading], timeout=0.01)
        assert len(streams()) == 2
        reading.cancel()
        await asyncio.wait([reading])
        assert streams() == []
        assert not job.done()


@pytest.mark.parametrize(
    "seen,over", [("completed", True), ("failed", True), ("scheduled", False), (None, False)]
)
def test_a_page_that_saw_the_end_need_not_come_again(seen: str | None, over: bool):
    assert has_ended(seen) is over


async def test_no_failure_of_a_job_that_was_watched_is_logged_as_unseen(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
):
    server.inject("job_fails")
    async with server.client(**QUICK) as symbl:
        job: Job | None = await symbl.submit(Text("Hello."))
        assert job is not None
        await rest(stream(job, asyncio.Event()))
        assert job.status is JobStatus.FAILED
        del job

    assert "never retrieved" not in caplog.text
