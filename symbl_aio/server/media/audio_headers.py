"""Durations of formats whose header states them: wav, aiff, flac, ogg, wma.

Each reader returns a ``Sound`` and raises ``ValueError``, ``IndexError`` or ``struct.error`` if
the header makes no sense.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from symbl_aio.server.media.sound_facts import CUT_OFF, Sound

# Formats whose blocks have a fixed number of samples: MS ADPCM, IMA ADPCM, GSM. The bytes a
# second in their headers are rounded, or wrong.
_BLOCK_FORMATS = (0x0002, 0x0011, 0x0031)
# Those, integers, floats, A-law, µ-law, and what an extensible header names: each second has as
# many bytes.
_EVEN_FORMATS = (*_BLOCK_FORMATS, 0x0001, 0x0003, 0x0006, 0x0007, 0xFFFE)

# The samples of a packet of Opus last up to 120 ms; a page has up to 255 packets.
_OGG_MAX_PAGE_SECONDS = 255 * 0.12
_OGG_HEADER_SIZE = 27
_OGG_TAIL_SIZE = 128 * 1024  # holds at least one page, which has at most 65,307 bytes


def read_wav(file: BinaryIO, size: int) -> Sound:
    """Read RIFF WAVE of any sample format; the ``wave`` module refuses floats."""
    format_: bytes | None = None
    for kind, start, length in _chunks(file, size, "<I"):
        if kind == b"fmt ":
            file.seek(start)
            format_ = file.read(20)
        elif kind == b"data":
            if format_ is None:
                raise ValueError("no sample format before the sound")
            available = size - start
            if _is_placeholder(length):
                length = available
            if length > available:
                raise ValueError(CUT_OFF)
            rate = _wav_bytes_per_second(format_)
            # The mean rate of mp3 and the like is a guess, or missing.
            estimated = int.from_bytes(format_[:2], "little") not in _EVEN_FORMATS
            return Sound(length > 0, length / rate if rate else None, estimated)
    raise ValueError("no sound in it")


def _wav_bytes_per_second(content: bytes) -> float:
    kind, rate, bytes_per_second, block_size = struct.unpack_from("<H2xIIH", content)
    if kind in _BLOCK_FORMATS and len(content) >= 20:
        (samples,) = struct.unpack_from("<H", content, 18)
        if samples:
            return float(block_size * rate / samples)
    return float(bytes_per_second)


def _is_placeholder(length: int) -> bool:
    """Return whether a program wrote this length because it did not know the true one.

    Programs that write to a pipe put 0 there, or a number close to 2 or 4 GiB.
    """
    return length == 0 or 0x7FFF0000 <= length <= 0x8000FFFF or length >= 0xFFFF0000


def read_aiff(file: BinaryIO, size: int) -> Sound:
    """Read the COMM chunk of AIFF or AIFC."""
    for kind, start, _ in _chunks(file, size, ">I"):
        if kind == b"COMM":
            file.seek(start)
            content = file.read(18)
            (frames,) = struct.unpack_from(">I", content, 2)
            # 80-bit float: exponent, then 64 bits of which the first is the whole part.
            exponent, mantissa = struct.unpack_from(">HQ", content, 8)
            if not 0 <= exponent - 16383 < 32 or not mantissa:
                raise ValueError("its sample rate is none")
            return Sound(True, frames / (mantissa * 2.0 ** (exponent - 16383 - 63)))
    raise ValueError("no COMM chunk")


def read_flac(file: BinaryIO, size: int) -> Sound:
    """Read the stream info block of FLAC."""
    file.seek(8)
    content = file.read(18)
    # 20 bits of sample rate, 3 of channels, 5 of sample size, 36 of sample count.
    (packed,) = struct.unpack_from(">Q", content, 10)
    rate, samples = packed >> 44, packed & (1 << 36) - 1
    if rate == 0:
        raise ValueError("its sample rate is 0")
    return Sound(True, samples / rate if samples else None)


def read_ogg(file: BinaryIO, size: int) -> Sound:
    """Read Vorbis, Opus, Speex or FLAC in Ogg; the last page's position is the duration."""
    file.seek(0)
    head = file.read(4096)
    preskip = 0
    if (found := head.find(b"OpusHead")) >= 0:
        # Positions in Opus always count samples at 48 kHz.
        rate = 48_000
        (preskip,) = struct.unpack_from("<H", head, found + 10)
    elif (found := head.find(b"\x01vorbis")) >= 0:
        (rate,) = struct.unpack_from("<I", head, found + 12)
    elif (found := head.find(b"Speex   ")) >= 0:
        (rate,) = struct.unpack_from("<I", head, found + 36)
    elif (found := head.find(b"\x7fFLAC")) >= 0:
        # The stream info follows 9 bytes of Ogg mapping, "fLaC" and a block header.
        (packed,) = struct.unpack_from(">Q", head, found + 27)
        rate = packed >> 44
    else:
        return Sound(False)
    file.seek(max(0, size - _OGG_TAIL_SIZE))
    tail = file.read()
    last = tail.rfind(b"OggS\0")
    if last < 0 or rate == 0:
        return Sound(True)
    if not _is_whole_page(tail[last:]):
        raise ValueError(CUT_OFF)
    (end,) = struct.unpack_from("<q", tail, last + 6)
    # What was cut from a stream begins in the middle of its clock.
    first = next((at for at in _ogg_positions(head) if at > 0), 0)
    start = first if first > rate * _OGG_MAX_PAGE_SECONDS else preskip
    return Sound(True, (end - start) / rate if end > start else None)


