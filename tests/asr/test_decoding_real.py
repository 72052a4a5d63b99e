"""Decoding of files as recorders and pipes write them, made by PyAV in the tests themselves."""

from __future__ import annotations

import random
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from symbl_aio.server.recognizer import Recognizer
from symbl_aio.server.recording_decoder import (
    SAMPLE_RATE,
    ReportableError,
    UnreadableTrackError,
    count_tracks,
    mix,
    windows,
)

pytestmark = [
    pytest.mark.asr,
    pytest.mark.skipif(not Recognizer.available(), reason="needs the asr extra"),
]


def tone(seconds: float, *, channels: int = 1, rate: int = SAMPLE_RATE) -> Any:
    import numpy as np

    wave = (8000 * np.sin(np.arange(int(seconds * rate)) * 440 * 2 * np.pi / rate)).astype("int16")
    return np.tile(wave, (channels, 1))


def write(
    path: Path,
    codec: str,
    *tracks: Any,
    rate: int = SAMPLE_RATE,
    lost: tuple[float, float] = (0.0, 0.0),
    delay: float = 0.0,
) -> Path:
    """Write a file of these tracks without the packets of a range of seconds."""
    import av

    with av.open(str(path), "w") as container:
        layouts = ("mono", "stereo")
        streams = [
            container.add_stream(codec, rate=rate, layout=layouts[len(track) - 1])
            for track in tracks
        ]
        packets = []
        for stream, track in zip(streams, tracks, strict=True):
            for frame in _frames(track, rate):
                packets += stream.encode(frame)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.pts * packet.time_base):
            if not lost[0] <= packet.pts * packet.time_base < lost[1]:
                packet.pts += round(delay / packet.time_base)
                packet.dts = packet.pts
                container.mux(packet)
    return path


