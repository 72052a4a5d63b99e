import struct

import pytest

from symbl_aio.server.media.probe import MediaError, MediaInfo
from tests.server.media.containers import MP3_FRAME


def test_the_duration_of_an_mp3_without_a_tag_follows_from_its_bit_rate(probe_bytes):
    assert probe_bytes(MP3_FRAME * 100) == MediaInfo("mp3", True, 3.6)


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
    assert probe_bytes(b"\x0b\x77\0\0\x04" + bytes(11_995)) == MediaInfo("ac3", True, 2.0)
    with pytest.raises(MediaError, match="reserved"):
        probe_bytes(b"\x0b\x77\0\0\xc0" + bytes(20))


@pytest.mark.parametrize(
    "magic, frame", [(b"#!AMR\n", b"\x3c" + bytes(31)), (b"#!AMR-WB\n", b"\x44" + bytes(60))]
)
def test_an_amr_counts_its_frames(probe_bytes, magic, frame):
    assert probe_bytes(magic + frame * 50) == MediaInfo("amr", True, 1.0)
    assert probe_bytes(magic).has_audio is False
