"""Decoding of live audio for the recognition process: frames of any size in, samples out.

``live_worker`` loads it by its path: like the worker it imports nothing of the package. Samples
are 16-bit and mono at ``SAMPLE_RATE``.
"""

from __future__ import annotations

import re
import sys
from typing import Any, TypeAlias

SAMPLE_RATE = 16_000

Samples: TypeAlias = Any
"""A numpy array of 16-bit samples at ``SAMPLE_RATE``."""

# What the parser of FLAC keeps until it knows that a frame ended comes out one by one.
_CODECS = {"FLAC": "flac", "OPUS": "opus"}

# Bytes of FLAC that are decoded at a time: of silence they may be a quarter of an hour.
_FLAC_PIECE = 1024
# FLAC of a lower rate is none that a client may send, and each byte of it would become seconds.
_LEAST_RATE = 8000

# The mark of a FLAC stream, with the head of its first block: 64 bits that no audio has by chance.
_FLAC_START = re.compile(rb"(?=fLaC[\x00\x80]\x00\x00\x22)")
_FLAC_START_SIZE = 8


class Decoder:
    """Decodes the audio of one stream. ``encoding`` is LINEAR16, MULAW, FLAC or OPUS.

    A frame that cannot be decoded is left out: what follows is decoded as if it were not there.
    A recorder of FLAC that starts again begins another stream of it, perhaps of another rate.
    """

    def __init__(self, encoding: str, sample_rate: int) -> None:
        self._encoding = encoding
        self.most = _FLAC_PIECE if encoding == "FLAC" else sys.maxsize
        """Bytes of one frame that are to be decoded at a time, at most."""
        self._rate = sample_rate
        self._odd = b""
        # The end of FLAC audio, which may be the beginning of the mark of another stream.
        self._held = b""
        self._begin()

    def _begin(self) -> None:
        self._resampler: Any = None
        self._codec: Any = None
        if self._encoding in _CODECS:
            import av

            self._codec = av.CodecContext.create(_CODECS[self._encoding], "r")
            if self._encoding == "OPUS":
                # Raw packets have no header; whatever rate the client has, they decode to this.
                self._codec.sample_rate, self._codec.layout = 48_000, "mono"

    def decode(self, data: bytes) -> Samples:
        """Return the samples of a frame, perhaps none."""
        if not data:
            return _joined([])
        match self._encoding:
            case "LINEAR16":
                return self._resample_array(self._linear(data), self._rate)
            case "MULAW":
                return self._resample_array(_mulaw(data), self._rate)
            case "OPUS":
                # One packet a frame: raw packets do not show where the next one begins.
                return self._decode_packets([_packet(data)])
            case _:
                return self._decode_flac(data)

    def flush(self) -> Samples:
        """Return the last samples, which waited for more audio."""
        parts = []
        if self._encoding == "FLAC":
            parts.append(self._parse(self._held))
            self._held = b""
            while packets := self._codec.parse(None):
                parts.append(self._decode_packets(packets))
        if self._resampler is not None:
            parts += [frame.to_ndarray()[0] for frame in self._resampler.resample(None)]
        return _joined(parts)

    def _decode_flac(self, data: bytes) -> Samples:
        *ended, last = _FLAC_START.split(self._held + data)
        parts = []
        for part in ended:
            self._held = part
            parts.append(self.flush())
            self._begin()
        known = max(0, len(last) - _FLAC_START_SIZE + 1)
        self._held = last[known:]
        return _joined([*parts, self._parse(last[:known])])

    def _parse(self, data: bytes) -> Samples:
        # The parser of FLAC crashes on nothing.
        return self._decode_packets(self._codec.parse(data) if data else [])

    def _linear(self, data: bytes) -> Samples:
        import numpy as np

        data = self._odd + data
        whole = len(data) // 2 * 2
        self._odd = data[whole:]
        return np.frombuffer(data[:whole], "<i2").astype("int16")

    def _resample_array(self, samples: Samples, rate: int) -> Samples:
        import av

        if rate == SAMPLE_RATE or not len(samples):
            return samples
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        return self._resample(frame)

    def _decode_packets(self, packets: Any) -> Samples:
        import av

        parts = []
        for packet in packets:
            try:
                frames = self._codec.decode(packet)
            except av.error.FFmpegError:
                continue
            parts += [self._resample(f) for f in frames if f.sample_rate >= _LEAST_RATE]
        return _joined(parts)

    def _resample(self, frame: Any) -> Samples:
        import av

        if self._resampler is None:
            self._resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
        # Times of frames would be read as gaps in between.
        frame.pts = None
        return _joined([out.to_ndarray()[0] for out in self._resampler.resample(frame)])


def _mulaw(data: bytes) -> Samples:
    """Return the samples of G.711 mu-law."""
    import numpy as np

    code = ~np.frombuffer(data, "uint8")
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype("int32")
    size = (((mantissa << 3) + 0x84) << exponent) - 0x84
    return np.where(code & 0x80, -size, size).astype("int16")


def _packet(data: bytes) -> Any:
    import av

    return av.Packet(data)


def _joined(parts: list[Samples]) -> Samples:
    import numpy as np

    return np.concatenate(parts) if parts else np.zeros(0, "int16")