def _frames(track: Any, rate: int) -> Iterator[Any]:
    import av
    import numpy as np

    for start in range(0, track.shape[1], 1024):
        piece = np.ascontiguousarray(track[:, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(
            piece.T.reshape(1, -1), "s16", ("mono", "stereo")[len(track) - 1]
        )
        frame.sample_rate, frame.pts = rate, start
        yield frame


def whole(path: Path, track: int = 0, *, separate: bool = False) -> Any:
    import numpy as np

    return np.concatenate(
        [samples for _, samples in windows(str(path), track, separate=separate)], axis=1
    )


def loud_seconds(samples: Any) -> list[int]:
    """Return the seconds in which there is sound."""
    seconds = samples.shape[1] // SAMPLE_RATE
    pieces = samples[0, : seconds * SAMPLE_RATE].reshape(seconds, SAMPLE_RATE)
    return [second for second in range(seconds) if abs(pieces[second]).max() > 1000]


def test_channels_stay_apart_or_become_one(tmp_path: Path) -> None:
    import numpy as np

    stereo = np.concatenate([tone(3), np.zeros((1, 3 * SAMPLE_RATE), "int16")])
    path = write(tmp_path / "stereo.flac", "flac", stereo)
    left, right = whole(path, separate=True)
    assert abs(left).max() > 7000
    assert not right.any()
    (mixed,) = whole(path)
    assert abs(mixed).max() == pytest.approx(4000, abs=100)


@pytest.mark.parametrize("channels", [8, 12, 65])
def test_a_recording_of_many_microphones_is_read(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "many.wav"
    sound = tone(2, channels=channels)
    sound[:-1] = 0
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(sound.T.tobytes())
    apart = whole(path, separate=True)
    assert len(apart) == channels
    assert not apart[:-1].any()
    assert abs(apart[-1]).max() > 7000
    assert len(whole(path)) == 1


def test_opposite_phases_do_not_cancel_each_other() -> None:
    import numpy as np

    (wave,) = tone(1)
    assert (mix(np.stack([wave, -wave])) == wave).all() or (
        mix(np.stack([wave, -wave])) == -wave
    ).all()
    # Not quite opposite, as after a lossy codec.
    assert abs(mix(np.stack([wave, (-0.9 * wave).astype("int16")]))).max() > 7000
    assert (mix(np.stack([wave, wave])) == wave).all()


def test_six_channels_become_one_without_overflow() -> None:
    import numpy as np

    assert (mix(np.full((6, SAMPLE_RATE), 30_000, "int16")) == 32_767).all()


def test_sound_that_begins_later_than_the_file_keeps_its_time(tmp_path: Path) -> None:
    import av

    late = write(tmp_path / "late.mka", "flac", tone(3), delay=2.0)
    film = tmp_path / "film.mkv"
    with av.open(str(film), "w") as target, av.open(str(late)) as source:
        video = target.add_stream("mpeg4", rate=5, width=64, height=64, pix_fmt="yuv420p")
        sound = target.add_stream_from_template(source.streams.audio[0])
        packets = [packet for packet in source.demux(audio=0) if packet.dts is not None]
        for number in range(25):
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 5)
            target.mux(video.encode(frame))
        target.mux(video.encode(None))
        for packet in packets:
            packet.stream = sound
            target.mux(packet)
    assert loud_seconds(whole(film)) == [2, 3, 4]
    # Without a film there is nothing before the sound.
    assert loud_seconds(whole(late)) == [0, 1, 2]


def test_lost_packets_leave_a_gap_of_their_length(tmp_path: Path) -> None:
    path = write(tmp_path / "gap.mka", "flac", tone(10), lost=(3.0, 6.0))
    samples = whole(path)
    assert samples.shape[1] / SAMPLE_RATE == pytest.approx(10, abs=0.2)
    # The border is that of packets of 0.3 s.
    assert {0, 1, 2, 7, 8, 9} <= set(loud_seconds(samples)) <= {0, 1, 2, 3, 6, 7, 8, 9}


def test_a_clock_that_jumps_by_hours_adds_no_silence(tmp_path: Path) -> None:
    first = write(tmp_path / "1.ogg", "flac", tone(3))
    second = write(tmp_path / "2.ogg", "flac", tone(3), delay=10_000.0)
    joined = tmp_path / "joined.ogg"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    assert whole(joined).shape[1] / SAMPLE_RATE == pytest.approx(6, abs=0.3)


def test_damaged_bytes_are_a_gap_and_not_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "noise.mka", "aac", tone(10))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = random.Random(7).randbytes(200)
    path.write_bytes(content)
    assert whole(path).shape[1] / SAMPLE_RATE == pytest.approx(10, abs=0.5)


def test_tracks_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "two.mka", "flac", tone(1), tone(2))
    assert count_tracks(str(path)) == 2
    assert whole(path, 1).shape[1] == 2 * SAMPLE_RATE


def test_too_much_sound_is_refused_by_the_seconds_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("symbl_aio.server.recording_decoder.LONGEST", 5.5)
    path = write(tmp_path / "long.flac", "flac", tone(6))
    content = bytearray(path.read_bytes())
    # The header states one second: 36 bits of the number of samples.
    content[21] &= 0xF0
    content[22:26] = SAMPLE_RATE.to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(ReportableError, match="longer than the 0 hours"):
        whole(path)
    assert whole(write(tmp_path / "short.flac", "flac", tone(5))).shape[1] == 5 * SAMPLE_RATE


def test_sound_of_which_each_sample_is_a_second_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "slow.flac", "flac", tone(300, rate=1), rate=1)
    with pytest.raises(ReportableError, match="1 samples a second only"):
        whole(path)


def test_a_track_without_sound_cannot_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "empty.wav", "pcm_s16le", tone(1))
    path.write_bytes(path.read_bytes()[: -2 * SAMPLE_RATE])
    with pytest.raises(UnreadableTrackError, match="empty or damaged"):
        whole(path)
