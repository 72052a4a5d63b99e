"""Durations of formats that are a sequence of frames without a container: mp3, aac, ac3, amr.

Only reading all frames would give the exact duration of a long file; it is estimated from the
first ones, unless an mp3 states it. Each reader returns a ``Sound`` and raises ``ValueError``,
``IndexError`` or ``struct.error`` for bad data.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from attrs import frozen

from symbl_aio.server.media.sound_facts import CUT_OFF, Sound

_SAMPLE_SIZE = 256 * 1024  # bytes from which the duration is estimated

_MP3_RATES = (44_100, 48_000, 32_000)
_MP3_KBITS = {
    # (MPEG 1?, layer): kbit/s by index
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_AAC_RATES = (
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000),
    *(22_050, 16_000, 12_000, 11_025, 8_000, 7_350),
)
_AC3_KBITS = (
    32,
    40,
    48,
    56,
    64,
    80,
    96,
    112,
    128,
    160,
    192,
    224,
    256,
    320,
    384,
    448,
    512,
    576,
    640,
)
# Bytes after a frame's first, by its mode; modes 9 to 14 are reserved.
_AMR_NARROW = (12, 13, 15, 17, 19, 20, 26, 31, 5)
_AMR_WIDE = (17, 23, 32, 36, 40, 46, 50, 58, 60, 5)


_AC3_RATES = (48_000, 44_100, 32_000)
_EAC3_BLOCKS = (1, 2, 3, 6)
_SAMPLES_PER_BLOCK = 256

# So many frames in a row are no accident.
_MP3_FRAMES_IN_A_ROW = 3
# A file that holds so much less than its tag states was cut off.
_MIN_SHARE = 0.98


@frozen
class _Mp3Frame:
    kbits: int
    rate: int
    samples: int
    side_info: int  # bytes between the header and a Xing tag
    size: int


def begins_as_mp3(head: bytes) -> bool:
    """Return whether an MPEG audio frame begins at the first byte."""
    return _mp3_frame(head, 0) is not None


def find_mp3(data: bytes) -> int | None:
    """Return the position of the first of several MPEG audio frames in a row, None without any."""
    at = data.find(0xFF)
    while at >= 0:
        position = at
        for _ in range(_MP3_FRAMES_IN_A_ROW):
            frame = _mp3_frame(data, position)
            if frame is None:
                break
            position += frame.size
        else:
            return at
        at = data.find(0xFF, at + 1)
    return None


def read_mp3(file: BinaryIO, size: int) -> Sound:
    """Read the frame count of a Xing, Info or VBRI tag; without one assume a constant bit rate."""
    start = _skip_id3(file)
    file.seek(start)
    data = file.read(_SAMPLE_SIZE)
    # Some files have padding, or a part of another frame, before the first frame.
    first = find_mp3(data)
    if first is None:
        first = next((i for i in range(len(data) - 4) if _mp3_frame(data, i)), None)
    frame = _mp3_frame(data, first) if first is not None else None
    if first is None or frame is None:
        raise ValueError("no sound in it")
    frames, length = _mp3_tag(data, first, frame)
    available = size - start - first
    if length and available < length * _MIN_SHARE:
        raise ValueError(CUT_OFF)
    if frames:
        return Sound(True, frames * frame.samples / frame.rate)
    return Sound(True, available * 8 / (frame.kbits * 1000), estimated=True)


def _mp3_tag(data: bytes, first: int, frame: _Mp3Frame) -> tuple[int, int]:
    """Return the numbers of frames and bytes in the tag of the first frame, 0 if unknown."""
    tag = first + 4 + frame.side_info
    if data[tag : tag + 4] in (b"Xing", b"Info"):
        flags = data[tag + 7]
        (frames,) = struct.unpack_from(">I", data, tag + 8) if flags & 1 else (0,)
        # The fields that are absent take no room.
        at = tag + (12 if flags & 1 else 8)
        (length,) = struct.unpack_from(">I", data, at) if flags & 2 else (0,)
        return frames, length
    if data[first + 36 : first + 40] == b"VBRI":
        length, frames = struct.unpack_from(">II", data, first + 46)
        return frames, length
    return 0, 0


def _skip_id3(file: BinaryIO) -> int:
    """Return the position after ID3 tags; their length has seven bits per byte."""
    position = 0
    while True:
        file.seek(position)
        head = file.read(10)
        if head[:3] != b"ID3" or len(head) < 10:
            return position
        a, b, c, d = head[6:10]
        # The footer is a copy of the header, not counted in the length.
        footer = 10 if head[5] & 0x10 else 0
        position += 10 + (a << 21 | b << 14 | c << 7 | d) + footer


def _mp3_frame(data: bytes, at: int) -> _Mp3Frame | None:
    if len(data) < at + 4 or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
    kbits, rate = data[at + 2] >> 4, data[at + 2] >> 2 & 3
    if version == 1 or layer == 4 or kbits in (0, 15) or rate == 3:
        return None
    first = version == 3  # MPEG 1; the others are its halves for low rates
    mono = data[at + 3] >> 6 == 3
    bit_rate = _MP3_KBITS[first, layer][kbits - 1]
    # MPEG 2 has half the sample rates of MPEG 1, MPEG 2.5 a quarter.
    sample_rate = _MP3_RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    samples = 384 if layer == 1 else 576 if layer == 3 and not first else 1152
    slot = 4 if layer == 1 else 1
    padding = data[at + 2] >> 1 & 1
    return _Mp3Frame(
        kbits=bit_rate,
        rate=sample_rate,
        samples=samples,
        side_info=(17 if mono else 32) if first else (9 if mono else 17),
        size=(samples // slot * bit_rate * 125 // sample_rate + padding) * slot,
    )


def read_aac(file: BinaryIO, size: int) -> Sound:
    """Count ADTS frames of 1,024 samples; each header has the frame's own length."""
    file.seek(0)
    data = file.read(_SAMPLE_SIZE)
    rate = _AAC_RATES[data[2] >> 2 & 15]
    position = frames = 0
    while (
        position + 7 <= len(data) and data[position] == 0xFF and data[position + 1] & 0xF6 == 0xF0
    ):
        length = (data[position + 3] & 3) << 11 | data[position + 4] << 3 | data[position + 5] >> 5
        if length < 7:
            raise ValueError("a frame is smaller than its own header")
        position += length
        frames += 1
    return _extrapolate(frames * 1024 / rate, position, size)


