"""Events: each change of state is told once, in order, to observers and to the log alike."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from symbl_aio import (
    AmbiguousSubmissionError,
    AppendBlockedError,
    BadRequestError,
    ClientClosedError,
    ConcurrencyLimitError,
    Event,
    Job,
    JobEnded,
    JobFailedError,
    JobLostError,
    JobStatus,
    JobStatusChanged,
    Limits,
    MediaRejectedError,
    PollFailed,
    Polls,
    ServerError,
    SubmissionAccepted,
    SubmissionEnded,
    SubmissionQueued,
    SubmissionRefused,
    SubmissionStarted,
    Text,
)
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK


class Listener:
    """An observer that keeps what it was told, in order."""

    def __init__(self) -> None:
        self.told: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.told.append(event)

    def of(self, *, key: str = "", job: str = "") -> list[Event]:
        """What was told of one submission, or of one job."""
        return [
            event
            for event in self.told
            if (key and getattr(event, "key", None) == key)
            or (job and getattr(event, "job_id", None) == job)
        ]

    def kinds(self, *, key: str = "", job: str = "") -> list[str]:
        return [type(event).__name__ for event in self.of(key=key, job=job)]

    def ending(self, key: str) -> BaseException:
        (ended,) = [event for event in self.of(key=key) if isinstance(event, SubmissionEnded)]
        return ended.error


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture(autouse=True)
def one_line_an_event(listener: Listener, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test does: every event is one DEBUG line with the same fields."""
    caplog.set_level(logging.DEBUG, logger="symbl_aio")
    yield
    caplog.set_level(logging.NOTSET, logger="symbl_aio")
    lines = [
        r
        for r in caplog.get_records("call")
        if hasattr(r, "symbl_key") or hasattr(r, "symbl_job_id")
    ]
    assert [line.getMessage() for line in lines] == [str(event) for event in listener.told]
    assert {(line.name, line.levelname) for line in lines} <= {("symbl_aio", "DEBUG")}
    for line, event in zip(lines, listener.told, strict=True):
        fields = {k: v for k, v in vars(line).items() if k.startswith("symbl_")}
        assert fields == {
            f"symbl_{field.name}": getattr(event, field.name) for field in attrs.fields(type(event))
        }


