"""The parts of a recording with voices, joined: what the model is given, and its times.

``asr_worker`` loads it by its path: like the worker it imports nothing of the package. A model that
is given silence invents words for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

SAMPLE_RATE = 16_000

# Each part has 0.4 s of what is around it, and the model's times are about so exact. A text that
# reaches less than this into another part is not of that one.
_SLIVER = 0.6

Sound: TypeAlias = Any
"""A numpy array of floats at ``SAMPLE_RATE``."""
Range: TypeAlias = tuple[int, int]
"""The first sample, and the one after the last."""
Piece: TypeAlias = tuple[float, float, str]
"""Start and end in seconds, and the text between."""


def find_voices(sound: Sound) -> list[Range]:
    """Return the ranges with voices; silences of two seconds and more separate them."""
    from faster_whisper.vad import get_speech_timestamps

    return [(int(part["start"]), int(part["end"])) for part in get_speech_timestamps(sound)]


class VoicedSound:
    """The ``ranges`` of a sound, one after the other. ``seconds`` is their length."""

    def __init__(self, ranges: Sequence[Range]) -> None:
        self._ranges = ranges
        self.seconds = sum(end - start for start, end in ranges) / SAMPLE_RATE

    def of(self, sound: Sound) -> Sound:
        """Return the joined parts of the sound."""
        import numpy as np

        return np.concatenate([sound[start:end] for start, end in self._ranges])

    def pieces(self, start: float, end: float, text: str) -> list[Piece]:
        """Return the text of joined seconds at its times in the whole sound.

        It is cut where a silence was left out: time is assumed to pass evenly with its characters.
        """
        parts, words = self._parts_between(start, end), text.split()
        if not parts:
            return []
        characters = sum(map(len, words))
        total = sum(until - begin for begin, until in parts)
        shares: list[list[str]] = [[] for _ in parts]
        position, part, passed = 0.0, 0, 0.0
        for word in words:
            middle = (position + len(word) / 2) / characters * total
            while part < len(parts) - 1 and middle > passed + parts[part][1] - parts[part][0]:
                passed += parts[part][1] - parts[part][0]
                part += 1
            shares[part].append(word)
            position += len(word)
        return [
            (begin, until, " ".join(share))
            for (begin, until), share in zip(parts, shares, strict=True)
            if share
        ]

    def _parts_between(self, start: float, end: float) -> list[tuple[float, float]]:
        """Return the parts that joined seconds cover, in seconds of the whole sound."""
        found: list[tuple[float, float]] = []
        joined = 0.0
        for first, last in self._ranges:
            length = (last - first) / SAMPLE_RATE
            begin, until = max(start, joined), min(end, joined + length)
            if begin < until:
                moved = first / SAMPLE_RATE - joined
                found.append((begin + moved, until + moved))
            joined += length
        long = [part for part in found if part[1] - part[0] >= _SLIVER]
        return long or sorted(found, key=lambda part: part[0] - part[1])[:1]
