"""Box headers of mp4, m4a and mov files: sound tracks and their duration.

Only headers are read, so a long recording costs no more than a short one, unless it is in
fragments. Boxes and fields: ISO/IEC 14496-12.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from attrs import define, frozen

from symbl_aio.server.media.sound_facts import CUT_OFF, Sound

_MAX_FIELD_SIZE = 4096  # no box that is read whole needs more


@frozen
class Box:
    """One box: its kind, and the range of its content, which may exceed the file."""

    kind: bytes
    start: int
    end: int


@frozen
class Track:
    """A track in the index; ``scale``: ticks of its clock in a second."""

    id: int
    handler: bytes
    scale: int
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


def read_mp4(file: BinaryIO, size: int) -> Sound:
    """Return the sound of an mp4, m4a or mov file: the length of its longest sound track.

    Raises ``ValueError`` if the file is cut off or has no index.
    """
    moov = None
    fragments: list[Box] = []
    for box in boxes(file, 0, size):
        # Other boxes may be cut off without harm to the sound.
        if box.end > size and box.kind in (b"moov", b"mdat", b"moof"):
            raise ValueError(CUT_OFF)
        if box.kind == b"moov":
            moov = box
        elif box.kind == b"moof":
            fragments.append(box)
    if moov is None:
        raise ValueError("the mp4 has no index (moov box)")
    movie_seconds: float | None = None
    defaults: dict[int, int] = {}
    tracks: list[Track] = []
    for box in boxes(file, moov.start, moov.end):
        if box.kind == b"mvhd":
            movie_seconds = _length(file, box)[1]
        elif box.kind == b"trak":
            tracks.append(_track(file, box))
        elif box.kind == b"mvex":
            for trex in boxes(file, box.start, box.end):
                if trex.kind == b"trex":
                    track_id, _, ticks = struct.unpack_from(">III", _content(file, trex), 4)
                    defaults[track_id] = ticks
    sound = [track for track in tracks if track.handler == b"soun"]
    if fragments:
        clocks = {
            track.id: _FragmentClock(track.scale, defaults.get(track.id, 0)) for track in sound
        }
        for moof in fragments:
            _read_fragment(file, moof, clocks)
        longest = max((clock.seconds for clock in clocks.values()), default=0.0)
        # The length of the movie itself is that of its first part, or none.
        return Sound(bool(sound), longest or movie_seconds)
    longest_track = max((t.seconds for t in sound if t.seconds), default=movie_seconds)
    # A track counts the encoder's priming samples, which players skip; the movie does not.
    if longest_track and movie_seconds:
        longest_track = min(longest_track, movie_seconds)
    return Sound(bool(sound), longest_track)


def _track(file: BinaryIO, trak: Box) -> Track:
    track_id, handler, scale, seconds = 0, b"", 0, None
    for box in boxes(file, trak.start, trak.end):
        if box.kind == b"tkhd":
            content = _content(file, box)
            (track_id,) = struct.unpack_from(">I", content, 20 if content[0] == 1 else 12)
        elif box.kind == b"mdia":
            for inner in boxes(file, box.start, box.end):
                if inner.kind == b"hdlr":
                    handler = _content(file, inner)[8:12]
                elif inner.kind == b"mdhd":
                    scale, seconds = _length(file, inner)
    return Track(track_id, handler, scale, seconds)


def _length(file: BinaryIO, box: Box) -> tuple[int, float | None]:
    """Read time scale and seconds, at the same positions in mvhd and mdhd boxes."""
    content = _content(file, box)
    wide = content[0] == 1
    scale, length = struct.unpack_from(">IQ" if wide else ">II", content, 20 if wide else 12)
    unknown = 0xFFFFFFFF_FFFFFFFF if wide else 0xFFFFFFFF
    return scale, length / scale if scale and length not in (0, unknown) else None


@define
class _FragmentClock:
    """The time of one track over its fragments, in ticks of its scale."""

    scale: int
    default_ticks: int
    start: int | None = None
    end: int = 0

    @property
    def seconds(self) -> float:
        return (self.end - (self.start or 0)) / self.scale if self.scale else 0.0

    def add(self, begin: int | None, ticks: int) -> None:
        begin = self.end if begin is None else begin
        # What was cut from a stream begins in the middle of its clock.
        self.start = begin if self.start is None else min(self.start, begin)
        self.end = max(self.end, begin + ticks)


def _read_fragment(file: BinaryIO, moof: Box, clocks: dict[int, _FragmentClock]) -> None:
    for traf in boxes(file, moof.start, moof.end):
        if traf.kind != b"traf":
            continue
        clock: _FragmentClock | None = None
        default, begin, ticks = 0, None, 0
        for box in boxes(file, traf.start, traf.end):
            if box.kind == b"tfhd":
                track_id, default = _fragment_header(_content(file, box))
                clock = clocks.get(track_id)
                default = default or (clock.default_ticks if clock else 0)
            elif box.kind == b"tfdt":
                content = _content(file, box)
                (begin,) = struct.unpack_from(">Q" if content[0] == 1 else ">I", content, 4)
            elif box.kind == b"trun":
                file.seek(box.start)
                ticks += _run_ticks(file.read(box.end - box.start), default)
        if clock is not None:
            clock.add(begin, ticks)


def _fragment_header(content: bytes) -> tuple[int, int]:
    """Return the track's id, and the ticks of each sample or 0."""
    flags, track_id = struct.unpack_from(">II", content)
    if not flags & 0x8:  # no duration of samples
        return track_id, 0
    # An offset of 8 bytes and an index of 4 come before, if the flags have them.
    at = 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
    (ticks,) = struct.unpack_from(">I", content, at)
    return track_id, ticks


def _run_ticks(content: bytes, default: int) -> int:
    """Return the ticks of all samples of a run."""
    flags, count = map(int, struct.unpack_from(">II", content))
    if not flags & 0x100:
        return count * default
    at = 8 + (4 if flags & 0x1 else 0) + (4 if flags & 0x4 else 0)
    # Four bytes a sample for each of duration, size, flags and time offset.
    width = 4 * (flags >> 8 & 0xF).bit_count()
    # A damaged count must not cost time: there are no more samples than bytes for them.
    count = min(count, (len(content) - at) // width)
    return sum(int.from_bytes(content[i : i + 4]) for i in range(at, at + width * count, width))


def _content(file: BinaryIO, box: Box) -> bytes:
    file.seek(box.start)
    return file.read(min(box.end - box.start, _MAX_FIELD_SIZE))
