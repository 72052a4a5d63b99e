"""Appends to one conversation: in call order, one at a time, whatever happens around them."""

from __future__ import annotations

import asyncio
import gc
import weakref
from itertools import pairwise
from typing import Any

import pytest

from symbl_aio import (
    AmbiguousSubmissionError,
    AppendBlockedError,
    BadRequestError,
    ClientClosedError,
    ConcurrencyLimitError,
    Conversation,
    Job,
    JobFailedError,
    Lanes,
    Limits,
    MediaRejectedError,
    Submission,
    SymblClient,
    Text,
    TransportError,
)
from symbl_aio.server import Received
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK


def texts(received: list[Received]) -> list[str]:
    return [said(one) for one in received]


def said(received: Received) -> str:
    body: Any = received.body
    return str(body["messages"][0]["payload"]["content"])


def assert_one_at_a_time(server: LocalSymbl, conversation_id: str) -> None:
    jobs = [server.jobs[r.job_id] for r in server.arrivals(conversation_id) if r.job_id]
    for before, after in pairwise(jobs):
        assert before.history[-1][1] <= after.history[0][1]


async def opened(symbl: SymblClient) -> str:
    """Give the id of a new conversation whose first job is done."""
    conversation = await symbl.process(Text("We begin."))
    return conversation.id


@pytest.mark.parametrize(
    ("conversations", "appends"),
    [(40, 10), pytest.param(200, 20, marks=[pytest.mark.slow, pytest.mark.timeout(300)])],
    ids=["400", "4000"],
)
async def test_appends_from_many_tasks_arrive_in_call_order_one_at_a_time(
    conversations: int, appends: int
) -> None:
    async with (
        LocalSymbl(job_limit=50) as server,
        server.client(limits=Limits(jobs=50), **QUICK) as symbl,
    ):
        ids = [o.unwrap().id async for o in symbl.map([Text("We begin.")] * conversations)]
        called: dict[str, list[str]] = {conversation_id: [] for conversation_id in ids}
        submissions: list[Submission] = []

        async def caller(turn: int) -> None:
            for conversation_id in ids[turn:] + ids[:turn]:
                text = f"{turn} of {conversation_id}."
                called[conversation_id].append(text)
                submissions.append(symbl.append(conversation_id, Text(text)))
                await asyncio.sleep(0)

        await asyncio.gather(*[caller(turn) for turn in range(appends)])
        await asyncio.gather(*[await submission for submission in submissions])

        for conversation_id in ids:
            assert texts(server.appended(conversation_id)) == called[conversation_id]
            assert_one_at_a_time(server, conversation_id)
        assert sum(len(server.appended(i)) for i in ids) == conversations * appends


async def test_appends_wait_for_the_submission_that_opens_the_conversation(
    server: LocalSymbl,
) -> None:
    async with server.client(**QUICK) as symbl:
        first = symbl.submit(Text("One."))
        rest = [symbl.append(first, Text(f"{n}.")) for n in ("Two", "Three")]
        jobs = [await one for one in (first, *rest)]
        await asyncio.gather(*jobs)
        conversation_id = jobs[0].conversation_id
        assert conversation_id is not None
        assert [job.conversation_id for job in jobs] == [conversation_id] * 3
        assert texts(server.arrivals(conversation_id)) == ["One.", "Two.", "Three."]


