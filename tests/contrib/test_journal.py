"""Accepted jobs are followed by the next process, however this one ends."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter

import pytest

from symbl_aio import (
    ConfigurationError,
    Job,
    JobFailedError,
    JobLostError,
    JobStatus,
    SubmissionAccepted,
    SymblClient,
    Text,
)
from symbl_aio.contrib.journal import JobJournal
from symbl_aio.testing import LocalSymbl
from tests.contrib.journal_process import run
from tests.forks import Fork
from tests.support import QUICK


@asynccontextmanager
async def journalled(
    server: LocalSymbl, directory: Path, drain: str = "none"
) -> AsyncIterator[tuple[SymblClient, list[Job]]]:
    """A client with a journal, and the jobs that it took up."""
    journal = JobJournal(directory)
    client = server.client(observers=[journal], **QUICK)
    await client.start()
    try:
        yield client, await journal.resume(client)
    finally:
        await client.aclose(drain=drain)  # type: ignore[arg-type]
        journal.close()


class Process:
    """A process with a journal."""

    def __init__(self, fork: Fork, reports: Connection) -> None:
        self._fork = fork
        self._reports = reports

    @classmethod
    async def start(cls, server: LocalSymbl, directory: Path, count: int) -> Process:
        reports, theirs = Pipe(duplex=False)
        fork = await Fork.start(run, theirs, server.base_url, str(directory), count)
        theirs.close()
        return cls(fork, reports)

    async def says(self) -> dict[str, list[str]]:
        """Return the ids of the jobs that it ``resumed``, and of those it has ``accepted``."""
        report: dict[str, list[str]] = await asyncio.to_thread(self._reports.recv)
        return report

    async def kill(self) -> None:
        await self._fork.kill()
        self._reports.close()


async def test_jobs_of_a_process_that_was_killed_are_seen_to_their_end(
    server: LocalSymbl, tmp_path: Path
):
    server.hold_jobs()
    process = await Process.start(server, tmp_path, 5)
    accepted = (await process.says())["accepted"]
    await process.kill()
    assert server.unfinished == 5

    async with journalled(server, tmp_path) as (client, jobs):
        assert sorted(job.id for job in jobs) == sorted(accepted)
        assert all(job.conversation_id for job in jobs)
        assert client.stats().jobs == 5
        server.release()
        for job in jobs:
            assert (await job).id == job.conversation_id

    assert os.listdir(tmp_path) == []


async def test_killed_again_and_again_no_job_is_lost(server: LocalSymbl, tmp_path: Path):
    server.hold_jobs()
    accepted: list[str] = []
    for _ in range(3):
        process = await Process.start(server, tmp_path, 2)
        told = await process.says()
        assert sorted(told["resumed"]) == sorted(accepted)
        accepted += told["accepted"]
        await process.kill()

    async with journalled(server, tmp_path) as (_, jobs):
        assert sorted(job.id for job in jobs) == sorted(accepted)
        assert len(jobs) == 6


async def test_the_living_do_not_take_each_others_jobs(server: LocalSymbl, tmp_path: Path):
    server.hold_jobs()
    first = await Process.start(server, tmp_path, 1)
    told = [await first.says()]
    second = await Process.start(server, tmp_path, 1)
    told.append(await second.says())
    assert [each["resumed"] for each in told] == [[], []]

    await first.kill()
    async with journalled(server, tmp_path) as (_, jobs):
        assert [job.id for job in jobs] == told[0]["accepted"]
    await second.kill()


async def test_many_that_start_at_once_share_the_jobs_of_the_dead(
    server: LocalSymbl, tmp_path: Path
):
    server.hold_jobs()
    dead = [await Process.start(server, tmp_path, 3) for _ in range(2)]
    accepted = [id for process in dead for id in (await process.says())["accepted"]]
    for process in dead:
        await process.kill()

    living = await asyncio.gather(*(Process.start(server, tmp_path, 0) for _ in range(4)))
    told = await asyncio.gather(*(process.says() for process in living))
    for process in living:
        await process.kill()

    resumed = [id for each in told for id in each["resumed"]]
    assert sorted(resumed) == sorted(accepted)  # each by one of them


async def test_a_job_that_ended_is_crossed_out_and_one_that_goes_on_is_not(
    server: LocalSymbl, tmp_path: Path
):
    server.inject("job_fails")
    async with journalled(server, tmp_path) as (client, _):
        failed = await client.submit(Text("One."))
        with pytest.raises(JobFailedError):
            await failed
        await client.process(Text("Two."))
        server.hold_jobs()
        running = await client.submit(Text("Three."))

    async with journalled(server, tmp_path) as (_, jobs):
        assert [job.id for job in jobs] == [running.id]
        assert jobs[0].token == running.token


async def test_a_job_that_wrong_credentials_hide_is_followed_once_they_are_corrected(
    server: LocalSymbl, tmp_path: Path
):
    server.hold_jobs()
    async with journalled(server, tmp_path) as (client, _):
        job = await client.submit(Text("The secret is replaced meanwhile."))
        server.inject("status:401", on="job", times=1000)
        with pytest.raises(JobLostError):
            await job

    server.clear_faults()
    async with journalled(server, tmp_path) as (_, jobs):
        assert [found.id for found in jobs] == [job.id]


async def test_nothing_is_left_of_a_journal_without_jobs(server: LocalSymbl, tmp_path: Path):
    async with journalled(server, tmp_path / "below" / "this", drain="jobs") as (client, _):
        await client.submit(Text("One."))
        assert len(os.listdir(tmp_path / "below" / "this")) > 0

    assert os.listdir(tmp_path / "below" / "this") == []


@pytest.mark.parametrize(
    "content",
    [b"this is no database" * 100, b"SQLite format 3\0" + bytes(5000)],
    ids=["text", "zeros"],
)
async def test_a_broken_file_does_not_stop_the_start(
    server: LocalSymbl, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
):
    server.hold_jobs()
    process = await Process.start(server, tmp_path, 1)
    accepted = (await process.says())["accepted"]
    await process.kill()
    (tmp_path / "1-aaaa.jobs").write_bytes(content)

    async with journalled(server, tmp_path) as (_, jobs):
        assert [job.id for job in jobs] == accepted
    assert "1-aaaa.jobs cannot be read" in caplog.text
    assert (tmp_path / "1-aaaa.jobs.broken").read_bytes() == content


def damage(directory: Path, at: int) -> None:
    for path in directory.iterdir():
        data = bytearray(path.read_bytes())
        data[at : at + 300] = bytes(300)
        path.write_bytes(data)


@pytest.mark.parametrize("at", [0, 100, 1000, 4096, -2000])
async def test_a_file_that_was_damaged_does_not_stop_the_start(
    server: LocalSymbl, tmp_path: Path, at: int
):
    server.hold_jobs()
    process = await Process.start(server, tmp_path, 3)
    await process.says()
    await process.kill()
    damage(tmp_path, at)

    async with journalled(server, tmp_path) as (client, jobs):
        assert len(jobs) <= 3
        await client.submit(Text("It goes on."))


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow in the block."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_start_on_a_full_disk_leaves_no_file(server: LocalSymbl, tmp_path: Path):
    with full_disk(), pytest.raises(ConfigurationError, match="cannot be written to"):
        async with journalled(server, tmp_path):
            pass

    assert os.listdir(tmp_path) == []


async def test_a_job_that_a_full_disk_keeps_out_is_named(
    server: LocalSymbl, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    server.hold_jobs()
    async with journalled(server, tmp_path) as (client, _):
        first = await client.submit(Text("Before."))
        with full_disk():
            job = await client.submit(Text("While it is full."))
        last = await client.submit(Text("Afterwards."))

    assert [record.message for record in caplog.records if job.id in record.message] == [
        f"job {job.id} is not in the journal (disk I/O error): if this process dies, "
        "no other follows it"
    ]
    async with journalled(server, tmp_path) as (_, jobs):
        assert [found.id for found in jobs] == [first.id, last.id]


async def test_jobs_that_cannot_be_taken_over_are_left_for_the_next_process(
    server: LocalSymbl, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    server.hold_jobs()
    async with journalled(server, tmp_path) as (client, _):
        tokens = [(await client.submit(Text("Hello."))).token for _ in range(8)]
    (name,) = os.listdir(tmp_path)
    with sqlite3.connect(tmp_path / name) as file:
        # White space that the journal of the next process has no room for.
        file.execute("UPDATE jobs SET token = token || ?", (" " * 30_000,))
    file.close()

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        async with journalled(server, tmp_path) as (_, jobs):
            assert jobs == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert f"{name} cannot be taken over now" in caplog.text
    async with journalled(server, tmp_path) as (_, jobs):
        assert [job.token for job in jobs] == tokens


@pytest.mark.parametrize("table", ["jobs (id, job_token)", "unfinished_jobs (id, token)"])
async def test_the_file_of_another_release_is_left_alone(
    server: LocalSymbl, tmp_path: Path, caplog: pytest.LogCaptureFixture, table: str
):
    with sqlite3.connect(tmp_path / "1-aaaa.jobs") as file:
        file.execute(f"CREATE TABLE {table}")
    file.close()

    async with journalled(server, tmp_path) as (_, jobs):
        assert jobs == []
    assert "1-aaaa.jobs cannot be taken over now" in caplog.text
    assert os.listdir(tmp_path) == ["1-aaaa.jobs"]


async def test_an_empty_file_or_one_without_a_table_is_nobodys(server: LocalSymbl, tmp_path: Path):
    (tmp_path / "1-aaaa.jobs").touch()
    with sqlite3.connect(tmp_path / "2-bbbb.jobs") as file:
        file.execute("CREATE TABLE other (id)")
        file.execute("DROP TABLE other")
    file.close()

    async with journalled(server, tmp_path) as (_, jobs):
        assert jobs == []
    assert os.listdir(tmp_path) == ["1-aaaa.jobs"]  # another process may be about to lock it


async def test_a_job_of_another_host_is_left_alone_and_kept(
    server: LocalSymbl, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    server.hold_jobs()
    async with journalled(server, tmp_path) as (client, _):
        elsewhere = await client.submit(Text("One."))
    async with LocalSymbl() as other:
        async with journalled(other, tmp_path) as (_, jobs):
            assert jobs == []
        assert "left alone" in caplog.text

    async with journalled(server, tmp_path) as (_, jobs):
        assert [job.id for job in jobs] == [elsewhere.id]


async def test_a_directory_that_cannot_be_written_to_is_a_wrong_setting(
    server: LocalSymbl, tmp_path: Path
):
    (tmp_path / "file").touch()
    async with server.client() as client:
        with pytest.raises(ConfigurationError, match="cannot be written to"):
            await JobJournal(tmp_path / "file").resume(client)


async def test_a_journal_serves_one_client_at_a_time(server: LocalSymbl, tmp_path: Path):
    journal = JobJournal(tmp_path)
    async with server.client() as one, server.client() as two:
        await journal.resume(one)
        with pytest.raises(ConfigurationError, match="in use"):
            await journal.resume(two)
        journal.close()
        await journal.resume(two)
    journal.close()
    journal.close()


async def test_a_journal_that_was_not_opened_says_so(
    server: LocalSymbl, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with server.client(observers=[JobJournal(tmp_path)]) as client:
        await client.submit(Text("One."))

    assert "call resume(client) first" in caplog.text


async def test_a_job_that_was_taken_up_counts_and_its_status_is_not_known_yet(
    server: LocalSymbl, tmp_path: Path
):
    server.hold_jobs()
    async with journalled(server, tmp_path) as (client, _):
        await client.submit(Text("One."))
    server.inject("status:503", on="job", times=10_000)

    async with journalled(server, tmp_path) as (client, jobs):
        assert client.stats().jobs == 1
        assert jobs[0].status is JobStatus.UNKNOWN
        assert client.job(jobs[0].id) is jobs[0]


async def test_writing_an_event_down_blocks_the_loop_for_no_time(
    server: LocalSymbl, tmp_path: Path
):
    """Generous by some orders of magnitude: a flush to the disk would show, nothing else."""
    journal = JobJournal(tmp_path)
    async with server.client(observers=[journal], **QUICK) as client:
        await journal.resume(client)
        began = perf_counter()
        for number in range(2000):
            journal(SubmissionAccepted("key", "conversation", f"job-{number}", "token"))
        assert (perf_counter() - began) / 2000 < 0.002
    journal.close()
