"""The interface between the audio of a speaker and the words in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from attrs import frozen

from symbl_aio.server.live.audio_clock import AudioClock, AudioFormat


@frozen
class Heard:
    """Words, with their times in seconds of the conversation.

    ``is_final``: they are complete, and no later result repeats them. ``speaker`` and ``email``:
    those of a registered line, None for the speaker of the stream. ``notice``: the words are a
    message of the server itself.
    """

    text: str
    start: float
    end: float
    is_final: bool = True
    confidence: float = 1.0
    speaker: str | None = None
    email: str | None = None
    notice: bool = False


class SpeechError(Exception):
    """The audio cannot be turned into words. The message is the reason, for the client."""


class SpeechStream(Protocol):
    """Audio in, words out. Results come while audio is fed, and end after ``finish()``."""

    @property
    def until(self) -> float:
        """The second of the conversation until which audio has arrived, as far as it is known."""
        ...

    async def feed(self, audio: bytes) -> None:
        """Add the audio of one frame; wait while too much of it is not processed yet."""
        ...

    async def change(self, audio: AudioFormat) -> None:
        """Decode the audio that follows as one of another format."""
        ...

    async def finish(self, *, lost: bool = False) -> None:
        """End the audio: ``results()`` ends with the last words.

        ``lost``: the connection broke, and the speaker may come back.
        """
        ...

    def results(self) -> AsyncIterator[Heard]:
        """Yield the results in order, to one reader. Raises ``SpeechError``."""
        ...


class ResultQueue:
    """Results on the way to their one reader. An interim result replaces the one before it."""

    def __init__(self) -> None:
        self._waiting: list[Heard] = []
        self._end: bool | SpeechError = False
        self._changed = asyncio.Event()

    def put(self, heard: Heard) -> None:
        """Add a result, after those that were added before."""
        if self._waiting and not self._waiting[-1].is_final:
            self._waiting.pop()
        self._waiting.append(heard)
        self._changed.set()

    def end(self, error: SpeechError | None = None) -> None:
        """End the results, with an error or without. The first end counts."""
        self._end = self._end or error or True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[Heard]:
        while True:
            while self._waiting:
                yield self._waiting.pop(0)
            if isinstance(self._end, SpeechError):
                raise self._end
            if self._end:
                return
            self._changed.clear()
            await self._changed.wait()


_NOT_TRANSCRIBED = (
    "[{seconds:.1f} s of audio received, not transcribed: this server recognises speech "
    "if it is started with recognition on and has the extra, "
    "pip install '.[asr]' in a checkout of symbl-aio]"
)


class TimedStream:
    """Audio whose time alone counts, and the results of it.

    ``offset``: the second of the conversation at which the audio begins.
    """

    def __init__(self, audio: AudioFormat, offset: float) -> None:
        self._clock = AudioClock(audio)
        self._offset = offset
        self._results = ResultQueue()

    @property
    def until(self) -> float:
        return self._offset + self._clock.seconds

    async def feed(self, audio: bytes) -> None:
        self._clock.add(audio)

    async def change(self, audio: AudioFormat) -> None:
        self._clock.change(audio)

    def results(self) -> AsyncIterator[Heard]:
        return aiter(self._results)


class UntranscribedStream(TimedStream):
    """Audio without recognition and without a transcript: its one result is a notice."""

    _received = False

    async def feed(self, audio: bytes) -> None:
        await super().feed(audio)
        self._received = True

    async def finish(self, *, lost: bool = False) -> None:
        if self._received:
            seconds = self._clock.seconds
            text = _NOT_TRANSCRIBED.format(seconds=seconds)
            self._results.put(Heard(text, self._offset, self.until, notice=True))
        self._results.end()
