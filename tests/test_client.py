"""What the client refuses, and how it says so; slots, keys and one-shot sources."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from symbl_aio import (
    AccessToken,
    AmbiguousSubmissionError,
    AppendBlockedError,
    AuthenticationError,
    ConcurrencyLimitError,
    Config,
    ConfigurationError,
    Credentials,
    Event,
    FileChangedError,
    JobTimeoutError,
    Limits,
    MediaOptions,
    MediaRejectedError,
    QueueFullError,
    ServerError,
    SubmissionRefused,
    SymblClient,
    SymblError,
    Text,
    TextOptions,
    TransportError,
    UploadError,
    Video,
)
from symbl_aio.testing import LocalSymbl
from tests.names import CONTROLS, FILE_NAMES
from tests.support import QUICK, mp4_bytes
from tests.tables import table

# Bad input: refused before anything is sent


def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SYMBL_APP_ID", "SYMBL_APP_SECRET", "SYMBL_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match=r"SYMBL_APP_ID and SYMBL_APP_SECRET"):
        SymblClient()
    monkeypatch.setenv("SYMBL_APP_ID", "app")
    with pytest.raises(ConfigurationError, match=r": SYMBL_APP_SECRET not set"):
        SymblClient()


async def test_the_environment_tells_who_and_where(
    server: LocalSymbl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYMBL_APP_ID", "app")
    monkeypatch.setenv("SYMBL_APP_SECRET", "secret")
    monkeypatch.setenv("SYMBL_BASE_URL", server.base_url + "/")
    async with SymblClient() as symbl:
        assert (await symbl.submit(Text("Hello."))).conversation_id
        assert "secret" not in repr(symbl) + repr(symbl.config)


async def test_wrong_credentials_are_refused_and_no_media_is_sent(server: LocalSymbl) -> None:
    config = Config(base_url=server.base_url, **QUICK)
    async with SymblClient(Credentials("app", "wrong-secret-value"), config=config) as symbl:
        with pytest.raises(AuthenticationError, match="app id or secret") as refused:
            await symbl.submit(Text("Hello."))
        assert "wrong-secret-value" not in repr(refused.value) + str(refused.value)
    async with SymblClient(AccessToken("no-such-token"), config=config) as symbl:
        with pytest.raises(AuthenticationError) as rejected:
            await symbl.submit(Text("Hello."))
        assert "no-such-token" not in repr(rejected.value) + str(rejected.value)
    assert not any(received.accepted for received in server.submissions)


@table("credentials", ["a-token", ("app", "secret"), 5])
def test_credentials_of_the_wrong_type_are_refused(credentials: Any) -> None:
    with pytest.raises(ConfigurationError, match="credentials is a") as refused:
        SymblClient(credentials)
    assert "a-token" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("missing.mp4", None, "cannot be opened"),
        ("empty.mp4", b"", "empty"),
        ("notes.mp4", b"Just some notes, no recording at all.", "format"),
    ],
)
@pytest.mark.parametrize("as_video", [True, False])
async def test_a_file_that_is_no_recording_is_refused(
    server: LocalSymbl,
    tmp_path: Path,
    name: str,
    content: bytes | None,
    complaint: str,
    as_video: bool,
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    async with server.client(**QUICK) as symbl:
        with pytest.raises(MediaRejectedError, match=complaint) as refused:
            await symbl.submit(Video(path) if as_video else path)
        assert name in str(refused.value)
    assert server.submissions == []


async def test_options_of_another_kind_are_refused(server: LocalSymbl) -> None:
    async with server.client() as symbl:
        with pytest.raises(ConfigurationError, match="language_code"):
            symbl.submit(Text("Hello."), MediaOptions(language_code="en-US"))
        with pytest.raises(ConfigurationError, match="MediaOptions"):
            symbl.submit("standup.mp4", TextOptions(name="Standup"))
        with pytest.raises(ConfigurationError, match="Audio"):
            symbl.submit(b"RIFF")  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["12/34", "", "..", "a\r\nb", "a\\b", " "])
async def test_an_id_that_is_none_is_refused(server: LocalSymbl, bad: str) -> None:
    async with server.client() as symbl:
        with pytest.raises(ConfigurationError, match="conversation_id"):
            symbl.append(bad, Text("Hello."))
        with pytest.raises(ConfigurationError, match="conversation_id"):
            symbl.conversation(bad)
        with pytest.raises(ConfigurationError, match="job_id"):
            symbl.job(bad)
    assert server.requests == []


async def test_handles_of_another_client_are_refused(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as mine, server.client(**QUICK) as other:
        submission = mine.submit(Text("Hello."))
        job = await submission
        for handle in (submission, job):
            with pytest.raises(ConfigurationError, match="another client"):
                other.append(handle, Text("Hello."))


async def test_a_call_from_another_thread_is_refused(server: LocalSymbl) -> None:
    caught: list[Exception] = []
    async with server.client() as symbl:

        def call() -> None:
            try:
                symbl.submit(Text("Hello."))
            except SymblError as error:
                caught.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        await asyncio.to_thread(thread.join)
    assert isinstance(caught[0], ConfigurationError)


# Queue, keys and slots


async def test_the_queue_has_a_limit(server: LocalSymbl) -> None:
    async with server.client(limits=Limits(jobs=1, queued=3), **QUICK) as symbl:
        server.hold_jobs()
        await symbl.submit(Text("Running."))
        waiting = [symbl.submit(Text("Waiting.")) for _ in range(3)]
        with pytest.raises(QueueFullError, match=r"client\.map"):
            symbl.submit(Text("Too many."))
        server.release()
        await asyncio.gather(*waiting)


async def test_a_key_names_unfinished_work_once(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        server.hold_jobs()
        submission = symbl.submit(Text("Hello."), key="call-17")
        assert symbl.submit(Text("Hello."), key="call-17") is submission
        job = await submission
        assert symbl.submit(Text("Hello."), key="call-17") is submission
        server.release()
        await job
        again = symbl.submit(Text("Hello."), key="call-17")
        assert again is not submission
        await (await again)
        assert len(server.submissions) == 2
        for bad in ("", " ", "a\nb", 5, *(f"a{bad}b" for bad in CONTROLS)):
            with pytest.raises(ConfigurationError, match="key"):
                symbl.submit(Text("Hello."), key=bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FILE_NAMES)
async def test_names_of_files_from_real_machines_are_keys_and_names(
    server: LocalSymbl, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(mp4_bytes())
    async with server.client(**QUICK) as symbl:
        submission = symbl.submit(path, MediaOptions(name=name), key=path.name)
        await (await submission)

    assert submission.key == name
    assert server.submissions[0].query["name"] == name


async def test_patience_for_a_slot_can_be_limited(server: LocalSymbl) -> None:
    async with server.client(limits=Limits(jobs=1, wait_for_slot=0.05), **QUICK) as symbl:
        server.hold_jobs()
        running = await symbl.submit(Text("Running."))
        behind = symbl.append(running, Text("Behind it, and so not waiting for a slot."))
        with pytest.raises(ConcurrencyLimitError, match="wait_for_slot") as full:
            await symbl.submit(Text("No room."))
        assert full.value.status == 429
        assert not behind.done()
        server.release()
        await (await behind)


async def test_patience_ends_for_those_behind_others_too(server: LocalSymbl) -> None:
    async with server.client(limits=Limits(jobs=1, wait_for_slot=0.05), **QUICK) as symbl:
        conversation = await symbl.process(Text("We begin."))
        server.hold_jobs()
        await symbl.submit(Text("Running, and in another conversation."))
        waiting = [conversation.append(Text(f"Part {n}.")) for n in range(3)]
        for one in waiting:
            with pytest.raises(ConcurrencyLimitError):
                await one
        assert symbl.stats().queued == 0


async def test_the_clock_does_not_call_while_nobody_could_start() -> None:
    full = asyncio.Event()

    def observe(event: Event) -> None:
        if isinstance(event, SubmissionRefused):
            full.set()

    async with (
        LocalSymbl(job_limit=1) as server,
        server.client(observers=[observe], **QUICK) as symbl,
    ):
        first = await symbl.process(Text("We begin."))
        server.hold_jobs()
        one = await first.append(Text("It holds its lane."))
        refused = symbl.submit(Text("No slot for it."))
        await full.wait()
        behind = first.append(Text("It waits for its lane, not for a slot."))
        assert refused.cancel()
        assert symbl._engine._submissions._alarm is None
        server.release()
        await asyncio.gather(one, await behind)


async def test_a_429_is_never_the_callers_problem() -> None:
    async with (
        LocalSymbl(job_limit=1) as server,
        server.client(**QUICK) as other,
        server.client(**QUICK) as symbl,
    ):
        server.hold_jobs()
        elsewhere = await other.submit(Text("Another program's job."))
        ours = symbl.submit(Text("Ours."))
        await server.until(lambda: [r.status for r in server.submissions].count(429) >= 1)
        assert not ours.done()
        server.release()
        await asyncio.gather(elsewhere, await ours)


async def test_jobs_attached_again_count_towards_the_limit(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as earlier:
        server.hold_jobs()
        token = (await earlier.submit(Text("Earlier."))).token
    async with server.client(limits=Limits(jobs=1), **QUICK) as symbl:
        job = symbl.job(token)
        await job.refresh()
        late = symbl.submit(Text("Late."))
        await job.refresh()
        assert len(server.submissions) == 1
        server.release()
        await asyncio.gather(job, await late)


async def test_new_work_does_not_wait_for_the_end_of_jobs_attached_again(
    server: LocalSymbl,
) -> None:
    server.hold_jobs()
    async with server.client(**QUICK) as earlier:
        tokens = [(await earlier.submit(Text("Earlier."))).token for _ in range(5)]
    async with server.client(**QUICK) as symbl:
        jobs = [symbl.job(token) for token in tokens]
        for job in jobs:
            with pytest.raises(JobTimeoutError):
                await job.wait(timeout=0)
        await symbl.submit(Text("Late."))
        assert server.unfinished == 6
        server.release()
        await asyncio.gather(*jobs)


# One-shot sources


async def stream(data: bytes) -> AsyncIterator[bytes]:
    yield data[:100]
    yield data[100:]


async def test_a_stream_is_sent_as_it_comes(server: LocalSymbl) -> None:
    data = mp4_bytes(5000)
    async with server.client(**QUICK) as symbl:
        await (await symbl.submit(Video(stream(data), size=len(data))))
    assert server.submissions[0].size == len(data)


@pytest.mark.parametrize("fault", ["status:401", "status:429", "status:503", "drop_before_body"])
async def test_a_stream_is_never_tried_again(server: LocalSymbl, fault: str) -> None:
    data = mp4_bytes(5000)
    server.inject(fault, on="POST")
    async with server.client(**QUICK) as symbl:
        with pytest.raises(SymblError):
            await symbl.submit(Video(stream(data), size=len(data)))
        assert symbl.stats().uploading == 0
    assert len(server.submissions) == 1


async def test_a_stream_of_the_wrong_length_is_never_completed(server: LocalSymbl) -> None:
    data = mp4_bytes(5000)
    async with server.client(**QUICK) as symbl:
        for announced in (len(data) - 1, len(data) + 1):
            with pytest.raises(UploadError, match="exact size"):
                await symbl.submit(Video(stream(data), size=announced))
    await server.until(lambda: len(server.requests) >= len(server.submissions))
    assert not any(received.complete for received in server.submissions)


async def test_a_file_that_changes_while_it_waits_is_read_as_it_is_then(
    server: LocalSymbl, tmp_path: Path
) -> None:
    path = tmp_path / "growing.mp4"
    path.write_bytes(mp4_bytes(1000))
    async with server.client(limits=Limits(jobs=1), **QUICK) as symbl:
        server.hold_jobs()
        running = await symbl.submit(Text("Running."))
        waiting = symbl.submit(path)
        path.write_bytes(mp4_bytes(2000))
        server.release()
        await asyncio.gather(running, await waiting)
    assert server.submissions[-1].size == 2000


def _add_to(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


async def test_a_file_that_changes_under_an_upload_is_never_completed(
    server: LocalSymbl, tmp_path: Path, way: str
) -> None:
    path = tmp_path / "growing.mp4"
    path.write_bytes(mp4_bytes(64 * 2**20))
    async with server.client(**QUICK) as symbl:
        submission = symbl.submit(path)
        async for progress in submission.progress():
            if 0 < progress.sent < progress.total:
                _add_to(path)
                break
        with pytest.raises(FileChangedError, match="size"):
            await submission
    await server.until(lambda: len(server.requests) >= 2)
    assert not server.submissions[0].complete


# The rest of the world


async def test_a_host_that_is_not_there_is_a_clear_error(unused_tcp_port: int) -> None:
    config = Config(base_url=f"http://127.0.0.1:{unused_tcp_port}", **QUICK)
    async with SymblClient(Credentials("app", "secret"), config=config) as symbl:
        with pytest.raises(TransportError, match="cannot connect") as nobody:
            await symbl.submit(Text("Hello."))
        assert nobody.value.sent == "no"


async def test_a_borrowed_session_is_used_and_not_closed(server: LocalSymbl) -> None:
    credentials = Credentials("app", "secret")
    config = Config(base_url=server.base_url, **QUICK)
    async with aiohttp.ClientSession() as session:
        async with SymblClient(credentials, config=config, session=session) as symbl:
            await (await symbl.submit(Text("Hello.")))
        assert not session.closed
    with pytest.raises(ConfigurationError, match="session is closed"):
        await SymblClient(credentials, config=config, session=session).start()


async def test_stats_say_what_is_going_on(server: LocalSymbl) -> None:
    async with server.client(limits=Limits(jobs=1), **QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Running."))
        waiting = symbl.submit(Text("Waiting."))
        stats = symbl.stats()
        assert (stats.queued, stats.uploading, stats.jobs, stats.limit) == (1, 0, 1, 1)
        assert stats.oldest_job is not None
        assert stats.oldest_job >= 0
        server.release()
        await asyncio.gather(job, await waiting)
        assert symbl.stats().polls >= 2


async def test_a_submission_is_withdrawn_before_its_first_step(server: LocalSymbl) -> None:
    async with server.client(limits=Limits(jobs=1), **QUICK) as symbl:
        withdrawn = symbl.submit(Text("Never mind."))
        behind = symbl.append(withdrawn, Text("Nor this."))
        assert symbl.stats().uploading == 1
        assert withdrawn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await withdrawn
        with pytest.raises(AppendBlockedError):
            await behind
        assert symbl.stats().uploading == symbl.stats().queued == 0
        await symbl.process(Text("The one slot is free."))
    assert len(server.submissions) == 1


async def test_a_submission_is_withdrawn_while_it_is_surely_not_accepted(
    server: LocalSymbl,
) -> None:
    parts: asyncio.Queue[bytes] = asyncio.Queue()

    async def slowly() -> AsyncIterator[bytes]:
        while part := await parts.get():
            yield part

    async with server.client(**QUICK) as symbl:
        submission = symbl.submit(Video(slowly(), size=1000))
        for part in (mp4_bytes(500), bytes(500)):
            parts.put_nowait(part)
        await server.until(lambda: server.submissions and server.submissions[0].size > 0)
        assert submission.cancel()
        assert not submission.cancel()
        parts.put_nowait(b"")
        with pytest.raises(asyncio.CancelledError):
            await submission
        await server.until(lambda: len(server.requests) >= 2)
        assert not server.submissions[0].complete
        assert symbl.stats().uploading == 0


async def test_stats_name_the_conversations_that_are_halted(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        conversation = await symbl.process(Text("We begin."))
        server.inject("accept_then_drop", on="PUT")
        with pytest.raises(AmbiguousSubmissionError):
            await conversation.append(Text("Perhaps."))
        assert symbl.stats().halted == (conversation.id,)
        conversation.resume_appends()
        assert symbl.stats().halted == ()


async def test_polls_that_all_fail_are_seen_in_the_stats_and_told_once(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("symbl_aio._io.poller._OUTAGE", 0.0)
    async with server.client(**QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Hello."))
        await job.refresh()
        assert symbl.stats().polls_failing_for is None
        server.inject("status:500", on="job", times=3)
        for _ in range(3):
            with pytest.raises(ServerError):
                await job.refresh()
        assert symbl.stats().polls_failing_for is not None
        server.clear_faults()
        server.release()
        await job
        assert symbl.stats().polls_failing_for is None
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert ["every poll has failed" in told[0], *told[1:]] == [True, "polls are answered again"]