async def test_a_submission_and_its_job_are_told_from_the_queue_to_the_end(
    server: LocalSymbl, listener: Listener
) -> None:
    async with server.client(observers=[listener], **QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Hello."), key="mine")
        while job.status is not JobStatus.IN_PROGRESS:
            await job.refresh()
        server.release()
        await job
    conversation_id = job.conversation_id
    assert conversation_id is not None
    assert listener.told == [
        SubmissionQueued("mine", None),
        SubmissionStarted("mine"),
        SubmissionAccepted("mine", conversation_id, job.id, job.token),
        JobStatusChanged(job.id, conversation_id, JobStatus.SCHEDULED, "scheduled", "submit"),
        JobStatusChanged(job.id, conversation_id, JobStatus.IN_PROGRESS, "in_progress", "poll"),
        JobStatusChanged(job.id, conversation_id, JobStatus.COMPLETED, "completed", "poll"),
        JobEnded(job.id, conversation_id, None),
    ]


async def test_an_append_is_told_with_its_conversation_as_far_as_it_is_known(
    server: LocalSymbl, listener: Listener
) -> None:
    async with server.client(observers=[listener], **QUICK) as symbl:
        first = symbl.submit(Text("Hello."), key="first")
        symbl.append(first, Text("Early."), key="early")
        conversation = await (await first)
        await (await conversation.append(Text("Late."), key="late"))
    queued = [event for event in listener.told if isinstance(event, SubmissionQueued)]
    assert queued == [
        SubmissionQueued("first", None),
        SubmissionQueued("early", None),
        SubmissionQueued("late", conversation.id),
    ]
    accepted = [event for event in listener.told if isinstance(event, SubmissionAccepted)]
    assert [(event.key, event.conversation_id) for event in accepted] == [
        ("first", conversation.id),
        ("early", conversation.id),
        ("late", conversation.id),
    ]


async def test_a_full_account_is_told_with_the_limit_that_was_learned(
    server: LocalSymbl, listener: Listener
) -> None:
    async with server.client(observers=[listener], **QUICK) as symbl:
        server.hold_jobs()
        one = await symbl.submit(Text("One."))
        server.inject("status:429", on="POST")
        two = symbl.submit(Text("Two."), key="two")
        while not any(isinstance(event, SubmissionRefused) for event in listener.told):
            await one.refresh()
        server.release()
        await (await two)
    assert listener.of(key="two")[2] == SubmissionRefused("two", 1)
    assert listener.kinds(key="two") == [
        "SubmissionQueued",
        "SubmissionStarted",
        "SubmissionRefused",
        "SubmissionStarted",
        "SubmissionAccepted",
    ]


@pytest.mark.parametrize(
    "fault, error",
    [("status:400", BadRequestError), ("status:500", AmbiguousSubmissionError)],
)
async def test_a_submission_that_fails_is_told_with_its_error(
    server: LocalSymbl, listener: Listener, fault: str, error: type[Exception]
) -> None:
    async with server.client(observers=[listener], **QUICK) as symbl:
        server.inject(fault, on="POST")
        first = symbl.submit(Text("Hello."), key="first")
        behind = symbl.append(first, Text("More."), key="behind")
        with pytest.raises(error) as raised:
            await first
        with pytest.raises(AppendBlockedError) as blocked:
            await behind
    assert listener.kinds(key="first") == [
        "SubmissionQueued",
        "SubmissionStarted",
        "SubmissionEnded",
    ]
    assert listener.ending("first") is raised.value
    assert listener.kinds(key="behind") == ["SubmissionQueued", "SubmissionEnded"]
    assert listener.ending("behind") is blocked.value


async def test_a_file_that_is_no_recording_is_told_as_started_and_ended(
    server: LocalSymbl, listener: Listener
) -> None:
    async with server.client(observers=[listener], **QUICK) as symbl:
        missing = symbl.submit("/nowhere/missing.mp4", key="k")
        with pytest.raises(MediaRejectedError):
            await missing
    assert listener.kinds(key="k") == ["SubmissionQueued", "SubmissionStarted", "SubmissionEnded"]


@pytest.mark.parametrize("limit", [1, 2])
async def test_what_is_withdrawn_is_told_once_wherever_it_was(
    server: LocalSymbl, listener: Listener, limit: int
) -> None:
    async with server.client(observers=[listener], limits=Limits(jobs=limit), **QUICK) as symbl:
        server.hold_jobs()
        await symbl.submit(Text("Takes a slot."))
        withdrawn = symbl.submit(Text("Never mind."), key="k")
        assert withdrawn.cancel()
        assert not withdrawn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await withdrawn
        server.release()
    assert listener.kinds(key="k") == ["SubmissionQueued", "SubmissionEnded"]
    assert isinstance(listener.ending("k"), asyncio.CancelledError)


async def test_whoever_waits_too_long_for_a_slot_is_told_to_have_ended(
    server: LocalSymbl, listener: Listener
) -> None:
    limits = Limits(jobs=1, wait_for_slot=0.01)
    async with server.client(observers=[listener], limits=limits, **QUICK) as symbl:
        server.hold_jobs()
        await symbl.submit(Text("Takes the slot."))
        with pytest.raises(ConcurrencyLimitError) as full:
            await symbl.submit(Text("In vain."), key="k")
        server.release()
    assert listener.kinds(key="k") == ["SubmissionQueued", "SubmissionEnded"]
    assert listener.ending("k") is full.value


async def test_a_poll_that_fails_is_told_with_its_error(
    server: LocalSymbl, listener: Listener
) -> None:
    async with server.client(observers=[listener], **QUICK) as symbl:
        server.inject("status:500", on="job")
        server.inject("garbage", on="job")
        job = await symbl.submit(Text("Hello."))
        await job
    failed = [event for event in listener.told if isinstance(event, PollFailed)]
    assert [(event.job_id, type(event.error).__name__) for event in failed] == [
        (job.id, "ServerError"),
        (job.id, "DecodeError"),
    ]
    assert isinstance(failed[0].error, ServerError)


async def test_a_webhook_is_told_as_the_source_of_what_it_brought(
    server: LocalSymbl, listener: Listener
) -> None:
    slow = {**QUICK, "polls": Polls(floor=3600, ceiling=3600)}
    async with server.client(observers=[listener], **slow) as symbl:
        job = await symbl.submit(Text("Hello."))
        await server.until(lambda: server.unfinished == 0)
        symbl._engine.on_webhook("any", job.id, "completed")
        await job
    assert listener.of(job=job.id)[-2:] == [
        JobStatusChanged(job.id, job.conversation_id, JobStatus.COMPLETED, "completed", "webhook"),
        JobEnded(job.id, job.conversation_id, None),
    ]


async def test_a_job_that_fails_or_is_lost_is_told_with_its_error(
    server: LocalSymbl, listener: Listener
) -> None:
    polls = Polls(floor=0.002, age_factor=0.01, ceiling=0.01, per_second=5000, not_found_grace=0.02)
    async with server.client(observers=[listener], **{**QUICK, "polls": polls}) as symbl:
        server.inject("job_fails")
        failed = await symbl.submit(Text("Hello."))
        with pytest.raises(JobFailedError) as failure:
            await failed
        assert listener.of(job=failed.id)[-2:] == [
            JobStatusChanged(failed.id, failed.conversation_id, JobStatus.FAILED, "failed", "poll"),
            JobEnded(failed.id, failed.conversation_id, failure.value),
        ]
        server.inject("not_found", on="job", times=1000)
        lost = await symbl.submit(Text("Hello."))
        with pytest.raises(JobLostError) as loss:
            await lost
        assert listener.of(job=lost.id)[-1] == JobEnded(lost.id, lost.conversation_id, loss.value)
        assert listener.kinds(job=lost.id).count("JobEnded") == 1


async def test_an_unknown_status_is_told_with_the_servers_own_word(
    server: LocalSymbl, listener: Listener
) -> None:
    async with server.client(observers=[listener], **QUICK) as symbl:
        server.hold_jobs()
        server.inject("unknown_status", on="job", times=2)
        job = await symbl.submit(Text("Hello."))
        await job.refresh()
        await job.refresh()
        server.release()
        await job
    unknown = [
        e
        for e in listener.told
        if isinstance(e, JobStatusChanged) and e.status is JobStatus.UNKNOWN
    ]
    assert unknown == [
        JobStatusChanged(job.id, job.conversation_id, JobStatus.UNKNOWN, "under_review", "poll")
    ]


async def test_a_job_attached_again_is_told_from_its_first_poll_on(
    server: LocalSymbl, listener: Listener
) -> None:
    async with server.client(observers=[listener], **QUICK) as symbl:
        job = await symbl.submit(Text("Hello."))
        await job
    before = len(listener.told)
    async with server.client(observers=[listener], **QUICK) as later:
        await later.job(job.token)
    assert listener.told[before:] == [
        JobStatusChanged(job.id, job.conversation_id, JobStatus.COMPLETED, "completed", "poll"),
        JobEnded(job.id, job.conversation_id, None),
    ]


async def test_closing_tells_the_end_of_everything_and_then_nothing_more(
    server: LocalSymbl, listener: Listener
) -> None:
    async with server.client(observers=[listener], limits=Limits(jobs=1), **QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Runs on."), key="running")
        waiting = symbl.submit(Text("Waits."), key="waiting")
        await symbl.aclose(drain="none")
        told = list(listener.told)
        for handle in (job, waiting):
            with pytest.raises(ClientClosedError):
                await handle
    assert listener.told == told
    assert isinstance(listener.ending("waiting"), ClientClosedError)
    last = listener.of(job=job.id)[-1]
    assert isinstance(last, JobEnded)
    assert isinstance(last.error, ClientClosedError)
    assert last.error.job is job

    server.release()
    await server.until(lambda: server.unfinished == 0)
    symbl._engine.on_webhook("any", job.id, "completed")
    waiting.cancel()
    await symbl.aclose()
    assert listener.told == told


class PanicError(BaseException):
    """As extensions in Rust raise it, and ``pytest.fail()``."""


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError, PanicError])
async def test_an_observer_that_raises_is_logged_and_disturbs_nothing(
    server: LocalSymbl,
    listener: Listener,
    caplog: pytest.LogCaptureFixture,
    error: type[BaseException],
) -> None:
    def broken(event: Event) -> None:
        # The latter by the result of a future that was cancelled, for example.
        raise error("observers have errors too")

    async with asyncio.timeout(60), server.client(observers=[broken, listener], **QUICK) as symbl:
        conversation = await symbl.process(Text("Hello."))
        assert [message.text for message in await conversation.messages()] == ["Hello."]
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in logged] == [
        f"an observer failed at {type(event).__name__}" for event in listener.told
    ]
    assert all(record.exc_info and record.exc_info[0] is error for record in logged)


