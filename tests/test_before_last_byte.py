"""What a program notes before the last byte is noted before the server can have accepted."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from symbl_aio import Retries, Text, Timeouts, UploadError, UploadStalledError, Video
from symbl_aio.media import MediaLike
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK, mp4_bytes


@pytest.fixture(params=["text", "bytes", "file", "large", "large, read"])
def media(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MediaLike:
    if request.param == "large, read":
        monkeypatch.delattr(os, "sendfile")  # as on Windows
    if request.param == "text":
        return Text("Hello.")
    if request.param == "bytes":
        return Video(mp4_bytes(1000))
    path = tmp_path / "talk.mp4"
    path.write_bytes(mp4_bytes(1000 if request.param == "file" else 5_000_000))
    return path


async def test_until_it_returns_nothing_is_accepted(server: LocalSymbl, media: MediaLike) -> None:
    asked, noted, times = asyncio.Event(), asyncio.Event(), 0

    async def note() -> None:
        nonlocal times
        times += 1
        asked.set()
        await noted.wait()

    async with server.client(**QUICK) as symbl:
        submission = symbl.submit(media, before_last_byte=note)
        await asked.wait()
        assert not any(received.complete for received in server.submissions)
        assert not submission.done()
        noted.set()
        await (await submission)
    assert [received.complete for received in server.submissions] == [True]
    assert times == 1


async def test_what_it_raises_fails_the_submission_and_nothing_was_accepted(
    server: LocalSymbl, media: MediaLike
) -> None:
    async def refuse() -> None:
        raise ConnectionError("the database is gone: postgresql://user:secret@host")

    async with server.client(**QUICK) as symbl:
        conversation = await symbl.process(Text("We begin."))
        submission = symbl.append(conversation.id, media, before_last_byte=refuse)
        with pytest.raises(UploadError, match="before_last_byte raised ConnectionError") as failed:
            await submission
        assert "secret" not in str(failed.value)
        await (await symbl.append(conversation.id, Text("We go on.")))
        assert len(server.appended(conversation.id)) == 1


async def test_it_is_asked_again_for_each_attempt(server: LocalSymbl) -> None:
    notes = 0

    async def note() -> None:
        nonlocal notes
        notes += 1

    async with server.client(**QUICK) as symbl:
        server.inject("retry_after:503:0", on="POST", times=2)
        await (await symbl.submit(Text("Hello."), before_last_byte=note))
    assert notes == 3


async def test_it_has_the_time_of_a_stall_and_no_more(server: LocalSymbl) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    settings = QUICK | {
        "timeouts": Timeouts(connect=0.3, stall=0.05),
        "retries": Retries(attempts=1),
    }
    async with server.client(**settings) as symbl:
        with pytest.raises(UploadStalledError):
            await symbl.submit(Text("Hello."), before_last_byte=hang)
    assert not any(received.accepted for received in server.submissions)


async def test_a_submission_withdrawn_meanwhile_is_not_accepted(server: LocalSymbl) -> None:
    asked = asyncio.Event()

    async def hang() -> None:
        asked.set()
        await asyncio.Event().wait()

    async with server.client(**QUICK) as symbl:
        submission = symbl.submit(Text("Hello."), before_last_byte=hang)
        await asked.wait()
        assert submission.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submission
    assert not any(received.accepted for received in server.submissions)
