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

MAX_UNCONFIRMED: Final = 2**20
"""Bytes that may be on their way, and lost at most when a connection breaks."""

PING_AFTER: Final = 2**17
"""Bytes after which the server is asked how much it has received."""

Audio: TypeAlias = bytes | bytearray | memoryview


def frames(audio: Audio) -> Iterator[memoryview]:
    """Yield audio in pieces of at most ``MAX_FRAME`` bytes, in order and without a copy."""
    view = memoryview(audio).cast("B")
    for start in range(0, len(view), MAX_FRAME):
        yield view[start : start + MAX_FRAME]


def seconds_of(size: int, encoding: str, sample_rate: int) -> float | None:
    """Return the length of mono audio in seconds; ``None`` for an encoding that compresses."""
    width = _BYTES_PER_SAMPLE.get(encoding)
    return None if width is None else size / (width * sample_rate)


class AudioAccount:
    """Positions in the audio of one stream, in bytes from its start.

    Every byte is in one of three parts: received, reported as lost, or handed over and open.
    """

    __slots__ = ("handed_over", "settled", "is_confirmed", "expects_pongs")

    def __init__(self) -> None:
        self.handed_over = 0
        """Bytes that were given to a connection. They are never given to another one."""
        self.settled = 0
        """Bytes of which it is known that they were received, or reported that they may be lost."""
        self.is_confirmed = False
        """Whether the server has ever answered a ping."""
        self.expects_pongs = True
        """Whether audio waits for answers to pings; false for a server that sends none."""

    @property
    def open(self) -> int:
        """Bytes handed over of which it is not known whether they were received."""
        return self.handed_over - self.settled

    @property
    def is_full(self) -> bool:
        """Whether the next audio has to wait until the server has received more."""
        return self.handed_over - self.settled > MAX_UNCONFIRMED and self.expects_pongs

    def received(self, position: int) -> None:
        """Record that the server received all audio before ``position``.

        A position of another connection, or one that was never reached, changes nothing.
        """
        self.is_confirmed = True
        if self.settled < position <= self.handed_over:
            self.settled = position

    def lose(self) -> tuple[int, int]:
        """Count all open bytes as lost. Returns the position of the first, and their number."""
        position, lost = self.settled, self.open
        self.settled = self.handed_over
        return position, lost
