"""A failure that nobody awaited is logged once, by this library; an observer has heard of it."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from symbl_aio import (
    AccessToken,
    Config,
    Event,
    JobEnded,
    JobFailedError,
    JobStatus,
    Limits,
    SubmissionEnded,
    SymblClient,
    Text,
)
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines of the log that are more than details, once all garbage is gone."""
    for _ in range(3):
        gc.collect()
    return [
        f"{record.name} {record.levelname} {record.getMessage()}"
        for record in caplog.records
        if record.levelno >= logging.WARNING
    ]


async def failed_job(server: LocalSymbl, symbl: SymblClient) -> str:
    """Let a job fail that nobody holds any more."""
    server.inject("job_fails", times=1)
    job_id = (await symbl.submit(Text("Bad."))).id
    while symbl.stats().jobs:
        await symbl.job_status(job_id)
    return job_id


async def test_a_failed_job_that_nobody_awaited_is_logged_once(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    async with server.client(**QUICK) as symbl:
        job_id = await failed_job(server, symbl)
    (line,) = lines(caplog)
    assert line.startswith("symbl_aio ERROR ")
    assert job_id in line
    assert "never retrieved" not in line


async def test_a_submission_that_nobody_awaited_is_logged_once(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    server.inject("status:400", on="POST", times=1)
    async with server.client(**QUICK) as symbl:
        repr(symbl.submit(Text("Bad."), key="mine"))
        await symbl.process(Text("Good."))
        while symbl.stats().queued + symbl.stats().uploading:
            await symbl.process(Text("Good."))
    (line,) = lines(caplog)
    assert line.startswith("symbl_aio ERROR ")
    assert "mine" in line


async def test_to_look_at_a_handle_is_not_to_hear_of_its_failure(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    server.inject("status:400", on="POST", times=1)
    async with server.client(**QUICK) as symbl:
        submission = symbl.submit(Text("Bad."), key="mine")
        async for _ in submission.progress():
            pass
        assert "ended" in repr(submission)
        assert submission.done()
        del submission
    assert len(lines(caplog)) == 1


async def test_whoever_awaited_or_followed_has_heard(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    async with server.client(**QUICK) as symbl:
        server.inject("job_fails", times=2)
        with pytest.raises(JobFailedError):
            await symbl.process(Text("Bad."))
        job = await symbl.submit(Text("Bad."))
        assert [event async for event in job.events()][-1].status is JobStatus.FAILED
        del job
        server.inject("status:400", on="POST", times=1)
        (outcome,) = [one async for one in symbl.map([Text("Bad.")])]
        assert not outcome.ok
        del outcome
    assert lines(caplog) == []


async def test_an_observer_that_was_called_has_heard(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[type[Event]] = []
    async with server.client(observers=[lambda event: told.append(type(event))], **QUICK) as symbl:
        await failed_job(server, symbl)
        server.inject("status:400", on="POST", times=1)
        symbl.submit(Text("Bad."))
        while SubmissionEnded not in told:
            await symbl.process(Text("Good."))
    assert JobEnded in told
    assert lines(caplog) == []


async def test_an_observer_that_failed_has_not_heard(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: Event) -> None:
        if isinstance(event, JobEnded):
            raise RuntimeError("broken")

    def without_frames(record: logging.LogRecord) -> bool:
        record.exc_info = None  # which hold the job as long as pytest holds the record
        return True

    logger = logging.getLogger("symbl_aio")
    logger.addFilter(without_frames)
    try:
        async with server.client(observers=[broken], **QUICK) as symbl:
            job_id = await failed_job(server, symbl)
        first, second = lines(caplog)
    finally:
        logger.removeFilter(without_frames)
    assert "observer failed" in first
    assert job_id in second


async def test_whoever_left_a_map_early_is_told_of_what_failed_later(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    async with server.client(**QUICK) as symbl:
        server.hold_jobs()
        server.inject("job_fails", times=1)
        mapping = symbl.map([Text("Bad.")])
        first = asyncio.ensure_future(anext(mapping))
        await server.until(lambda: server.jobs)
        while not symbl.stats().jobs:
            await symbl.job_status(next(iter(server.jobs)))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await mapping.aclose()
        server.release()
        while symbl.stats().jobs:
            await symbl.job_status(next(iter(server.jobs)))
    (line,) = lines(caplog)
    assert line.startswith("symbl_aio ERROR job ")


async def test_closing_logs_nothing_and_a_strangers_words_are_not_repeated(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    server.hold_jobs()
    async with server.client(limits=Limits(jobs=1), **QUICK) as symbl:
        await symbl.submit(Text("One."))
        symbl.submit(Text("Two."))  # waits for the slot: nothing of it may be sent
        await symbl.aclose(drain="none")
    assert lines(caplog) == []

    async def token() -> AccessToken:
        raise RuntimeError("the password is hunter2")

    config = Config(base_url=server.base_url, **QUICK)
    async with SymblClient(token, config=config) as symbl:
        submission = symbl.submit(Text("One."))
        async for _ in submission.progress():
            pass
        del submission
    del symbl  # whose last request for a token ended with the same error
    assert any("and nobody awaited it" in line for line in lines(caplog))
    assert "hunter2" not in caplog.text
