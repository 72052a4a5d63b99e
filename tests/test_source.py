"""Events, log lines, messages and handles name what was submitted, and give away no link."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest

from symbl_aio import (
    AmbiguousSubmissionError,
    Audio,
    AudioURL,
    Event,
    JobStatusChanged,
    MediaOptions,
    SubmissionQueued,
    Text,
    TextOptions,
    UploadError,
    VideoURL,
)
from symbl_aio._source_names import source_name, source_of
from symbl_aio.media import Media, Recording
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK
from tests.tables import table


def _source_of(event: Event) -> str | None:
    return event.source_name if isinstance(event, JobStatusChanged) else event.source


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "monday.wav"
    path.write_bytes(_wav())
    return path


def _wav() -> bytes:
    data = b"\0\0" * 1600
    head = b"WAVEfmt " + b"".join(
        n.to_bytes(size, "little")
        for n, size in ((16, 4), (1, 2), (1, 2), (16000, 4), (32000, 4), (2, 2), (16, 2))
    )
    body = head + b"data" + len(data).to_bytes(4, "little") + data
    return b"RIFF" + len(body).to_bytes(4, "little") + body


async def test_every_event_and_log_line_of_a_file_names_it(
    server: LocalSymbl, wav: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Event] = []
    with caplog.at_level(logging.DEBUG, logger="symbl_aio"):
        async with server.client(observers=[told.append], **QUICK) as symbl:
            submission = symbl.submit(wav)
            assert submission.source == "monday.wav"
            assert "(monday.wav)" in repr(submission)
            job = await submission
            await job
    assert job.source == "monday.wav"
    assert {type(event).__name__ for event in told} >= {
        *(
            "SubmissionQueued",
            "SubmissionStarted",
            "SubmissionAccepted",
            "JobStatusChanged",
            "JobEnded",
        )
    }
    assert {_source_of(event) for event in told} == {"monday.wav"}
    lines = [r for r in caplog.records if hasattr(r, "symbl_key") or hasattr(r, "symbl_job_id")]
    assert len(lines) == len(told)
    assert all("monday.wav" in line.getMessage() for line in lines)


async def test_a_refused_and_a_failed_one_are_named_too(server: LocalSymbl, tmp_path: Path) -> None:
    told: list[Event] = []
    async with server.client(observers=[told.append], **QUICK) as symbl:
        with pytest.raises(Exception, match=r"gone\.wav"):
            await symbl.submit(tmp_path / "gone.wav")
    assert [type(e).__name__ for e in told][-1] == "SubmissionEnded"
    assert {_source_of(event) for event in told} == {"gone.wav"}


async def test_an_ambiguous_submission_says_of_what_it_is(server: LocalSymbl, wav: Path) -> None:
    server.inject("accept_then_drop", on="POST")
    async with server.client(**QUICK) as symbl:
        with pytest.raises(AmbiguousSubmissionError, match=r"submission mine \(monday\.wav\)"):
            await symbl.submit(wav, key="mine")


async def test_a_text_has_no_source_and_none_of_its_words_is_told(server: LocalSymbl) -> None:
    told: list[Event] = []
    async with server.client(observers=[told.append], **QUICK) as symbl:
        job = await symbl.submit(Text("Hushhush."), TextOptions(name="Board"), key="mine")
        await job
    assert {_source_of(event) for event in told} == {None}
    assert "Hushhush" not in "".join(map(str, told))


async def test_an_upload_that_fails_says_of_what_it_is(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        with pytest.raises(UploadError, match=r"^Board: .*exact size"):
            await symbl.submit(Audio(_stream(), size=10_000), MediaOptions(name="Board"))


async def _stream() -> AsyncIterator[bytes]:
    yield _wav()


@pytest.mark.parametrize(
    ("options", "key", "expected"),
    [
        (MediaOptions(name="Q3/Q4 call"), "mine", "Q3/Q4 call"),
        (None, "mine", "mine"),
        (MediaOptions(), None, None),
    ],
)
async def test_bytes_and_streams_have_the_name_that_the_caller_gave(
    server: LocalSymbl, options: MediaOptions | None, key: str | None, expected: str | None
) -> None:
    async with server.client(**QUICK) as symbl:
        for media in (Audio(_wav()), Audio(_stream(), size=len(_wav()))):
            submission = symbl.submit(media, options, key=key)
            assert submission.source == expected
            assert (await submission).source == expected


async def test_a_job_attached_by_its_token_has_no_source(server: LocalSymbl, wav: Path) -> None:
    async with server.client(**QUICK) as symbl:
        job = await symbl.submit(wav)
        token = job.token
        await job
    async with server.client(**QUICK) as later:
        assert later.job(token).source is None


@table(
    "url",
    [
        "https://user:hush@cdn.example.com:8443/a/hush/call.mp3?X-Signature=hush&hush#hush",
        "https://cdn.example.com/call.mp3;token=hush",
        "https://cdn.example.com/call.mp3%3Ftoken=hush",
        "https://cdn.example.com/call.mp3%3btoken=hush",
        "https://cdn.example.com/call.mp3/?hush",
        "https://CDN.example.com/call.mp3&token=hush",
    ],
)
def test_of_a_link_only_host_and_last_part_are_told(url: str) -> None:
    for link in (AudioURL(url), VideoURL(url)):
        assert source_name(link) == "cdn.example.com/call.mp3"


def test_a_name_is_one_line_whatever_a_file_is_called() -> None:
    cases = {
        "a\nb\r\x1b[31m.wav": "a\ufffdb\ufffd\ufffd[31m.wav",
        "a\u2028b\u202e.wav": "a\ufffdb\ufffd.wav",
        "bad\udcff.wav": "bad\ufffd.wav",
        "Bildschirm\u202f12\u00a0Uhr.mov": "Bildschirm\u202f12\u00a0Uhr.mov",
        "/data/new/": "new",
        "\u0645\u06cc\u200c\u062e.wav": "\u0645\u06cc\u200c\u062e.wav",
    }
    assert {path: source_name(path) for path in cases} == cases
    assert len(source_name("x" * 5000 + ".wav")) == 120


def test_a_source_is_named_by_the_caller_and_a_file_by_its_own_name() -> None:
    assert source_of(Audio(b"x" * 100), "mine") == "mine"
    assert source_of(Audio(b"x" * 100), None) is None
    assert source_of(Text("Hello."), "mine") is None
    media: Media | Recording = Recording("/data/call.wav")
    assert source_of(media, "mine") == "call.wav"


def test_an_event_made_without_a_source_has_none() -> None:
    assert SubmissionQueued("key", None).source is None
    assert "source" in {field.name for field in attrs.fields(SubmissionQueued)}


async def test_withdrawn_and_halted_ones_keep_their_names(server: LocalSymbl, wav: Path) -> None:
    told: list[Event] = []
    async with server.client(observers=[told.append], **QUICK) as symbl:
        submission = symbl.submit(wav)
        assert submission.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submission
        assert "(monday.wav) ended" in repr(submission)
    assert _source_of(told[-1]) == "monday.wav"