def _is_whole_page(page: bytes) -> bool:
    """Return whether the bytes hold all of the Ogg page that they begin with."""
    if len(page) < _OGG_HEADER_SIZE:
        return False
    # The lengths of its segments follow their number.
    segments = page[_OGG_HEADER_SIZE - 1]
    lengths = page[_OGG_HEADER_SIZE : _OGG_HEADER_SIZE + segments]
    return len(page) >= _OGG_HEADER_SIZE + segments + sum(lengths)


def _ogg_positions(head: bytes) -> Iterator[int]:
    at = head.find(b"OggS")
    while 0 <= at <= len(head) - 14:
        yield struct.unpack_from("<q", head, at + 6)[0]
        at = head.find(b"OggS", at + 4)


def read_wma(file: BinaryIO, size: int) -> Sound:
    """Read the file properties of ASF; a stream header of audio type means sound."""
    file.seek(0)
    head = file.read(64 * 1024)
    properties = head.find(_ASF_FILE_PROPERTIES)
    if properties < 0:
        raise ValueError("no file properties")
    (whole,) = struct.unpack_from("<Q", head, properties + 40)
    (flags,) = struct.unpack_from("<I", head, properties + 88)
    # A broadcast does not know its size; and the index behind the sound may be missing.
    if size < whole * _ASF_MIN_SHARE and not flags & _ASF_BROADCAST:
        raise ValueError(CUT_OFF)
    (length,) = struct.unpack_from("<Q", head, properties + 64)
    (preroll,) = struct.unpack_from("<Q", head, properties + 80)
    # The play duration includes the preroll.
    seconds = length / 1e7 - preroll / 1e3
    return Sound(_ASF_AUDIO in head, seconds if seconds > 0 else None)


_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_BROADCAST = 1
_ASF_MIN_SHARE = 0.98
_ASF_AUDIO = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b")


def _chunks(file: BinaryIO, size: int, number: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, position, length) of RIFF or IFF chunks; each begins at an even position."""
    chunk = 12
    while chunk + 8 <= size:
        file.seek(chunk)
        head = file.read(8)
        (length,) = struct.unpack_from(number, head, 4)
        yield head[:4], chunk + 8, length
        chunk += 8 + length + length % 2
