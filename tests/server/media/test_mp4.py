import struct

import pytest

from symbl_aio.server.media.probe import MediaError, MediaInfo
from tests.server.media.containers import FTYP, MDAT, SOUND, VIDEO, box, mvhd, trak, wide_mvhd


def test_an_mp4_with_sound_has_its_duration(probe_bytes):
    found = probe_bytes(FTYP + box(b"moov", mvhd(60), VIDEO, SOUND, box(b"udta")) + MDAT)
    assert found == MediaInfo("mp4", has_audio=True, duration=60.0)


def test_the_index_may_stand_behind_the_media(probe_bytes):
    assert probe_bytes(FTYP + MDAT + box(b"moov", mvhd(60), SOUND)).duration == 60.0


def test_a_silent_video_has_no_audio(probe_bytes):
    found = probe_bytes(FTYP + box(b"moov", mvhd(60), VIDEO) + MDAT)
    assert found == MediaInfo("mp4", has_audio=False, duration=60.0)


def test_sound_shorter_than_the_video_counts(probe_bytes):
    assert probe_bytes(FTYP + box(b"moov", mvhd(60), VIDEO, trak(b"soun", 48.5))).duration == 48.5


def test_sixty_four_bit_fields_are_read(probe_bytes):
    big_mdat = struct.pack(">I4sQ", 1, b"mdat", 16 + 100) + bytes(100)
    assert probe_bytes(FTYP + big_mdat + box(b"moov", wide_mvhd(36_000), SOUND)).duration == 60.0
    assert probe_bytes(FTYP + box(b"moov", wide_mvhd(7.25), VIDEO)).duration == 7.25


def test_a_last_box_of_open_size_reaches_to_the_end(probe_bytes):
    open_mdat = struct.pack(">I4s", 0, b"mdat") + bytes(50)
    assert probe_bytes(FTYP + box(b"moov", mvhd(60), SOUND) + open_mdat).has_audio


def test_a_fragmented_mp4_has_no_known_length(probe_bytes):
    found = probe_bytes(
        FTYP + box(b"moov", mvhd(0), trak(b"soun", 0)) + box(b"moof", bytes(8)) + MDAT
    )
    assert found == MediaInfo("mp4", has_audio=True, duration=None)


def test_junk_behind_an_mp4_is_no_fault(probe_bytes):
    assert probe_bytes(FTYP + box(b"moov", mvhd(60), SOUND) + MDAT + b"TAGTAGTAGTAGTAG").has_audio


def test_a_cut_mp4_is_refused(probe_bytes):
    whole = FTYP + box(b"moov", mvhd(60), SOUND) + MDAT
    with pytest.raises(MediaError, match="cut off"):
        probe_bytes(whole[:-1])


def test_an_mp4_without_an_index_is_refused(probe_bytes):
    with pytest.raises(MediaError, match="no index"):
        probe_bytes(FTYP + MDAT)


def test_a_box_smaller_than_its_header_is_refused(probe_bytes):
    with pytest.raises(MediaError, match="smaller than its own header"):
        probe_bytes(FTYP + struct.pack(">I4s", 4, b"free") + bytes(20))
