"""The formats of live audio, and the length of the audio that has arrived.

The length follows from the bytes, without decoding: so a registered transcript is paced by the
audio where no speech recognition is installed.
"""

from __future__ import annotations

from attrs import frozen

ENCODINGS = ("LINEAR16", "MULAW", "FLAC", "OPUS")

_DEFAULT_RATE = 16_000
_MULAW_RATE = 8_000

# Seconds of one frame of a packet, by the upper five bits of its first byte. RFC 6716, 3.1.
_SILK = (0.010, 0.020, 0.040, 0.060)
_HYBRID = (0.010, 0.020)
_CELT = (0.0025, 0.005, 0.010, 0.020)
_OPUS_FRAMES = (*_SILK * 3, *_HYBRID * 2, *_CELT * 4)


@frozen
class AudioFormat:
    """An encoding of ``ENCODINGS``, one channel of ``sample_rate`` samples a second."""

    encoding: str = "LINEAR16"
    sample_rate: int = _DEFAULT_RATE

    @classmethod
    def of(cls, encoding: str | None, sample_rate: int | None) -> AudioFormat:
        """Return a format with the defaults of the API for the parts that are None."""
        default = _MULAW_RATE if encoding == "MULAW" else _DEFAULT_RATE
        return cls(encoding or "LINEAR16", sample_rate or default)


class AudioClock:
    """Counts the seconds of the audio of one stream.

    The length of FLAC is not known before it is decoded: ``seconds`` stays where it is.
    """

    def __init__(self, audio: AudioFormat) -> None:
        self.audio = audio
        self.seconds = 0.0
        # Half a sample, which the next frame completes.
        self._odd = 0

    def change(self, audio: AudioFormat) -> None:
        """Count the audio that follows as one of another format."""
        self.audio, self._odd = audio, 0

    def add(self, data: bytes) -> None:
        """Count the audio of one frame."""
        rate = self.audio.sample_rate
        match self.audio.encoding:
            case "LINEAR16":
                samples, self._odd = divmod(len(data) + self._odd, 2)
                self.seconds += samples / rate
            case "MULAW":
                self.seconds += len(data) / rate
            case "OPUS":
                self.seconds += opus_seconds(data)


def opus_seconds(packet: bytes) -> float:
    """Return the length of an Opus packet; 0 for bytes that are none."""
    if not packet:
        return 0.0
    frame = _OPUS_FRAMES[packet[0] >> 3]
    match packet[0] & 3:
        case 0:
            count = 1
        case 1 | 2:
            count = 2
        case _:
            count = packet[1] & 63 if len(packet) > 1 else 0
    # A packet has at most 120 ms.
    seconds = count * frame
    return seconds if seconds <= 0.12 + 1e-9 else 0.0
