import struct

import pytest

from symbl_aio.server.media.probe import MediaError, MediaInfo
from tests.server.media.containers import MP3_FRAME


def test_the_duration_of_an_mp3_without_a_tag_follows_from_its_bit_rate(probe_bytes):
    assert probe_bytes(MP3_FRAME * 100) == MediaInfo("mp3", True, 3.6, estimated=True)


def test_id3_tags_in_front_of_an_mp3_do_not_count(probe_bytes):
    tag = b"ID3\4\0\0\0\0\1\0" + bytes(128)
    assert probe_bytes(tag + tag + MP3_FRAME * 100).duration == 3.6


def test_an_mp3_with_a_xing_tag_counts_its_frames(probe_bytes):
    tagged = MP3_FRAME[:21] + b"Xing" + struct.pack(">II", 1, 1000) + bytes(111)
    assert probe_bytes(tagged + MP3_FRAME * 3).duration == 36.0


def test_an_mp3_with_a_vbri_tag_counts_its_frames(probe_bytes):
    tagged = MP3_FRAME[:36] + b"VBRI" + bytes(10) + struct.pack(">I", 500) + bytes(90)
    assert probe_bytes(tagged + MP3_FRAME * 3).duration == 18.0


def test_an_mp3_of_half_rate_is_read(probe_bytes):
    # MPEG 2 layer 3, 16 kbit/s, 16 kHz, mono.
    assert probe_bytes((b"\xff\xf3\x28\xc0" + bytes(68)) * 50).duration == 1.8


def test_bytes_that_only_look_like_a_frame_are_skipped(probe_bytes):
    tag = b"ID3\4\0\0\0\0\0\0"
    assert probe_bytes(tag + b"\xff\xfb\xf8\xc0" + MP3_FRAME * 100).duration == 3.6


def test_a_tag_with_nothing_behind_it_is_refused(probe_bytes):
    with pytest.raises(MediaError, match="mp3: no sound"):
        probe_bytes(b"ID3\4\0\0\0\0\0\0" + bytes(20))


def test_an_aac_counts_its_frames(probe_bytes):
    frame = b"\xff\xf1\x60\x40\x02\x1f\xfc" + bytes(9)  # 16 kHz, 16 bytes
    assert probe_bytes(frame * 125) == MediaInfo("aac", True, 8.0)
    assert probe_bytes(frame * 125 * 400).duration == pytest.approx(3200)
    with pytest.raises(MediaError, match="smaller"):
        probe_bytes(b"\xff\xf1\x60\x40\0\0\xfc" + bytes(9))


def test_the_duration_of_an_ac3_follows_from_its_bit_rate(probe_bytes):
    assert probe_bytes(b"\x0b\x77\0\0\x04" + bytes(11_995)) == MediaInfo(
        "ac3", True, 2.0, estimated=True
    )
    with pytest.raises(MediaError, match="reserved"):
        probe_bytes(b"\x0b\x77\0\0\xc0" + bytes(20))


@pytest.mark.parametrize(
    "magic, frame", [(b"#!AMR\n", b"\x3c" + bytes(31)), (b"#!AMR-WB\n", b"\x44" + bytes(60))]
)
def test_an_amr_counts_its_frames(probe_bytes, magic, frame):
    assert probe_bytes(magic + frame * 50) == MediaInfo("amr", True, 1.0)
    assert probe_bytes(magic).has_audio is False


def eac3_frame(size: int, *, stream: int = 0, blocks: int = 3) -> bytes:
    """An E-AC-3 frame at 48 kHz of so many bytes; ``blocks`` 3 means six of 256 samples."""
    fields = struct.pack(">H", stream << 14 | size // 2 - 1)
    return (b"\x0b\x77" + fields + bytes([blocks << 4, 16 << 3])).ljust(size, b"\0")


def test_an_eac3_counts_its_frames_and_not_those_that_only_add_channels(probe_bytes):
    whole = eac3_frame(200) + eac3_frame(100, stream=1)
    assert probe_bytes(whole * 100).stated_duration == pytest.approx(3.2)
    assert probe_bytes(eac3_frame(60, blocks=0) * 100).duration == pytest.approx(100 * 256 / 48_000)
    # Half of 48 kHz.
    half = b"\x0b\x77" + struct.pack(">H", 29) + bytes([3 << 6, 16 << 3]) + bytes(54)
    assert probe_bytes(half * 10).duration == pytest.approx(10 * 1536 / 24_000)


def test_the_length_of_a_long_file_without_a_header_is_an_estimate(probe_bytes):
    # Ten seconds of silence in small frames, then speech in large ones.
    quiet = b"\xff\xf1\x60\x40\x02\x1f\xfc" + bytes(9)
    loud = b"\xff\xf1\x60\x40\x40\x1f\xfc" + bytes(505)
    found = probe_bytes(quiet * 20_000 + loud * 20_000)
    assert found.estimated
    assert found.duration > 4 * 3600 > 40_000 * 1024 / 16_000
    assert found.stated_duration is None


def xing(frames: int, size: int) -> bytes:
    return MP3_FRAME[:21] + b"Xing" + struct.pack(">III", 3, frames, size) + bytes(107)


def test_an_mp3_that_holds_less_than_its_tag_states_is_cut_off(probe_bytes):
    whole = xing(100, 101 * 144) + MP3_FRAME * 100
    assert probe_bytes(whole).stated_duration == pytest.approx(3.6)
    with pytest.raises(MediaError, match="cut off"):
        probe_bytes(whole[: len(whole) // 2])


def test_an_mp3_with_junk_in_front_is_found(probe_bytes):
    junk = b"\xff\xfb\x18\xc0 looks like a frame, and is none " * 9
    found = probe_bytes(junk + MP3_FRAME * 100)
    assert (found.container, found.duration) == ("mp3", pytest.approx(3.6))
