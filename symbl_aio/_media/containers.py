"""Container of a recording by its first bytes, its duration, and whether it is cut off.

Pure functions on bytes that never raise: bytes that cannot be parsed are an unknown
container, or have a duration of ``None`` and no fault.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final, Literal, TypeAlias

from attrs import frozen

HEAD_BYTES: Final = 4096
"""Bytes from the beginning that ``sniff`` and ``wav_duration`` use at most."""

MP4_HEAD_BYTES: Final = 12
"""Bytes from the beginning that identify an mp4: size, ``ftyp`` and the brand."""

_MAX_BOXES: Final = 512
"""Limit of a walk over boxes. Each costs one read of ``_HEADER`` bytes."""

_HEADER: Final = 16
_OGG_HEADER: Final = 27
_OGG_PAGE: Final = _OGG_HEADER + 255 + 255 * 255
_MVHD: Final = 36
_MEHD: Final = 12


@frozen
class Container:
    """The container of a file. ``kind`` is ``None`` if the API accepts it as neither kind.

    ``content_type``: one of the Audio API page, else ``None`` (send no header).
    """

    name: str
    kind: Literal["audio", "video"] | None = None
    content_type: str | None = None

    @property
    def is_mp4(self) -> bool:
        """Whether it is made of mp4 boxes, with or without pictures."""
        return self.name in ("mp4", "m4a")


UNKNOWN: Final = Container("unknown")
_MP4: Final = Container("mp4", "video")
_MP3: Final = Container("mp3", "audio", "audio/mpeg")
_WAV: Final = Container("wav", "audio", "audio/wav")

_BY_PREFIX: Final = {
    b"fLaC": Container("flac", "audio"),
    b"#!AMR": Container("amr", "audio"),
    b"\x0b\x77": Container("ac3", "audio"),
    b"ADIF": Container("aac", "audio"),
    # Windows media: the same wrapper with and without pictures.
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": Container("wma", "audio"),
    b"\x1a\x45\xdf\xa3": Container("webm"),
    b"FLV": Container("flv"),
    b"\x00\x00\x01\xba": Container("mpeg"),
}

_AUDIO_BRANDS: Final = frozenset({b"M4A ", b"M4B ", b"M4P "})
_FOREIGN_BRANDS: Final = {
    b"qt  ": Container("mov"),
    b"heic": Container("heif"),
    b"heix": Container("heif"),
    b"mif1": Container("heif"),
    b"msf1": Container("heif"),
    b"avif": Container("avif"),
    b"avis": Container("avif"),
    b"crx ": Container("cr3"),
}
_MP4_BRANDS: Final = frozenset({b"isom", b"iso2", b"mp41", b"mp42", b"avc1"})


def sniff(head: bytes) -> Container:
    """Return the container by the first bytes of a file, ``HEAD_BYTES`` of them or fewer."""
    head = head[:HEAD_BYTES]
    if head[4:8] == b"ftyp" and len(head) >= MP4_HEAD_BYTES:
        return _by_brand(head)
    if head[:4] in (b"RIFF", b"RF64", b"FORM"):
        forms = {
            b"WAVE": _WAV,
            b"AIFF": Container("aiff", "audio"),
            b"AIFC": Container("aiff", "audio"),
            b"AVI ": Container("avi"),
        }
        return forms.get(head[8:12], UNKNOWN)
    if head.startswith(b"OggS"):
        return Container("opus" if b"OpusHead" in head[:64] else "ogg", "audio")
    for prefix, container in _BY_PREFIX.items():
        if head.startswith(prefix):
            return container
    if head.startswith(b"ID3"):
        return _behind_id3(head)
    return _by_frame(head)


def _by_brand(head: bytes) -> Container:
    major = head[8:12]
    if major in _AUDIO_BRANDS:
        return Container("m4a", "audio")
    end = int.from_bytes(head[:4], "big")
    # The compatible brands count too; if the head does not have them all, assume an mp4.
    if major in _FOREIGN_BRANDS and end <= len(head):
        compatible = {head[at : at + 4] for at in range(16, end, 4)}
        if compatible.isdisjoint(_MP4_BRANDS):
            return _FOREIGN_BRANDS[major]
    return _MP4


def _behind_id3(head: bytes) -> Container:
    """Return the container behind an ID3 tag, which other formats use too, if it is short."""
    length = 0
    for byte in head[6:10]:
        length = length << 7 | byte & 0x7F
    behind = head[10 + length :]
    if behind.startswith(b"fLaC"):
        return _BY_PREFIX[b"fLaC"]
    found = _by_frame(behind)
    return _MP3 if found is UNKNOWN else found


def _by_frame(head: bytes) -> Container:
    """Distinguish mp3 and aac by the header of the first frame (sync word, layer, rates)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return UNKNOWN
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    if head[1] & 0xF0 == 0xF0 and layer == 0 and head[2] >> 2 & 15 < 13:
        return Container("aac", "audio")
    if version != 1 and layer == 1 and head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3:
        return _MP3
    return UNKNOWN


def wav_duration(head: bytes, size: int) -> float | None:
    """Return the seconds of a wav of ``size`` bytes by its first ones; ``None`` if unknown."""
    rate = 0
    for name, at, length in _wav_chunks(head):
        if name == b"fmt ":
            rate = int.from_bytes(head[at + 8 : at + 12], "little")
        elif name == b"data":
            # An interrupted recorder leaves 0 or the largest number here.
            length = min(length or size, size - at)
            return length / rate if rate and length > 0 else None
    return None