def read_ac3(file: BinaryIO, size: int) -> Sound:
    """Read AC-3, whose frames share one bit rate, or E-AC-3."""
    file.seek(0)
    head = file.read(6)
    if head[5] >> 3 > 10:
        return _read_eac3(file, size)
    code = head[4]
    if code >> 6 == 3 or (code & 63) >> 1 >= len(_AC3_KBITS):
        raise ValueError("its bit rate is reserved")
    return Sound(True, size * 8 / (_AC3_KBITS[(code & 63) >> 1] * 1000), estimated=True)


def _read_eac3(file: BinaryIO, size: int) -> Sound:
    """Count E-AC-3 frames; each header has the frame's own length and number of blocks."""
    file.seek(0)
    data = file.read(_SAMPLE_SIZE)
    position = 0
    seconds = 0.0
    while data[position : position + 2] == b"\x0b\x77" and position + 5 <= len(data):
        (fields,) = struct.unpack_from(">H", data, position + 2)
        rate, blocks = data[position + 4] >> 6, data[position + 4] >> 4 & 3
        # Rate 3 means half of the rate in the next field, and always six blocks.
        samples = _SAMPLES_PER_BLOCK * (6 if rate == 3 else _EAC3_BLOCKS[blocks])
        hertz = _AC3_RATES[blocks] / 2 if rate == 3 else _AC3_RATES[rate]
        # Dependent substreams add channels to the frame before them, not time.
        if fields >> 14 != 1:
            seconds += samples / hertz
        position += 2 * ((fields & 0x7FF) + 1)
    return _extrapolate(seconds, position, size)


def read_amr(file: BinaryIO, size: int) -> Sound:
    """Count frames of 20 ms; the first byte of a frame is its mode, which sets its length."""
    file.seek(0)
    data = file.read(_SAMPLE_SIZE)
    wide = data.startswith(b"#!AMR-WB\n")
    sizes = _AMR_WIDE if wide else _AMR_NARROW
    start = position = 9 if wide else 6
    frames = 0
    while position < len(data):
        mode = data[position] >> 3 & 15
        position += 1 + (sizes[mode] if mode < len(sizes) else 0)
        frames += 1
    return _extrapolate(frames * 0.02, position - start, size - start)


def _extrapolate(seconds: float, seen: int, whole: int) -> Sound:
    """Return the sound of a file by the bytes of it that were seen."""
    if seen == 0:
        return Sound(False)
    if seen >= whole:
        return Sound(True, seconds)
    return Sound(True, seconds * whole / seen, estimated=True)
