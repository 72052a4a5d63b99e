"""Recordings as the samples of a stream: 16 bits, one channel. Blocking; for a thread."""

from __future__ import annotations

import os
import threading
import wave
from array import array
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, Final

from symbl_aio._error_classes import ConfigurationError, MediaRejectedError, SymblError

_RATE: Final = 16_000
"""Of a recording that is decoded: more is of no use to speech recognition."""
_RATES: Final = range(8_000, 48_001)
"""Rates of LINEAR16 that the API takes (Streaming API page)."""


class Samples:
    """An open recording: 16 bits, little endian, one channel, at ``sample_rate`` Hz."""

    def __init__(self, sample_rate: int, chunks: Generator[bytes, None, None]) -> None:
        self.sample_rate = sample_rate
        self._chunks = chunks
        # A reader who is cancelled leaves its thread to go on, and closes in another one.
        self._lock = threading.Lock()

    def read(self) -> bytes:
        """Return the next samples; empty at the end. Raises ``MediaRejectedError``."""
        try:
            with self._lock:
                return next(self._chunks, b"")
        except SymblError:
            raise
        except Exception as error:  # decoders raise more than they document
            raise MediaRejectedError("the recording cannot be decoded to its end") from error

    def close(self) -> None:
        """Close the file. Safe to repeat."""
        with self._lock:
            self._chunks.close()


def open_samples(path: str | os.PathLike[str], seconds: float) -> Samples:
    """Open a recording: a wav of 16 bits by itself, all else by PyAV.

    Raises ``MediaRejectedError`` for a file that is missing or cannot be decoded,
    ``ConfigurationError`` if PyAV is needed and not installed.
    """
    try:
        try:
            reader = wave.open(os.fspath(path), "rb")  # noqa: SIM115  # closed with the samples
        except (wave.Error, EOFError):
            return _by_av(path, seconds)
        if reader.getsampwidth() == 2 and reader.getframerate() in _RATES:
            rate = reader.getframerate()
            return Samples(rate, _of_wav(reader, max(1, int(rate * seconds))))
        reader.close()
        return _by_av(path, seconds)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise MediaRejectedError(f"{os.fspath(path)} cannot be read ({why})") from None


def _of_wav(reader: wave.Wave_read, count: int) -> Generator[bytes, None, None]:
    channels = reader.getnchannels()
    with reader:
        read: Callable[[], bytes] = partial(reader.readframes, count)
        if not reader.getnframes():
            # An interrupted recorder leaves 0 as the length: the samples go on to the end of the
            # file, which stands at the first of them. It may be a pipe, and open only once.
            riff: Any = reader.getfp()
            read = partial(riff.file.read, 2 * channels * count)
        while samples := read():
            yield samples if channels == 1 else _mixed(samples, channels)


def _mixed(samples: bytes, channels: int) -> bytes:
    """Return the mean of all channels. Whole sample frames only."""
    found = array("h", samples[: len(samples) - len(samples) % (2 * channels)])
    parts = [found[channel::channels] for channel in range(channels)]
    return array("h", (sum(frame) // channels for frame in zip(*parts, strict=True))).tobytes()


def _by_av(path: str | os.PathLike[str], seconds: float) -> Samples:
    try:
        import av  # an extra
        from av.error import FFmpegError
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"{os.fspath(path)} is no wav of 16-bit samples, and PyAV, which decodes all else, is "
            "not installed; pip install '.[live]' in a checkout of symbl-aio"
        ) from None
    try:
        container = av.open(os.fspath(path))
    except FFmpegError as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        raise MediaRejectedError(
            f"{os.fspath(path)} cannot be decoded; give a recording with sound"
        ) from None
    if not container.streams.audio:
        container.close()
        raise MediaRejectedError(f"{os.fspath(path)} has no audio")
    return Samples(_RATE, _of_container(av, container, int(_RATE * seconds) * 2))


def _of_container(av: Any, container: Any, size: int) -> Generator[bytes, None, None]:
    """Yield samples of ``size`` bytes at a time."""
    with container:
        waiting = bytearray()
        for part in _resampled(av, container):
            waiting += bytes(part.planes[0])[: part.samples * 2]
            while len(waiting) >= size:
                yield bytes(waiting[:size])
                del waiting[:size]
        if waiting:
            yield bytes(waiting)


def _resampled(av: Any, container: Any) -> Iterator[Any]:
    resampler: Any = None
    taken: tuple[object, ...] = ()
    for frame in _decoded(av, container):
        form = frame.format.name, frame.layout.name, frame.sample_rate
        # Recordings that were joined, or are of a device that was changed, may change it midway.
        if form != taken:
            if resampler is not None:
                yield from resampler.resample(None)
            resampler, taken = av.AudioResampler(format="s16", layout="mono", rate=_RATE), form
        yield from resampler.resample(frame)
    if resampler is None:
        raise MediaRejectedError("the recording cannot be decoded: it has no sound, or is damaged")
    yield from resampler.resample(None)


def _decoded(av: Any, container: Any) -> Iterator[Any]:
    """Yield the frames of the first track. A damaged packet is left out, as by an upload."""
    for packet in container.demux(audio=0):
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue
