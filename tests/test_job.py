"""The handles: awaited by many, given up by some, attached again by others."""

from __future__ import annotations

import asyncio
import gc
import json
import logging

import pytest
from aiohttp import web

from symbl_aio import (
    ConfigurationError,
    Event,
    JobFailedError,
    JobLostError,
    JobStatus,
    JobTimeoutError,
    Limits,
    NotFoundError,
    PollFailed,
    Polls,
    ServerError,
    Text,
    Video,
)
from symbl_aio.testing import LocalSymbl
from tests.host import Host, open_host
from tests.support import QUICK, mp4_bytes


async def test_any_number_of_tasks_await_one_job_and_one_may_give_up(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Hello."))
        waiters = [asyncio.create_task(job.wait()) for _ in range(50)]
        await job.refresh()
        waiters[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiters[0]
        server.release()
        conversations = await asyncio.gather(*waiters[1:])
        assert {conversation.id for conversation in conversations} == {job.conversation_id}
        assert (await job).id == job.conversation_id
        assert job.done()


async def test_a_submission_is_awaited_twice_and_given_up_once(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        submission = symbl.submit(Text("Hello."))
        assert not submission.done()

        async def impatient() -> None:
            await submission

        task = asyncio.create_task(impatient())
        await asyncio.sleep(0)
        task.cancel()
        assert await submission is await submission
        assert submission.done()
        assert len(server.submissions) == 1


async def test_a_timeout_carries_the_job_which_goes_on(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Hello."))
        with pytest.raises(TimeoutError) as late:
            await job.wait(timeout=0.01)
        assert isinstance(late.value, JobTimeoutError)
        assert late.value.job is job
        server.release()
        assert (await job.wait(timeout=30)).id == job.conversation_id


async def test_process_waits_for_the_end_or_its_timeout(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        conversation = await symbl.process(Text("Hello."), timeout=30)
        assert [message.text for message in await conversation.messages()] == ["Hello."]
        server.hold_jobs()
        with pytest.raises(JobTimeoutError) as late:
            await symbl.process(Text("Hello again."), timeout=0.05)
        assert late.value.job.token in symbl.unfinished


async def test_process_that_runs_out_of_time_loses_no_job(server: LocalSymbl) -> None:
    async with server.client(limits=Limits(jobs=1), **QUICK) as symbl:
        server.hold_jobs()
        running = await symbl.submit(Text("Running."))
        with pytest.raises(TimeoutError, match="withdrawn") as late:
            await symbl.process(Text("No slot in time."), timeout=0.02)
        assert not isinstance(late.value, JobTimeoutError)
        assert symbl.stats().queued == 0
        server.release()
        await running

        server.hold_jobs()
        server.inject("slow:0.1", on="POST")
        with pytest.raises(JobTimeoutError) as later:
            await symbl.process(Text("Sent in time, and answered late."), timeout=0.05)
        assert later.value.job.id == list(server.jobs)[-1]
        server.release()
        await later.value.job


class Hesitant(Host):
    """A host that answers no submission before it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.heard, self.let = asyncio.Event(), asyncio.Event()

    async def _handle(self, request: web.Request) -> web.Response:
        if "/process/" in request.path:
            await request.read()
            self.heard.set()
            await self.let.wait()
        return await super()._handle(request)


@pytest.mark.parametrize("status", [425, 429])
async def test_process_whose_time_is_over_does_not_send_again_what_is_refused(
    status: int,
) -> None:
    async with open_host(Hesitant()) as host:
        assert isinstance(host, Hesitant)
        host.says((status, {}), {"conversationId": "c", "jobId": "j"})
        async with host.client() as symbl:
            processing = asyncio.create_task(symbl.process(Text("Hello."), timeout=0.4))
            await host.heard.wait()
            await asyncio.wait([processing], timeout=0.5)
            assert not processing.done()  # the answer that is due may be an acceptance
            host.let.set()
            with pytest.raises(TimeoutError, match="withdrawn"):
                await processing
            assert symbl.stats().queued == symbl.stats().uploading == 0
        assert len(host.asked) == 1


async def test_events_are_transitions_and_late_subscribers_get_a_replay(
    server: LocalSymbl,
) -> None:
    async with server.client(**QUICK) as symbl:
        server.hold_jobs(before="in_progress")
        job = await symbl.submit(Text("Hello."))
        events = job.events()
        first = await anext(events)
        assert (first.status, first.source) == (JobStatus.SCHEDULED, "submit")
        server.hold_jobs()
        second = await anext(events)
        assert (second.status, second.source) == (JobStatus.IN_PROGRESS, "poll")
        assert second.at >= first.at
        server.release()
        assert [event.status async for event in events] == [JobStatus.COMPLETED]
        replayed = [event.status async for event in job.events()]
        assert replayed == [JobStatus.SCHEDULED, JobStatus.IN_PROGRESS, JobStatus.COMPLETED]


async def test_a_failed_job_raises_for_everybody_and_ends_its_events(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        server.inject("job_fails")
        job = await symbl.submit(Text("Hello."))
        for _ in range(2):
            with pytest.raises(JobFailedError) as failed:
                await job
            assert failed.value.job is job
            assert failed.value.reason == "it was told to fail"
            assert str(failed.value) == f"job {job.id} failed: it was told to fail"
        assert [event.status async for event in job.events()][-1] is JobStatus.FAILED
        assert job.status is JobStatus.FAILED


async def test_a_failure_that_is_handled_is_not_logged_though_another_waiter_gave_up(
    server: LocalSymbl,
) -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with server.client(**QUICK) as symbl:
        server.hold_jobs()
        server.inject("job_fails")
        job = await symbl.submit(Text("Hello."))
        with pytest.raises(JobTimeoutError):
            await job.wait(timeout=0.01)
        server.release()
        with pytest.raises(JobFailedError):
            await job
        server.hold_jobs()
        left = await symbl.submit(Text("Hello again."))
        with pytest.raises(JobTimeoutError):
            await left.wait(timeout=0.01)
    assert told == []  # by Python 3.14 and later it would be


async def test_a_failure_that_was_seen_as_an_event_is_not_told_again(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    gc.collect()  # what earlier tests left is not this test's to tell
    caplog.clear()
    async with server.client(**QUICK) as symbl:
        server.inject("job_fails")
        job = await symbl.submit(Text("Hello."))
        assert [event.status async for event in job.events()][-1] is JobStatus.FAILED
        del job
    gc.collect()
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


async def test_progress_moves_to_the_end_and_stops(server: LocalSymbl) -> None:
    data = mp4_bytes(3 * 2**20)
    async with server.client(**QUICK) as symbl:
        submission = symbl.submit(Video(data))
        seen = [progress async for progress in submission.progress()]
        await submission
        assert seen[-1].sent == seen[-1].total == len(data)
        assert [p.sent for p in seen] == sorted(p.sent for p in seen)
        assert [p async for p in submission.progress()] == [seen[-1]]


async def test_a_job_is_attached_again_by_token_or_by_id(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        job = await symbl.submit(Text("Hello."))
        await job
        token = job.token
    assert json.loads(token)["v"] == 1
    assert "secret" not in token

    async with server.client(**QUICK) as later:
        by_token = later.job(token)
        assert (by_token.id, by_token.conversation_id) == (job.id, job.conversation_id)
        assert by_token.status is JobStatus.UNKNOWN
        conversation = await by_token
        assert [message.text for message in await conversation.messages()] == ["Hello."]

        by_id = later.job(job.id)
        nameless = await by_id
        with pytest.raises(ConfigurationError, match="conversation_id"):
            await nameless.messages()


async def test_a_job_that_is_followed_has_one_handle(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Hello."))
        assert symbl.job(job.id) is job
        server.release()
        await job


async def test_a_job_attached_twice_before_anybody_waits_ends_for_both(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Hello."))
        async with server.client(**QUICK) as later:
            once, again = later.job(job.token), later.job(job.id)
            waiting = asyncio.gather(once.wait(), again.wait())
            assert await again.refresh() is not JobStatus.COMPLETED
            server.release()
            await waiting
            await later.job(job.id)  # a new question, now that the first one was answered


async def test_a_conversation_that_is_told_later_is_that_of_the_handle(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Hello."))
        async with server.client(**QUICK) as later:
            nameless = later.job(job.id)
            await nameless.refresh()
            assert nameless.conversation_id is None
            assert later.job(job.id, job.conversation_id) is nameless
            assert nameless.conversation_id == job.conversation_id
            behind = later.append(nameless, Text("And more."))
            server.release()
            await (await behind)
        assert [r.job_id for r in server.submissions] == [job.id, (await behind).id]


@pytest.mark.parametrize(
    "token",
    [
        '{"v":2}',
        "{",
        '{"v":1}',
        '{"v":1,"job":1,"conversation":null,"origin":"x","since":0}',
        '{"v":1,"job":"j","conversation":null,"origin":"x","since":NaN}',
        '{"v":1,"job":"j","conversation":null,"origin":"x","since":1' + "0" * 400 + "}",
        '{"v":' * 100_000,
    ],
)
async def test_a_bad_token_is_refused_with_a_reason(server: LocalSymbl, token: str) -> None:
    async with server.client() as symbl:
        with pytest.raises(ConfigurationError, match="token"):
            symbl.job(token)


async def test_a_job_id_of_another_type_is_refused(server: LocalSymbl) -> None:
    async with server.client() as symbl:
        with pytest.raises(ConfigurationError, match="job_id"):
            symbl.job(17)  # type: ignore[arg-type]


async def test_a_token_of_another_host_is_refused(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl, LocalSymbl() as other:
        job = await symbl.submit(Text("Hello."))
        async with other.client() as stranger:
            with pytest.raises(ConfigurationError, match=server.base_url):
                stranger.job(job.token)


async def test_an_unknown_status_means_not_finished_and_warns_once(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    async with server.client(**QUICK) as symbl:
        server.hold_jobs()
        server.inject("unknown_status", on="job", times=3)
        job = await symbl.submit(Text("Hello."))
        for _ in range(3):
            assert await job.refresh() is JobStatus.UNKNOWN
        server.release()
        await job
        unknown = [event async for event in job.events() if event.status is JobStatus.UNKNOWN]
    assert len(unknown) == 1
    assert unknown[0].raw_status not in set(JobStatus)
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1


async def test_a_terminal_status_is_final(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        job = await symbl.submit(Text("Hello."))
        await job
        server.inject("flap", on="job")
        assert await job.refresh() is JobStatus.COMPLETED
        await job


async def test_a_job_that_the_server_forgot_is_lost_after_a_grace(server: LocalSymbl) -> None:
    polls = Polls(floor=0.002, age_factor=0.01, ceiling=0.01, per_second=5000, not_found_grace=0.05)
    async with server.client(**{**QUICK, "polls": polls}) as symbl:
        server.inject("not_found", on="job", times=2)
        await (await symbl.submit(Text("Found again.")))

        server.hold_jobs()
        server.inject("not_found", on="job", times=1000)
        job = await symbl.submit(Text("Gone."))
        with pytest.raises(JobLostError) as lost:
            await job
        assert lost.value.job is job
        assert isinstance(lost.value.__cause__, NotFoundError)
        assert symbl.stats().jobs == 0


async def test_a_job_that_never_ends_is_lost_at_last_and_frees_its_slot(
    server: LocalSymbl,
) -> None:
    polls = Polls(floor=0.002, age_factor=0.01, ceiling=0.01, per_second=5000, max_age=0.05)
    async with server.client(**{**QUICK, "polls": polls}) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("For ever."))
        with pytest.raises(JobLostError, match="max_age"):
            await job
        assert symbl.stats().jobs == 0


async def test_polls_that_fail_only_delay(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        for fault in ("status:500", "status:503", "reset", "garbage", "half_answer", "status:429"):
            server.inject(fault, on="job")
        await (await symbl.submit(Text("Hello.")))


async def test_a_time_to_come_back_holds_the_polls_of_all_jobs(server: LocalSymbl) -> None:
    held = asyncio.Event()

    def observer(event: Event) -> None:
        if isinstance(event, PollFailed):
            held.set()

    polls = Polls(floor=0.002, age_factor=0.01, ceiling=60, per_second=5000)
    async with server.client(observers=[observer], **{**QUICK, "polls": polls}) as symbl:
        server.hold_jobs()
        jobs = [await symbl.submit(Text("Hello.")) for _ in range(10)]
        server.inject("retry_after:429:60", on="job")
        await held.wait()
        before = symbl.stats().polls
        for _ in range(20):
            await jobs[0].refresh()
        # Those that were on their way are answered.
        assert symbl.stats().polls <= before + 20 + len(jobs)
        await symbl.aclose(drain="none")


async def test_an_old_job_that_is_attached_again_is_not_lost_to_one_poll_that_fails(
    server: LocalSymbl,
) -> None:
    async with server.client(**QUICK) as symbl:
        job = await symbl.submit(Text("Hello."))
        await job
    token = json.loads(job.token)
    token["since"] -= 3 * 86_400
    for fault in ("status:500", "reset", "not_found"):
        server.inject(fault, on="job")
    async with server.client(**QUICK) as later:
        await later.job(json.dumps(token))


async def test_an_old_job_that_cannot_be_asked_for_is_lost_at_last(server: LocalSymbl) -> None:
    polls = Polls(floor=0.002, ceiling=0.01, max_age=0.001, not_found_grace=0.05)
    async with server.client(**{**QUICK, "polls": polls}) as symbl:
        server.inject("status:500", on="job", times=1000)
        with pytest.raises(JobLostError, match="max_age") as lost:
            await (await symbl.submit(Text("Hello.")))
    assert isinstance(lost.value.__cause__, ServerError)


async def test_a_poll_that_a_stranger_cancels_is_made_again(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        server.inject("slow:0.3", on="job")
        job = await symbl.submit(Text("Hello."))
        await server.until(lambda: any(job.id in seen.path for seen in server.requests))
        polls = [t for t in asyncio.all_tasks() if f"poll of job {job.id}" in t.get_name()]
        assert [poll.cancel() for poll in polls] == [True]
        await job


async def test_a_poll_that_is_due_while_somebody_asks_is_the_same_question(
    server: LocalSymbl,
) -> None:
    mistakes: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: mistakes.append(told))
    async with server.client(**QUICK) as symbl:
        server.hold_jobs()
        server.inject("slow:0.2", on="job")
        job = await symbl.submit(Text("Hello."))
        await job.refresh()  # takes a hundred times as long as until the first poll is due
        assert len([seen for seen in server.requests if job.id in seen.path]) == 1
        server.release()
        await job
    assert mistakes == []


async def test_polls_refused_for_good_end_the_waiters(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Hello."))
        server.inject("status:401", on="job", times=1000)
        with pytest.raises(JobLostError) as lost:
            await job
        assert lost.value.job is job


async def test_failures_that_nobody_awaited_are_told_once(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    gc.collect()  # what earlier tests left is not this test's to tell
    caplog.clear()
    async with server.client(**QUICK) as symbl:
        symbl.submit("/nowhere/nobody-looks.mp4")  # as a caller does who never looks back
        awaited = symbl.submit("/nowhere/missing-too.mp4")
        with pytest.raises(Exception, match="missing-too"):
            await awaited
    del awaited

    def told() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]

    # The thread that could not open the file may hold its error for a moment longer.
    async with asyncio.timeout(10):
        while not told():
            gc.collect()
            await asyncio.sleep(0)
    gc.collect()
    assert [message.count("nobody-looks.mp4") for message in told()] == [1]
