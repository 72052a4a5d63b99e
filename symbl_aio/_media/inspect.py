"""Inspection of a recording by a few of its bytes: whether the API would accept it.

No I/O: ``examine`` yields the ranges of bytes that it needs, and ``feed`` sends them to it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable, Generator
from typing import Final, TypeAlias, TypeVar

from attrs import field, frozen

from symbl_aio._error_classes import MediaRejectedError
from symbl_aio._media.containers import (
    HEAD_BYTES,
    UNKNOWN,
    Container,
    flac_duration,
    mp4_duration,
    mp4_fault,
    ogg_fault,
    sniff,
    wav_duration,
    wav_fault,
)
from symbl_aio._threads import Watch
from symbl_aio.media import Audio, Media, Recording, Video, describe

__all__ = ["recording_of"]

T = TypeVar("T")

MAX_SECONDS: Final = 4 * 3600.0
"""Seconds of the longest recording that the API accepts (FAQ page)."""

_ACCEPTED: Final = (
    "the API takes mp4 video and these audio formats: "
    "mp3, wav, amr, aac, ac3, aiff, flac, ogg, opus, wma, m4a"
)


@frozen
class Identity:
    """Identity of a file, which must not change between inspection and the last chunk."""

    device: int
    inode: int
    size: int
    modified_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Identity:
        """Return the identity in the result of ``os.fstat``."""
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def change(self, now: Identity) -> str | None:
        """Describe the difference; ``None`` if there is none."""
        if (now.device, now.inode) != (self.device, self.inode):
            return "another file took its place"
        if now.size != self.size:
            return f"its size went from {self.size} to {now.size} bytes"
        if now.modified_ns != self.modified_ns:
            return "it was written to (its modification time moved)"
        return None


@frozen
class Prepared:
    """Inspected media that can be sent; ``read.chunks`` reads its body."""

    media: Media
    """The media, its kind settled."""
    size: int | None = None
    """Bytes of the body; ``None`` if the body is JSON."""
    content_type: str | None = None
    """Header of a file body; ``None``: none may be sent."""
    duration: float | None = None
    """Seconds, if the container has them."""
    identity: Identity | None = None
    """Of a file on disk."""
    files: Watch | None = field(default=None, eq=False, repr=False)
    """The threads that read a file on disk."""


Examination: TypeAlias = Generator[tuple[int, int], bytes, Prepared]


def content_type(media: Audio | Video, container: Container = UNKNOWN) -> str | None:
    """Return the header of a file body; ``None``: none may be sent (Audio and Video pages)."""
    if isinstance(media, Video):
        return "video/mp4"
    return media.content_type or container.content_type


def require_mp4(media: Video, container: Container) -> None:
    """Raise ``MediaRejectedError`` unless the container of a video is an mp4."""
    if not container.is_mp4:
        raise MediaRejectedError(
            f"{describe(media)} is {_format(container)}, not an mp4, which is all that the "
            "Video API takes; convert it, or give Audio(...) if it is a sound recording"
        )


def examine(media: Audio | Video | Recording, size: int) -> Examination:
    """Yield ranges as ``(offset, length)``, receive their bytes, return the inspected media.

    Needs at most some 80 KiB, independent of the ``size``. Raises ``MediaRejectedError`` for a
    recording that is empty, of the wrong kind, cut off or longer than four hours.
    """
    if size == 0:
        raise MediaRejectedError(
            f"{describe(media)} is empty; submit it once the recording is complete"
        )
    head = yield (0, min(HEAD_BYTES, size))
    container = sniff(head)
    settled = _settle(media, container) if isinstance(media, Recording) else media
    if isinstance(settled, Video):
        require_mp4(settled, container)
    if container.is_mp4:
        fault = yield from mp4_fault(size)
        duration = yield from mp4_duration(size)
    elif container.name in ("ogg", "opus"):
        fault, duration = (yield from ogg_fault(size)), None
    elif container.name == "wav":
        fault, duration = wav_fault(head, size), wav_duration(head, size)
    else:
        fault, duration = None, flac_duration(head)
    if fault is not None:
        raise MediaRejectedError(
            f"{describe(media)} {fault}; copy it once more from its recorder, or repair it"
        )
    if duration is not None and duration > MAX_SECONDS:
        raise MediaRejectedError(
            f"{describe(media)} lasts {duration / 3600:.2f} hours and the API takes at most "
            f"{MAX_SECONDS / 3600:.0f}; cut it and append the parts to one conversation"
        )
    return Prepared(settled, size, content_type(settled, container), duration)


def feed(examination: Generator[tuple[int, int], bytes, T], read: Callable[[int, int], bytes]) -> T:
    """Send ``read(offset, length)`` for each yielded range, and return the result."""
    try:
        wanted = next(examination)
        while True:
            wanted = examination.send(read(*wanted))
    except StopIteration as end:
        result: T = end.value
        return result


def recording_of(head: bytes, stream: AsyncIterable[bytes], *, size: int) -> Audio | Video:
    """Return an ``Audio`` or ``Video`` of a stream, by its first bytes. No I/O.

    ``stream`` yields all of its ``size`` bytes, ``head`` included, which should be 4096
    bytes or the whole stream. A wav or mp3 is sent with its content type.

    Raises ``MediaRejectedError`` if the API accepts the container neither as audio nor as
    video, and ``ConfigurationError`` for a size below 1.
    """
    container = sniff(head)
    if container.kind == "video":
        return Video(stream, size=size)
    if container.kind is None:
        raise MediaRejectedError(f"the recording is {_format(container)}; {_ACCEPTED}")
    return Audio(stream, size=size, content_type=container.content_type)


def _settle(recording: Recording, container: Container) -> Audio | Video:
    if container.kind is None:
        raise MediaRejectedError(
            f"{describe(recording)} is {_format(container)}; {_ACCEPTED}. "
            "Convert it, or give Audio(path) if it is one of them"
        )
    return Video(recording.path) if container.kind == "video" else Audio(recording.path)


def _format(container: Container) -> str:
    return "of an unknown format" if container is UNKNOWN else f"of the format {container.name}"
