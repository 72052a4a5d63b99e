"""Box headers of mp4, m4a and mov files: sound tracks and their duration.

Only headers are read, so a long recording costs no more than a short one. Boxes and
fields: ISO/IEC 14496-12.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from attrs import frozen

_MAX_FIELD_SIZE = 4096  # no box that is read whole needs more


@frozen
class Box:
    """One box: its kind, and the range of its content, which may exceed the file."""

    kind: bytes
    start: int
    end: int


@frozen
class Track:
    handler: bytes
    seconds: float | None


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes between two positions, up to and including one that exceeds them."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        size, kind = struct.unpack_from(">I4s", head)
        content = start + 8
        # A size of 1 means that 64 bits of size follow.
        if size == 1:
            (size,) = struct.unpack_from(">Q", head, 8)
            content += 8
        elif size == 0:  # "to the end"
            size = end - start
        if size < content - start:
            raise ValueError("a box is smaller than its own header")
        yield Box(kind, content, start + size)
        start += size


def read_mp4(file: BinaryIO, size: int) -> tuple[bool, float | None]:
    """Return (has a sound track, seconds) of an mp4, m4a or mov file.

    The seconds are those of the longest sound track, or ``None`` if the header leaves them
    open, as in fragmented files. Raises ``ValueError`` if the file is cut off or has no index.
    """
    moov = None
    for box in boxes(file, 0, size):
        # Other boxes may be cut off without harm to the sound.
        if box.end > size and box.kind in (b"moov", b"mdat"):
            raise ValueError("the file is cut off")
        if box.kind == b"moov":
            moov = box
    if moov is None:
        raise ValueError("the mp4 has no index (moov box)")
    movie_seconds: float | None = None
    tracks: list[Track] = []
    for box in boxes(file, moov.start, moov.end):
        if box.kind == b"mvhd":
            movie_seconds = _seconds(file, box)
        elif box.kind == b"trak":
            tracks += [
                _track(file, media)
                for media in boxes(file, box.start, box.end)
                if media.kind == b"mdia"
            ]
    sound = [track.seconds for track in tracks if track.handler == b"soun"]
    longest = max((seconds for seconds in sound if seconds), default=movie_seconds)
    # A track counts the encoder's priming samples, which players skip; the movie does not.
    return bool(sound), min(longest, movie_seconds) if longest and movie_seconds else longest


def _track(file: BinaryIO, mdia: Box) -> Track:
    handler, seconds = b"", None
    for box in boxes(file, mdia.start, mdia.end):
        if box.kind == b"hdlr":
            handler = _content(file, box)[8:12]
        elif box.kind == b"mdhd":
            seconds = _seconds(file, box)
    return Track(handler, seconds)


def _seconds(file: BinaryIO, box: Box) -> float | None:
    """Read time scale and duration, at the same positions in mvhd and mdhd boxes."""
    content = _content(file, box)
    wide = content[0] == 1
    scale, length = struct.unpack_from(">IQ" if wide else ">II", content, 20 if wide else 12)
    unknown = 0xFFFFFFFF_FFFFFFFF if wide else 0xFFFFFFFF
    return length / scale if scale and length not in (0, unknown) else None


def _content(file: BinaryIO, box: Box) -> bytes:
    file.seek(box.start)
    return file.read(min(box.end - box.start, _MAX_FIELD_SIZE))
