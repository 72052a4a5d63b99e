"""A registered transcript, played in place of speech recognition."""

from __future__ import annotations

from symbl_aio.server.live.audio_clock import AudioFormat
from symbl_aio.server.live.speech_stream import Heard, TimedStream
from symbl_aio.server.transcript_registry import RegisteredStream, assign_times


class Playback:
    """The lines of a registered transcript that were not played yet.

    All sockets of a connection id share it, so that a speaker who connects again continues where
    the lost socket ended. Seconds are those of the conversation.
    """

    def __init__(self, registered: RegisteredStream) -> None:
        self._lines = [
            Heard(line.text, start, end, speaker=line.speaker, email=line.email)
            for line, start, end in assign_times(registered.lines, 0.0)
        ]
        self.paced = registered.paced
        self._next = 0
        self._words = 0

    @property
    def is_over(self) -> bool:
        """Whether all lines were played."""
        return self._next == len(self._lines)

    def play(self, seconds: float) -> list[Heard]:
        """Return the lines that end by a time, and the words of the next one until then."""
        due: list[Heard] = []
        while self._next < len(self._lines) and (
            not self.paced or self._lines[self._next].end <= seconds + 1e-6
        ):
            due.append(self._lines[self._next])
            self._next, self._words = self._next + 1, 0
        if self._next < len(self._lines):
            interim = _begun(self._lines[self._next], seconds)
            count = len(interim.text.split()) if interim is not None else 0
            if interim is not None and count > self._words:
                self._words = count
                due.append(interim)
        return due

    def rest(self) -> list[Heard]:
        """Return all lines that were not played."""
        rest, self._next = self._lines[self._next :], len(self._lines)
        return rest


def _begun(line: Heard, seconds: float) -> Heard | None:
    """Return the words of a line until a time, which pass evenly; None before the first."""
    words = line.text.split()
    if seconds <= line.start:
        return None
    count = int(len(words) * (seconds - line.start) / (line.end - line.start))
    if not count:
        return None
    text = " ".join(words[:count])
    return Heard(text, line.start, seconds, False, speaker=line.speaker, email=line.email)


class PlaybackStream(TimedStream):
    """Plays a transcript as the audio of one socket arrives, and the rest at its end."""

    def __init__(self, playback: Playback, audio: AudioFormat, offset: float) -> None:
        super().__init__(audio, offset)
        self._playback = playback
        self._play()

    async def feed(self, audio: bytes) -> None:
        await super().feed(audio)
        self._play()

    async def finish(self, *, lost: bool = False) -> None:
        if not lost:
            self._put(self._playback.rest())
        self._results.end()

    def _play(self) -> None:
        self._put(self._playback.play(self.until))

    def _put(self, due: list[Heard]) -> None:
        for heard in due:
            self._results.put(heard)
