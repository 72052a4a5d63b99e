from __future__ import annotations

import pytest

from symbl_aio.server.live.audio_clock import AudioClock, AudioFormat, opus_seconds
from tests.tables import table


@table(
    "audio,sizes,seconds",
    [
        (AudioFormat(), [32_000, 16_000], 1.5),
        (AudioFormat("LINEAR16", 8000), [1, 15_999], 1.0),
        (AudioFormat("LINEAR16", 44_100), [8192] * 10, 8192 * 10 / 2 / 44_100),
        (AudioFormat("MULAW", 8000), [2048, 2048], 0.512),
        (AudioFormat("FLAC", 16_000), [5000], 0.0),
    ],
)
def test_the_length_follows_from_the_bytes(
    audio: AudioFormat, sizes: list[int], seconds: float
) -> None:
    clock = AudioClock(audio)
    for size in sizes:
        clock.add(bytes(size))

    assert clock.seconds == pytest.approx(seconds)


@table(
    "packet,seconds",
    [
        (bytes([0b01111_0_00]), 0.020),  # hybrid, one frame
        (bytes([0b11111_0_00]), 0.020),  # CELT
        (bytes([0b00011_0_01]), 0.120),  # SILK, two frames of 60 ms
        (bytes([0b10000_0_11, 4]), 0.010),  # CELT, four frames of 2.5 ms
        (bytes([0b00011_0_11, 63]), 0.0),  # more than a packet can have
        (bytes([0b00000_0_11]), 0.0),  # the count is missing
        (b"", 0.0),
    ],
)
def test_the_length_of_an_opus_packet_is_in_its_first_bytes(packet: bytes, seconds: float) -> None:
    assert opus_seconds(packet) == pytest.approx(seconds)


def test_a_change_of_the_format_counts_from_there_on() -> None:
    clock = AudioClock(AudioFormat())
    clock.add(bytes(32_001))
    clock.change(AudioFormat("LINEAR16", 8000))
    clock.add(bytes(16_000))

    assert clock.seconds == pytest.approx(2.0)
