"""Audio of a stream: cut to frames, and the account of the bytes that may not have arrived.

A WebSocket has no acknowledgement of its own. A ping has: the server answers it after all
frames before it, so a ping that carries a position of the audio proves, with its pong, that
the server received everything up to there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

MAX_FRAME: Final = 8192
"""Bytes of audio in one frame at most (Streaming API page)."""

_BYTES_PER_SAMPLE: Final = {"LINEAR16": 2, "MULAW": 1}

MAX_UNCONFIRMED: Final = 2**21
"""Bytes that may be on their way, and lost at most when a connection breaks."""

PING_AFTER: Final = 2**19
"""Bytes after which the server is asked how much it has received."""

Audio: TypeAlias = bytes | bytearray | memoryview


def frames(audio: Audio) -> Iterator[memoryview]:
    """Yield audio in pieces of at most ``MAX_FRAME`` bytes, in order.

    Without a copy, unless its items are not adjacent, or are of a type that has no cast to bytes.
    """
    view = memoryview(audio)
    try:
        view = view.cast("B")
    except TypeError:
        view = memoryview(view.tobytes())
    for start in range(0, len(view), MAX_FRAME):
        yield view[start : start + MAX_FRAME]


def seconds_of(size: int, encoding: str, sample_rate: int) -> float | None:
    """Return the length of mono audio in seconds; ``None`` for an encoding that compresses."""
    width = _BYTES_PER_SAMPLE.get(encoding)
    return None if width is None else size / (width * sample_rate)


class AudioFormats:
    """The encoding and sample rate of each part of a stream's audio, by its first position."""

    def __init__(self, encoding: str, sample_rate: int) -> None:
        self._parts = [(0, encoding, sample_rate)]

    @property
    def encoding(self) -> str:
        """The encoding of the audio to come."""
        return self._parts[-1][1]

    @property
    def width(self) -> int:
        """Bytes of a sample of the audio to come; 1 for an encoding that compresses."""
        return _BYTES_PER_SAMPLE.get(self.encoding, 1)

    def change(self, position: int, encoding: str, sample_rate: int) -> None:
        """Record the format of the audio from ``position`` on."""
        self._parts.append((position, encoding, sample_rate))

    def seconds_of(self, position: int, size: int) -> float | None:
        """Return the length of ``size`` bytes from ``position`` on; ``None`` as ``seconds_of``."""
        total, end = 0.0, position + size
        for first, encoding, sample_rate in reversed(self._parts):
            start = max(first, position)
            if start < end:
                seconds = seconds_of(end - start, encoding, sample_rate)
                if seconds is None:
                    return None
                total, end = total + seconds, start
        return total


class AudioAccount:
    """Positions in the audio of one stream, in bytes from its start.

    Every byte is in one of three parts: received, reported as lost, or handed over and open.
    """

    __slots__ = ("handed_over", "limit", "mark", "_settled", "_is_confirmed", "_expects_pongs")

    def __init__(self) -> None:
        self.handed_over = 0
        """Bytes that were given to a connection. They are never given to another one."""
        self.limit: float = MAX_UNCONFIRMED
        """Beyond this position audio has to wait until the server has received more."""
        self.mark: int = PING_AFTER
        """Beyond this position the server is to be asked how much it has received."""
        self._settled = 0
        self._is_confirmed = False
        self._expects_pongs = True

    @property
    def open(self) -> int:
        """Bytes handed over of which it is not known whether they were received."""
        return self.handed_over - self._settled

    @property
    def has_room(self) -> bool:
        """Whether half of the bytes that may be on their way can be sent.

        Not one frame alone: each wait costs more than a frame.
        """
        return self.handed_over <= self.limit - MAX_UNCONFIRMED / 2

    @property
    def expects_pongs(self) -> bool:
        """Whether the server is to answer pings."""
        return self._expects_pongs

    def asked(self) -> None:
        """Record that the server is asked about all audio so far."""
        self.mark = self.handed_over + PING_AFTER
        if self.handed_over < self.limit < self.mark:
            self.mark = int(self.limit)

    def received(self, position: int) -> None:
        """Record that the server received all audio before ``position``.

        A position of another connection, or one that was never reached, changes nothing.
        """
        self._is_confirmed = self._expects_pongs = True
        if self._settled < position <= self.handed_over:
            self._settle(position)

    def lose(self) -> tuple[int, int]:
        """Count all open bytes as lost. Returns the position of the first, and their number."""
        position, lost = self._settled, self.open
        self._settle(self.handed_over)
        return position, lost

    def is_not_answered(self) -> None:
        """Record that the server sends events and no pongs, unless it has sent one before.

        Nothing waits for them any more.
        """
        if not self._is_confirmed:
            self._expects_pongs, self.limit = False, float("inf")

    def _settle(self, position: int) -> None:
        self._settled = position
        if self._expects_pongs:
            self.limit = position + MAX_UNCONFIRMED
