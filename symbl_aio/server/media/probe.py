"""Inspect a recording without decoding it: container, sound, duration.

It knows the formats that the API accepts (FAQ): mp4 for video; mp3, wav, amr, aac, ac3,
aiff, flac, ogg, opus, wma and m4a for audio. A duration that the header does not state
is estimated where the format allows it, otherwise it is ``None``.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeAlias

from attrs import frozen

from symbl_aio.server.media.audio_headers import read_aiff, read_flac, read_ogg, read_wav, read_wma
from symbl_aio.server.media.framed_audio import (
    begins_as_mp3,
    find_mp3,
    read_aac,
    read_ac3,
    read_amr,
    read_mp3,
)
from symbl_aio.server.media.mp4 import read_mp4
from symbl_aio.server.media.sound_facts import Sound


class MediaError(Exception):
    """The file is no recording that can be processed. The message contains no path."""


@frozen
class MediaInfo:
    """The facts from the header. ``duration``: seconds of sound, ``None`` if unknown.

    ``container`` is one of mp4, m4a, mov, wav, mp3, flac, ogg, opus, aac, ac3, amr, aiff, wma.
    ``estimated``: the duration is an estimate, by which nothing may be refused.
    """

    container: str
    has_audio: bool
    duration: float | None
    estimated: bool = False

    @property
    def stated_duration(self) -> float | None:
        """The duration unless it is unknown or an estimate."""
        return None if self.estimated else self.duration


# A reader returns the sound of a file of known size, or raises ValueError.
_Reader: TypeAlias = Callable[[BinaryIO, int], Sound]

_HEAD_SIZE = 64
_JUNK_SIZE = 256 * 1024  # searched for the first frame of an mp3 with junk in front
_QUICKTIME_BOXES = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


def probe(path: str | os.PathLike[str]) -> MediaInfo:
    """Read the header of a recording. Blocks for a few small reads.

    Raises ``MediaError`` if the file is empty, has no known format, is cut off or has a
    header that makes no sense, and ``OSError`` if it cannot be read.
    """
    with Path(path).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            raise MediaError("the file is empty")
        file.seek(0)
        container, read = _detect_format(file)
        try:
            sound = read(file, size)
        except (ValueError, IndexError, struct.error) as error:
            reason = error if isinstance(error, ValueError) else "its header is damaged"
            raise MediaError(f"{container}: {reason}") from error
    return MediaInfo(container, sound.present, sound.seconds, sound.estimated)


def _detect_format(file: BinaryIO) -> tuple[str, _Reader]:
    """Return the container and its reader, by the first bytes of the file."""
    head = file.read(_HEAD_SIZE)
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in (b"M4A ", b"M4B ", b"M4P "):
            return "m4a", read_mp4
        return ("mov" if brand == b"qt  " else "mp4"), read_mp4
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "wav", read_wav
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff", read_aiff
    if head[:4] == b"fLaC":
        return "flac", read_flac
    if head[:4] == b"OggS":
        return ("opus" if b"OpusHead" in head else "ogg"), read_ogg
    if head[:4] == b"\x30\x26\xb2\x75":
        return "wma", read_wma
    if head[:5] == b"#!AMR":
        return "amr", read_amr
    if head[:2] == b"\x0b\x77":
        return "ac3", read_ac3
    # ADTS and MPEG audio share their first eleven bits; ADTS has layer 0.
    if head[0] == 0xFF and len(head) > 1 and head[1] & 0xF6 == 0xF0:
        return "aac", read_aac
    if head[:3] == b"ID3" or begins_as_mp3(head):
        return "mp3", read_mp3
    # QuickTime files of old, and of some recorders, begin without a brand.
    if head[4:8] in _QUICKTIME_BOXES:
        return "mov", read_mp4
    if find_mp3(head + file.read(_JUNK_SIZE - len(head))) is not None:
        return "mp3", read_mp3
    raise MediaError("the file is no recording of a known format")