async def test_an_observer_may_submit_and_withdraw(server: LocalSymbl, listener: Listener) -> None:
    made: list[Any] = []

    def busy(event: Event) -> None:
        match event:
            case SubmissionAccepted(key="first", conversation_id=conversation_id):
                made.append(symbl.append(conversation_id, Text("Thanks."), key="second"))
            case SubmissionQueued(key="unwanted"):
                asyncio.get_running_loop().call_soon(lambda: made.append(unwanted.cancel()))

    async with server.client(observers=[listener, busy], **QUICK) as symbl:
        await (await symbl.submit(Text("Hello."), key="first"))
        unwanted = symbl.submit(Text("Never mind."), key="unwanted")
        with pytest.raises(asyncio.CancelledError):
            await unwanted
        await (await made[0])
    assert made[1:] == [True]
    assert listener.kinds(key="second")[-1] == "SubmissionAccepted"


async def test_in_a_storm_every_submission_and_every_job_has_one_history(
    server: LocalSymbl, listener: Listener
) -> None:
    """Letters: Queued, Started, Refused (429), Accepted, Ended; of jobs Moved, Poll failed, X."""
    faults = ["status:429", "status:400", "status:500", "accept_then_drop", "drop_before_body"]
    async with server.client(observers=[listener], **QUICK) as symbl:
        for fault in faults:
            server.inject(fault, on="POST", times=2)
        server.inject("job_fails", times=2)
        server.inject("status:500", on="job", times=5)
        submissions = [
            symbl.submit(Text(f"Number {number}."), key=f"k{number}") for number in range(40)
        ]
        submissions += [symbl.append(one, Text("More."), key=f"{one.key}+") for one in submissions]
        jobs = await asyncio.gather(*submissions, return_exceptions=True)
        accepted = [job for job in jobs if isinstance(job, Job)]
        await asyncio.gather(*accepted, return_exceptions=True)

    letters = {SubmissionQueued: "Q", SubmissionStarted: "S", SubmissionRefused: "R",
               SubmissionAccepted: "A", SubmissionEnded: "E",
               JobStatusChanged: "M", PollFailed: "P", JobEnded: "X"}  # fmt: skip
    for submission in submissions:
        history = "".join(letters[type(event)] for event in listener.of(key=submission.key))
        assert re.fullmatch("Q(SR)*(SA|SE|E)", history), (submission.key, history)
    ids = {event.job_id for event in listener.told if isinstance(event, SubmissionAccepted)}
    assert ids == {event.job_id for event in listener.told if isinstance(event, JobEnded)}
    for job_id in ids:
        history = "".join(letters[type(event)] for event in listener.of(job=job_id))
        assert re.fullmatch("AM[MP]*X", history), (job_id, history)
