"""Decoding of a recording for the recognition process: tracks, channels, times of packets.

``asr_worker`` loads it by its path: like the worker it imports nothing of the package. Sound
is 16-bit at ``SAMPLE_RATE``, as arrays of (channels, samples) without a hole: second 0 is the
start of the recording, and silence stands for what is missing before, between and after
packets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

SAMPLE_RATE = 16_000
# The longest recording, in seconds, whatever its header states: one recording must not keep
# all others waiting.
LONGEST = 4 * 3600.0
WINDOW = 150 * SAMPLE_RATE  # an hour in one piece would take 3.4 GB
SEARCH = 10 * SAMPLE_RATE  # the end of a window, searched for a pause
SLICE = SAMPLE_RATE // 5

# One frame of fewer samples a second would be hours of sound in memory at once.
_LEAST_RATE = 1000
# Times of packets jitter by less; an encoder's delay is shorter.
_MIN_GAP = 0.1
# A longer jump is no pause but another clock, as in files that were joined.
_MAX_GAP = 3600.0

Samples: TypeAlias = Any
"""A numpy array of 16-bit samples at ``SAMPLE_RATE``: one row for each channel."""


class ReportableError(Exception):
    """An error whose text may be sent to the caller: it contains no path."""


class UnreadableTrackError(ReportableError):
    """A track without sound that can be decoded."""


def count_tracks(path: str) -> int:
    """Return the number of audio tracks. Raises ``ReportableError`` if there is none."""
    with _open(path) as container:
        count = len(container.streams.audio)
    if not count:
        raise ReportableError("the media has no audio track")
    return count


def windows(
    path: str, track: int, *, separate: bool, stated: float | None = None
) -> Iterator[tuple[float, Samples]]:
    """Decode a track in pieces of up to two and a half minutes: (start in seconds, samples).

    The samples have one row, or with ``separate`` one for each channel. A piece is cut in the
    quietest fifth of a second of its last ten seconds. Raises ``UnreadableTrackError``, or
    ``ReportableError`` if there is more sound than ``LONGEST`` or, like less of it, than the
    header has ``stated``; both in seconds.
    """
    import numpy as np

    pending: list[Samples] = []
    length = consumed = rows = 0
    for block in blocks(path, track, stated):
        part = block if separate else mix(block)
        # A recording may change its channels midway; the first ones stay.
        rows = rows or len(part)
        pending.append(fit_rows(part, rows))
        length += part.shape[1]
        if length >= WINDOW:
            samples = np.concatenate(pending, axis=1)
            end = quietest_point(samples)
            yield consumed / SAMPLE_RATE, samples[:, :end]
            pending, length, consumed = [samples[:, end:]], length - end, consumed + end
    if not pending:
        raise UnreadableTrackError(
            "the media cannot be decoded: its audio track is empty or damaged"
        )
    yield consumed / SAMPLE_RATE, np.concatenate(pending, axis=1)


def quietest_point(samples: Samples) -> int:
    """Return the middle of the quietest slice near the end."""
    slices = SEARCH // SLICE
    tail = samples[:, -slices * SLICE :].astype("float32").reshape(-1, slices, SLICE)
    quietest_slice = int((tail**2).mean(axis=(0, 2)).argmin())
    length = int(samples.shape[1])
    return length - slices * SLICE + quietest_slice * SLICE + SLICE // 2


def mix(block: Samples) -> Samples:
    """Return one row of the channels of a block of sound.

    Channels of opposite phase cancel each other; then the loudest one alone is returned.
    """
    import numpy as np

    count = len(block)
    if count == 1:
        return block
    channels = block.astype("float32")
    mixed = channels.sum(axis=0) / 2
    power = (channels**2).mean(axis=1)
    # Speech in one of two channels keeps a quarter of its power, speech in both all of it.
    if (mixed**2).mean() < power.max() / 16:
        mixed = channels[power.argmax()]
    return np.clip(mixed, -32768, 32767).astype("int16").reshape(1, -1)


def fit_rows(samples: Samples, rows: int) -> Samples:
    """Return samples with this number of rows: others are dropped, or added as silence."""
    import numpy as np

    if len(samples) < rows:
        lacking = np.zeros((rows - len(samples), samples.shape[1]), "int16")
        return np.concatenate([samples, lacking])
    return samples[:rows]


def blocks(path: str, track: int, stated: float | None) -> Iterator[Samples]:
    """Yield a track in blocks of a second or more, each with one number of channels."""
    import numpy as np

    pending: list[Samples] = []
    length = 0
    for piece in _decode(path, track, stated):
        if pending and (length >= SAMPLE_RATE or len(piece) != len(pending[0])):
            yield np.concatenate(pending, axis=1)
            pending, length = [], 0
        pending.append(piece)
        length += piece.shape[1]
    if pending:
        yield np.concatenate(pending, axis=1)


def _decode(path: str, track: int, stated: float | None) -> Iterator[Samples]:
    """Yield the sound of a track, each frame at the time of its packet."""
    import av
    import numpy as np

    with _open(path) as container:
        stream = container.streams.audio[track]
        # The first track's start may be later: sound that begins two seconds into a film.
        offset = -float(container.start_time or 0) / av.time_base
        resampler = None
        position = sound = 0.0  # seconds of all that was yielded, and without silence put in
        for frame in _frames(container, stream):
            if frame.sample_rate < _LEAST_RATE:
                raise ReportableError(f"the media has {frame.sample_rate} samples a second only")
            if resampler is None or not resampler.fits(frame):
                if resampler is not None:
                    yield from resampler.resample(None)
                resampler = _Resampler(frame)
            if frame.time is not None:
                gap = offset + frame.time - position
                if abs(gap) > _MAX_GAP:
                    offset -= gap
                elif gap > _MIN_GAP:
                    for _ in range(int(gap)):
                        yield np.zeros((resampler.channels, SAMPLE_RATE), "int16")
                    rest = round(gap % 1 * SAMPLE_RATE)
                    yield np.zeros((resampler.channels, rest), "int16")
                    position += gap
            position += frame.samples / frame.sample_rate
            sound += frame.samples / frame.sample_rate
            # Counted while decoding: a header may state seconds and hold hours.
            check_not_longer(position, None)
            check_not_longer(sound, stated)
            yield from resampler.resample(frame)
        if resampler is not None:
            yield from resampler.resample(None)
            # FFmpeg reads a truncated file without complaint, as far as it goes.
            check_not_shorter(position, stated)


def check_not_longer(decoded: float, stated: float | None) -> None:
    """Raise ReportableError once there is more sound than allowed, or than stated."""
    if decoded > LONGEST:
        raise ReportableError(f"the media is longer than the {LONGEST / 3600:.0f} hours allowed")
    # The queue took it for a short recording, which does not wait behind long ones.
    if stated is not None and decoded > stated + tolerance(stated):
        raise ReportableError(
            f"the media has more sound than the {stated:.1f} s that its header states"
        )


def check_not_shorter(decoded: float, stated: float | None) -> None:
    """Raise ReportableError if there was less sound than stated."""
    if stated is not None and decoded < stated - tolerance(stated):
        raise ReportableError(f"the media is cut off after {decoded:.1f} of {stated:.1f} s")


def tolerance(stated: float) -> float:
    """Return the seconds by which an honest header may be wrong."""
    return max(1.0, stated * 0.02)


class _Resampler:
    """Converts frames of one format to ``SAMPLE_RATE``; the channels stay."""

    def __init__(self, frame: Any) -> None:
        import av

        self._format = _format(frame)
        self.channels = len(frame.layout.channels)
        # Packed, in one plane: PyAV reads past the planes of a frame that has eight or more.
        self._resampler = av.AudioResampler("s16", frame.layout, SAMPLE_RATE)

    def fits(self, frame: Any) -> bool:
        """Return whether the frame has the format of the first one."""
        return _format(frame) == self._format

    def resample(self, frame: Any) -> Iterator[Samples]:
        """Yield the samples of a frame, or with None the last ones."""
        for out in self._resampler.resample(frame):
            yield out.to_ndarray().reshape(-1, self.channels).T


def _format(frame: Any) -> tuple[object, ...]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the frames of a stream as far as it can be read.

    A packet that cannot be decoded is skipped: the times of the next ones keep its place.
    """
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            return  # the rest of the file cannot be read
        if packet is None:
            return
        try:
            yield from packet.decode()
        except MemoryError:
            raise
        except av.error.FFmpegError:
            continue


def _open(path: str) -> Any:
    # Imported late, so that a missing package is reported as an answer.
    import av

    try:
        return av.open(path)
    except av.error.FFmpegError as error:
        raise ReportableError(f"the media cannot be decoded: {error.strerror}") from error
