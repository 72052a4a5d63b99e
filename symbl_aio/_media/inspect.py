"""Decide whether the API would take a recording, by the few of its bytes that matter.

Knows no disk: ``examine`` asks for bytes and is sent them, and ``feed`` answers it from
whatever holds them.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Generator
from typing import Final, TypeAlias, TypeVar

from attrs import frozen

from symbl_aio._errors import MediaRejectedError
from symbl_aio._media.containers import (
    HEAD_BYTES,
    UNKNOWN,
    Container,
    mp4_duration,
    sniff,
    wav_duration,
)
from symbl_aio.media import Audio, Recording, Video, describe

__all__ = ["recording_of"]

T = TypeVar("T")

LONGEST: Final = 4 * 3600.0
"""Seconds of the longest recording that the API takes (FAQ page)."""

_TAKEN: Final = (
    "the API takes mp4 video and these audio formats: "
    "mp3, wav, amr, aac, ac3, aiff, flac, ogg, opus, wma, m4a"
)


@frozen
class Verdict:
    """The recording with its kind settled, the header to send with it, and its seconds."""

    media: Audio | Video
    content_type: str | None
    duration: float | None


Examination: TypeAlias = Generator[tuple[int, int], bytes, Verdict]


def content_type(media: Audio | Video, container: Container = UNKNOWN) -> str | None:
    """Give the header of a file body; ``None``: none may be sent (Audio and Video pages)."""
    if isinstance(media, Video):
        return "video/mp4"
    return media.content_type or container.content_type


def require_mp4(media: Video, head: bytes) -> None:
    """Raise ``MediaRejectedError`` unless a video begins like an mp4. Its brand is enough."""
    container = sniff(head)
    if not container.is_mp4:
        raise MediaRejectedError(
            f"{describe(media)} is {_format(container)}, not an mp4, which is all that the "
            "Video API takes; convert it, or give Audio(...) if it is a sound recording"
        )


def examine(media: Audio | Video | Recording, size: int) -> Examination:
    """Ask for ``(offset, length)``, be sent the bytes, and return the verdict.

    A few kilobytes are asked for, whatever the ``size``. Raises ``MediaRejectedError``
    for what is empty, of the wrong kind or longer than four hours.
    """
    if size == 0:
        raise MediaRejectedError(
            f"{describe(media)} is empty; submit it once the recording is complete"
        )
    head = yield (0, min(HEAD_BYTES, size))
    container = sniff(head)
    settled = _settle(media, container) if isinstance(media, Recording) else media
    if isinstance(settled, Video):
        require_mp4(settled, head)
    if container.is_mp4:
        duration = yield from mp4_duration(size)
    else:
        duration = wav_duration(head, size)
    if duration is not None and duration > LONGEST:
        raise MediaRejectedError(
            f"{describe(media)} lasts {duration / 3600:.2f} hours and the API takes at most "
            f"{LONGEST / 3600:.0f}; cut it and append the parts to one conversation"
        )
    return Verdict(settled, content_type(settled, container), duration)


def feed(examination: Generator[tuple[int, int], bytes, T], read: Callable[[int, int], bytes]) -> T:
    """Answer every request with ``read(offset, length)``, and give what comes out."""
    try:
        wanted = next(examination)
        while True:
            wanted = examination.send(read(*wanted))
    except StopIteration as end:
        result: T = end.value
        return result


def recording_of(head: bytes, stream: AsyncIterable[bytes], *, size: int) -> Audio | Video:
    """Make an ``Audio`` or ``Video`` of a stream, as its first bytes tell.

    ``stream`` gives all of its ``size`` bytes, ``head`` among them, which should be 4096
    bytes or all there are. The content type of a wav or mp3 is told to the API, too. No I/O.

    Raises ``MediaRejectedError`` if the API takes it neither as a recording of sound nor as
    a video, and ``ConfigurationError`` for a size below 1.
    """
    container = sniff(head)
    if container.kind == "video":
        return Video(stream, size=size)
    if container.kind is None:
        raise MediaRejectedError(f"the recording is {_format(container)}; {_TAKEN}")
    return Audio(stream, size=size, content_type=container.content_type)


def _settle(recording: Recording, container: Container) -> Audio | Video:
    if container.kind is None:
        raise MediaRejectedError(
            f"{describe(recording)} is {_format(container)}; {_TAKEN}. "
            "Convert it, or give Audio(path) if it is one of them"
        )
    return Video(recording.path) if container.kind == "video" else Audio(recording.path)


def _format(container: Container) -> str:
    return "of an unknown format" if container is UNKNOWN else f"of the format {container.name}"