async def test_the_next_append_starts_when_the_job_before_it_ended(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        conversation_id = await opened(symbl)
        server.hold_jobs()
        one = symbl.append(conversation_id, Text("One."))
        two = symbl.append(conversation_id, Text("Two."))
        job = await one
        await job.refresh()
        assert not two.done()
        assert texts(server.appended(conversation_id)) == ["One."]
        server.release()
        await (await two)
        assert texts(server.appended(conversation_id)) == ["One.", "Two."]


async def test_with_accepted_the_next_upload_overlaps_the_processing(server: LocalSymbl) -> None:
    async with server.client(lanes=Lanes(advance_on="accepted"), **QUICK) as symbl:
        conversation_id = await opened(symbl)
        server.hold_jobs()
        jobs = [await symbl.append(conversation_id, Text(f"{n}.")) for n in ("One", "Two", "Three")]
        assert texts(server.appended(conversation_id)) == ["One.", "Two.", "Three."]
        server.release()
        await asyncio.gather(*jobs)


async def test_an_append_waits_behind_a_job_that_was_attached_again(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as earlier:
        conversation_id = await opened(earlier)
        server.hold_jobs()
        token = (await earlier.append(conversation_id, Text("One."))).token
        await earlier.aclose(drain="none")
    async with server.client(**QUICK) as symbl:
        job = symbl.job(token)
        two = symbl.append(job, Text("Two."))
        await job.refresh()
        assert texts(server.appended(conversation_id)) == ["One."]
        server.release()
        await (await two)
    assert texts(server.appended(conversation_id)) == ["One.", "Two."]


async def test_a_failed_job_lets_its_successors_run(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        conversation_id = await opened(symbl)
        server.inject("job_fails", on="PUT")
        one, two = (symbl.append(conversation_id, Text(n)) for n in ("One.", "Two."))
        with pytest.raises(JobFailedError) as failed:
            await (await one)
        assert failed.value.job.conversation_id == conversation_id
        await (await two)


@pytest.mark.parametrize("advance_on", ["completed", "accepted"])
async def test_a_failed_job_halts_the_lane_if_so_configured(
    server: LocalSymbl, advance_on: Any
) -> None:
    lanes = Lanes(advance_on=advance_on, on_failure="halt")
    async with server.client(lanes=lanes, limits=Limits(jobs=1), **QUICK) as symbl:
        conversation_id = await opened(symbl)
        server.inject("job_fails", on="PUT")
        one, two = (symbl.append(conversation_id, Text(n)) for n in ("One.", "Two."))
        with pytest.raises(JobFailedError):
            await (await one)
        with pytest.raises(AppendBlockedError) as blocked:
            await two
        assert isinstance(blocked.value.cause, JobFailedError)
        assert len(server.appended(conversation_id)) == 1


async def test_a_refused_append_lets_its_successors_run(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        conversation_id = await opened(symbl)
        server.inject("status:400", on="PUT")
        one, two = (symbl.append(conversation_id, Text(n)) for n in ("One.", "Two."))
        with pytest.raises(BadRequestError):
            await one
        await (await two)
        assert texts(server.appended(conversation_id)) == ["Two."]


async def test_an_append_whose_outcome_is_unknown_halts_the_lane(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        conversation_id = await opened(symbl)
        conversation = symbl.conversation(conversation_id)
        server.inject("accept_then_drop", on="PUT")
        one, two, three = (conversation.append(Text(n)) for n in ("One.", "Two.", "Three."))

        with pytest.raises(AmbiguousSubmissionError) as unknown:
            await one
        assert (unknown.value.key, unknown.value.sent) == (one.key, "maybe")
        for behind in (two, three):
            with pytest.raises(AppendBlockedError) as blocked:
                await behind
            assert blocked.value.cause is unknown.value
        with pytest.raises(AppendBlockedError):
            conversation.append(Text("Four."))
        assert texts(server.arrivals(conversation_id)) == ["We begin.", "One."]

        conversation.resume_appends()
        await (await conversation.append(Text("Four.")))
        assert texts(server.appended(conversation_id)) == ["One.", "Four."]


async def test_a_halted_lane_keeps_the_error_and_nothing_of_who_was_told(
    server: LocalSymbl,
) -> None:
    class Luggage:
        """What a caller has in its variables."""

    async def fail(conversation: Conversation) -> weakref.ref[Luggage]:
        luggage = Luggage()
        with pytest.raises(AmbiguousSubmissionError):
            await conversation.append(Text("One."))
        return weakref.ref(luggage)

    async with server.client(**QUICK) as symbl:
        conversation = symbl.conversation(await opened(symbl))
        server.inject("accept_then_drop", on="PUT")
        luggage = await fail(conversation)
        await asyncio.sleep(0)  # the loop lets go of the task that sent it
        gc.collect()
        assert luggage() is None
        with pytest.raises(AppendBlockedError) as blocked:
            conversation.append(Text("Two."))
        cause = blocked.value.cause
        assert isinstance(cause, AmbiguousSubmissionError)
        assert cause.sent == "maybe"
        assert cause.key in str(cause)
        assert isinstance(cause.__cause__, TransportError)
        assert (await cause.reconcile()).conversation_id == conversation.id


async def test_appends_behind_a_first_submission_that_is_refused_are_blocked(
    server: LocalSymbl, tmp_path: Any
) -> None:
    async with server.client(**QUICK) as symbl:
        first = symbl.submit(tmp_path / "missing.mp4")
        behind = symbl.append(first, Text("Two."))
        with pytest.raises(MediaRejectedError) as refused:
            await first
        with pytest.raises(AppendBlockedError) as blocked:
            await behind
        assert blocked.value.cause is refused.value
        with pytest.raises(AppendBlockedError):
            symbl.append(first, Text("Three."))
    assert server.submissions == []


async def test_one_long_queue_starves_nobody(server: LocalSymbl) -> None:
    async with server.client(limits=Limits(jobs=1), **QUICK) as symbl:
        long, short = await opened(symbl), await opened(symbl)
        queue = [symbl.append(long, Text(f"Long {n}.")) for n in range(20)]
        last = symbl.append(short, Text("Short."))
        await last
        assert len(server.appended(long)) <= 2
        await asyncio.gather(*[await one for one in queue])


async def test_a_withdrawn_append_is_never_sent_and_the_next_goes_on(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        conversation_id = await opened(symbl)
        server.hold_jobs()
        one, two, three = (symbl.append(conversation_id, Text(n)) for n in ("1.", "2.", "3."))
        await one
        assert two.cancel()
        assert not two.cancel()
        with pytest.raises(asyncio.CancelledError):
            await two
        assert not one.cancel(), "it was accepted"
        server.release()
        await (await three)
        assert texts(server.appended(conversation_id)) == ["1.", "3."]


async def test_patience_with_slots_that_is_over_is_not_that_of_the_next_of_the_same_key(
    server: LocalSymbl,
) -> None:
    async with server.client(limits=Limits(jobs=1, wait_for_slot=0.05), **QUICK) as symbl:
        await (await symbl.submit(Text("We begin."), key="mine"))
        server.hold_jobs()
        first = symbl.submit(Text("One."))
        behind = symbl.append(await first, Text("Two."), key="mine")
        without_slot = symbl.submit(Text("Three."))
        with pytest.raises(ConcurrencyLimitError):
            await without_slot
        assert not behind.done(), "it waits for its turn, not for a slot"
        server.release()
        await (await behind)


async def test_a_lane_is_not_left_behind_by_a_client_that_closes(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        conversation_id = await opened(symbl)
        server.hold_jobs()
        one, two = (symbl.append(conversation_id, Text(n)) for n in ("One.", "Two."))
        job: Job = await one
        await symbl.aclose(drain="none")
        with pytest.raises(ClientClosedError):
            await two
        with pytest.raises(ClientClosedError) as closed:
            await job
        assert closed.value.job is job
    assert texts(server.appended(conversation_id)) == ["One."]


async def test_an_append_behind_a_refused_one_goes_on_whether_that_has_ended_or_not(
    server: LocalSymbl,
) -> None:
    async with server.client(**QUICK) as symbl:
        conversation = await symbl.process(Text("We begin."))
        refused = symbl.append(conversation.id, "/nowhere/missing.mp4")
        behind = symbl.append(refused, Text("Called before it was refused."))
        with pytest.raises(MediaRejectedError):
            await refused
        await behind
        await symbl.append(refused, Text("Called after that."))
    assert len(server.appended(conversation.id)) == 2


async def test_what_was_to_be_added_to_a_conversation_that_never_was_is_told_so(
    server: LocalSymbl,
) -> None:
    async with server.client(**QUICK) as symbl:
        first = symbl.submit("/nowhere/missing.mp4")
        behind = symbl.append(first, Text("Called before it was refused."))
        with pytest.raises(AppendBlockedError, match="open the conversation"):
            await behind
        with pytest.raises(MediaRejectedError):
            await first
        with pytest.raises(AppendBlockedError, match="open the conversation") as blocked:
            symbl.append(first, Text("Called after that."))
    assert isinstance(blocked.value.cause, MediaRejectedError)
