"""No submission is ever sent twice: every kind, against a server that takes it and goes silent.

aiohttp sends an idempotent request again, by itself, when a connection drops; a second PUT
is a second append. ``make test-oldest`` runs this file on the oldest and the newest
aiohttp that the project supports.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from symbl_aio import (
    AmbiguousSubmissionError,
    APIError,
    Audio,
    AudioURL,
    Text,
    Video,
    VideoURL,
)
from symbl_aio.media import MediaLike
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK, mp4_bytes

LINK = "https://recordings.example.com/standup.mp4"


async def _stream(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 100_000):
        yield data[at : at + 100_000]


def _video_file(folder: Path) -> MediaLike:
    path = folder / "standup.mp4"
    path.write_bytes(mp4_bytes(3 * 2**20))
    return Video(path)


def _audio_file(folder: Path) -> MediaLike:
    path = folder / "standup.mp3"
    path.write_bytes(b"ID3\x04" + bytes(3 * 2**20))
    return Audio(path)


MEDIA: dict[str, Callable[[Path], MediaLike]] = {
    "text": lambda _: Text("Hello."),
    "text of a megabyte": lambda _: Text("Hello there. " * 80_000),
    "audio url": lambda _: AudioURL(LINK),
    "video url": lambda _: VideoURL(LINK),
    "audio file": _audio_file,
    "video file": _video_file,
    "audio bytes": lambda _: Audio(b"ID3\x04" + bytes(1000)),
    "video bytes": lambda _: Video(mp4_bytes(1000)),
    "audio stream": lambda _: Audio(_stream(b"ID3\x04" + bytes(500_000)), size=500_004),
    "video stream": lambda _: Video(_stream(mp4_bytes(500_000)), size=500_000),
}


@pytest.mark.parametrize("verb", ["POST", "PUT"])
@pytest.mark.parametrize("kind", MEDIA)
@pytest.mark.parametrize("fault", ["accept_then_drop", "half_answer", "status:500"])
async def test_what_was_taken_whole_is_never_sent_again(
    server: LocalSymbl, tmp_path: Path, kind: str, verb: str, fault: str
) -> None:
    media = MEDIA[kind](tmp_path)
    async with server.client(**QUICK) as symbl:
        opened = await symbl.process(Text("We begin."))
        server.inject(fault, on=verb)
        before = len(server.submissions)
        submission = symbl.submit(media) if verb == "POST" else opened.append(media)
        with pytest.raises(AmbiguousSubmissionError):
            await submission
    assert [(r.method, r.complete) for r in server.submissions[before:]] == [(verb, True)], (
        f"aiohttp {aiohttp.__version__}"
    )


@pytest.mark.parametrize("verb", ["POST", "PUT"])
async def test_a_large_file_that_was_taken_whole_is_never_sent_again(
    server: LocalSymbl, tmp_path: Path, way: str, verb: str
) -> None:
    path = tmp_path / "standup.mp4"
    path.write_bytes(mp4_bytes(8 * 2**20))
    async with server.client(**QUICK) as symbl:
        opened = await symbl.process(Text("We begin."))
        server.inject("accept_then_drop", on=verb)
        before = len(server.submissions)
        with pytest.raises(AmbiguousSubmissionError):
            await (symbl.submit(path) if verb == "POST" else opened.append(path))
    sent = server.submissions[before:]
    assert [(r.method, r.complete, r.size) for r in sent] == [(verb, True, 8 * 2**20)]


@pytest.mark.parametrize("verb", ["POST", "PUT"])
@pytest.mark.parametrize("kind", MEDIA)
async def test_no_redirect_takes_a_submission_along(
    server: LocalSymbl, tmp_path: Path, kind: str, verb: str
) -> None:
    media = MEDIA[kind](tmp_path)
    async with LocalSymbl() as elsewhere, server.client(**QUICK) as symbl:
        opened = await symbl.process(Text("We begin."))
        server.inject(f"redirect:{elsewhere.base_url}/v1/process/text", on=verb)
        before = len(server.submissions)
        with pytest.raises(APIError) as refused:
            await (symbl.submit(media) if verb == "POST" else opened.append(media))
        assert refused.value.status == 307
        assert len(server.submissions) == before + 1
        assert elsewhere.requests == []
