"""Captions of a recording or of standard input: the work of ``symbl-aio listen``."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import Callable
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, Final

from symbl_aio import ConfigurationError, MediaRejectedError, SymblClient, SymblError, User
from symbl_aio._threads import in_a_thread
from symbl_aio.cli.exit_codes import OK, UNWRITTEN
from symbl_aio.cli.safe_streams import stdin
from symbl_aio.cli.show_json import Show

if TYPE_CHECKING:
    from symbl_aio import Config, Stream, StreamSettings

_STDIN: Final = "-"
_SECONDS: Final = 0.1
"""Of audio that is read from standard input at a time."""


async def captions_of(
    file: str,
    show: Show,
    config: Config,
    *,
    realtime: bool,
    rate: int,
    title: str | None,
    speaker: str | None,
    language: str | None,
) -> int:
    """Print the events of a stream until its conversation is completed. Returns the exit code."""
    settings: StreamSettings = {
        "title": title,
        "language": language,
        "speaker": None if speaker is None else User(name=speaker),
        "insight_types": ["question", "action_item", "follow_up"],
    }
    async with SymblClient(config=config) as symbl:
        if file != _STDIN:
            async with symbl.stream_file(file, realtime=realtime, **settings) as stream:
                return await _show_all(stream, show)
        # Its first bytes decide the rate, so the stream is opened once they are there.
        try:
            rate, read = await in_a_thread(lambda: opened(_standard_input(), rate))
        except OSError as error:
            raise _unreadable(error) from None
        settings["sample_rate"] = rate
        async with symbl.stream(**settings) as stream:
            failures: list[OSError] = []
            sending = asyncio.create_task(_send(stream, read, failures))
            try:
                code = await _show_all(stream, show)
                if failures:
                    raise _unreadable(failures[0])
                return code
            finally:
                sending.cancel()
                await asyncio.wait([sending])


def _standard_input() -> IO[bytes]:
    stream = stdin()
    if stream is None or stream.isatty():
        raise ConfigurationError("standard input has no audio; pipe it in, or name a FILE")
    return stream


def _unreadable(error: OSError) -> MediaRejectedError:
    why = error.strerror or type(error).__name__
    return MediaRejectedError(f"standard input cannot be read ({why})")


def opened(stream: IO[bytes], rate: int) -> tuple[int, Callable[[], bytes]]:
    """Return the rate of the samples on a stream, and a function that reads the next of them.

    A wav is recognised by its first bytes. Blocks until they are there.
    """
    # Read, since a look ahead shows no more than the first write to a pipe, perhaps one byte.
    first = stream.read(4)
    stream = io.BufferedReader(_Rejoined(first, stream))
    if first != b"RIFF":
        return rate, _samples(stream, rate)
    try:
        reader = wave.open(stream, "rb")  # noqa: SIM115  # standard input stays open
    except (wave.Error, EOFError):
        raise MediaRejectedError("standard input is a wav that cannot be read") from None
    if reader.getsampwidth() != 2 or reader.getnchannels() != 1:
        raise ConfigurationError(
            "standard input is a wav of another form; give 16-bit samples of one channel"
        )
    rate = reader.getframerate()
    if not reader.getnframes():  # programs that write to a pipe may leave 0 as the length
        return rate, _samples(stream, rate)
    return rate, lambda: reader.readframes(int(rate * _SECONDS))


class _Rejoined(io.RawIOBase):
    """A stream from which a few bytes were read already."""

    def __init__(self, first: bytes, rest: IO[bytes]) -> None:
        self._first = first
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        part = self._first[:size] or getattr(self._rest, "read1", self._rest.read)(size)
        self._first = self._first[size:]
        buffer[: len(part)] = part
        return len(part)


def _samples(stream: io.BufferedReader[Any], rate: int) -> Callable[[], bytes]:
    return lambda: _whole(stream, int(rate * _SECONDS) * 2)


def _whole(stream: io.BufferedReader[Any], size: int) -> bytes:
    """Return what is there, in whole samples; empty at the end."""
    audio = stream.read1(size)
    if len(audio) % 2:
        audio += stream.read(1)
    return audio


async def _send(stream: Stream, read: Callable[[], bytes], failures: list[OSError]) -> None:
    """Send all audio, and stop. A failure of the reading is the end, and one of ``failures``."""
    with suppress(SymblError):  # which the events raise, too
        try:
            while audio := await in_a_thread(read):
                await stream.send(audio)
        except OSError as error:
            failures.append(error)
        await stream.stop()


async def _show_all(stream: Stream, show: Show) -> int:
    try:
        async for event in stream:
            show.caption(event)
    except asyncio.CancelledError:
        with suppress(ConfigurationError):  # the server has not named it yet
            show.ended(f"stopped; conversation {stream.conversation.id} has the audio that arrived")
        raise
    show.listened(stream.conversation.id)
    return OK if show.written else UNWRITTEN
