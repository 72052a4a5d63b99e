"""Containers built byte by byte: only their headers matter."""

import struct


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def mvhd(seconds: float, kind: bytes = b"mvhd") -> bytes:
    return box(kind, bytes(12), struct.pack(">II", 1000, round(seconds * 1000)), bytes(80))


def wide_mvhd(seconds: float, kind: bytes = b"mvhd") -> bytes:
    times = struct.pack(">IQ", 90_000, round(seconds * 90_000))
    return box(kind, b"\1\0\0\0", bytes(16), times, bytes(80))


def trak(handler: bytes, seconds: float) -> bytes:
    hdlr = box(b"hdlr", bytes(8), handler, bytes(13))
    mdia = box(b"mdia", mvhd(seconds, b"mdhd"), hdlr, box(b"minf", bytes(8)))
    return box(b"trak", box(b"tkhd", bytes(84)), mdia)


FTYP = box(b"ftyp", b"isom\0\0\2\0isommp41")
VIDEO, SOUND = trak(b"vide", 60), trak(b"soun", 60)
MDAT = box(b"mdat", bytes(100))


def riff(*chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + sum(map(len, chunks))) + b"WAVE" + b"".join(chunks)


def chunk(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    size = len(content) if length is None else length
    return kind + struct.pack("<I", size) + content + bytes(len(content) % 2)


PCM = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16_000, 2, 16))
FLOAT = chunk(b"fmt ", struct.pack("<HHIIHHH", 3, 1, 8000, 32_000, 4, 32, 0))


def flac(rate: int, samples: int) -> bytes:
    packed = rate << 44 | 15 << 36 | samples
    return b"fLaC\x80\0\0\x22" + bytes(10) + struct.pack(">Q", packed) + bytes(16)


def ogg(content: bytes, position: int) -> bytes:
    return b"OggS" + struct.pack("<BBqIIIBB", 0, 0, position, 1, 0, 0, 1, 255) + content


# MPEG 1 layer 3, 32 kbit/s, 32 kHz, mono: 144 bytes and 36 ms a frame.
MP3_FRAME = b"\xff\xfb\x18\xc0" + bytes(140)