def wav_fault(head: bytes, size: int) -> str | None:
    """Return why a wav of ``size`` bytes is not whole; ``None`` if it seems so."""
    for name, at, length in _wav_chunks(head):
        # Programs that write to a pipe put a number close to 2 or 4 GiB here.
        stated = not (0x7FFF0000 <= length <= 0x8000FFFF or length >= 0xFFFF0000)
        if name == b"data" and stated and length > size - at:
            return f"is cut off: {at + length - size} bytes of its sound are missing"
    return None


def _wav_chunks(head: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, offset and length of the chunks that begin in the head of a wav."""
    at = 12
    while at + 8 <= len(head):
        length = int.from_bytes(head[at + 4 : at + 8], "little")
        yield head[at : at + 4], at + 8, length
        at += 8 + length + length % 2


def flac_duration(head: bytes) -> float | None:
    """Return the seconds of a flac by its first bytes; ``None`` if it does not state them."""
    if head[:4] != b"fLaC" or len(head) < 26:
        return None
    # 20 bits of sample rate, 8 of channels and sample size, 36 of sample count.
    packed = int.from_bytes(head[18:26], "big")
    rate, samples = packed >> 44, packed & (1 << 36) - 1
    return samples / rate if rate and samples else None


Reads: TypeAlias = Generator[tuple[int, int], bytes, float | None]
"""Yields ``(offset, length)``, receives those bytes (fewer at the end), returns seconds."""


def mp4_duration(size: int) -> Reads:
    """Find the duration in the movie header of an mp4 of ``size`` bytes, at any position.

    Reads only headers of boxes, a few bytes each and at most some 8 KiB in all. The result
    is ``None`` for garbage, and for fragmented files that do not state one.
    """
    movie = yield from _find(b"moov", 0, size, _MAX_BOXES)
    if movie is None:
        return None
    start, end, left = movie
    walk = yield from _find(b"mvhd", start, end, left)
    if walk is None:
        return None
    body = yield (walk[0], min(_MVHD, walk[1] - walk[0]))
    if len(body) < 20 or body[0] > 1 or (body[0] == 1 and len(body) < 32):
        return None
    at, width = (12, 4) if body[0] == 0 else (20, 8)
    scale = int.from_bytes(body[at : at + 4], "big")
    length = body[at + 4 : at + 4 + width]
    # With fragments, the movie header counts those of the movie box alone: often a second.
    fragments = yield from _find(b"mvex", start, end, walk[2])
    if fragments is not None:
        walk = yield from _find(b"mehd", *fragments)
        if walk is None:
            return None
        body = yield (walk[0], min(_MEHD, walk[1] - walk[0]))
        length = body[4:12] if body[:1] == b"\1" else body[4:8]
    unknown = b"\xff" * len(length)
    duration = int.from_bytes(length, "big")
    return duration / scale if scale and duration and length != unknown else None


def mp4_fault(size: int) -> Generator[tuple[int, int], bytes, str | None]:
    """Find out why an mp4 of ``size`` bytes is not whole: ``None`` if it seems so.

    Reads headers of boxes like ``mp4_duration``.
    """
    at, names = 0, set[bytes]()
    for _ in range(_MAX_BOXES):
        if at + 8 > size:
            # Without sound or pictures it is none of a recorder that was interrupted.
            lost = b"mdat" in names and b"moov" not in names
            return "has no index (moov box), so its recorder did not finish it" if lost else None
        header = yield (at, min(_HEADER, size - at))
        name, length = header[4:8], int.from_bytes(header[:4], "big")
        if length == 1 and len(header) == _HEADER:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:
            length = size - at
        if length < 8 or not name.isalnum():
            return None  # junk at the end, which players ignore
        if at + length > size and name in (b"mdat", b"moov", b"moof"):
            return f"is cut off: its last {at + length - size} bytes are missing"
        names.add(name)
        at += length
    return None


def ogg_fault(size: int) -> Generator[tuple[int, int], bytes, str | None]:
    """Find out whether an ogg of ``size`` bytes ends within a page: ``None`` if not.

    Reads one page at the end, 64 KiB at most.
    """
    tail = yield (max(0, size - _OGG_PAGE), min(_OGG_PAGE, size))
    last = tail.rfind(b"OggS\0")
    if last < 0:
        return None
    # The lengths of its segments follow their number.
    page = _OGG_HEADER
    if len(tail) >= last + page:
        segments = tail[last + page - 1]
        page += segments + sum(tail[last + page : last + page + segments])
    missing = last + page - len(tail)
    return (
        f"is cut off: at least {missing} bytes of its last page are missing"
        if missing > 0
        else None
    )


def _find(
    name: bytes, start: int, end: int, boxes: int
) -> Generator[tuple[int, int], bytes, tuple[int, int, int] | None]:
    """Find a box between two offsets. Returns start and end of its content, and boxes left."""
    while boxes and start + 8 <= end:
        boxes -= 1
        header = yield (start, min(_HEADER, end - start))
        if len(header) < 8:
            return None
        length, skip = int.from_bytes(header[:4], "big"), 8
        if length == 1:
            length, skip = int.from_bytes(header[8:16], "big"), 16
        elif length == 0:
            length = end - start
        if length < skip or start + skip > end:
            return None
        if header[4:8] == name:
            return start + skip, min(start + length, end), boxes
        start += length
    return None
