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


def fragment(track: int, start: int | None, *runs: bytes, ticks: int = 0) -> bytes:
    flags = 0x8 if ticks else 0
    tfhd = box(b"tfhd", struct.pack(">II", flags, track), struct.pack(">I", ticks) * bool(ticks))
    tfdt = b"" if start is None else box(b"tfdt", struct.pack(">IQ", 1 << 24, start))
    return box(b"moof", box(b"mfhd", bytes(8)), box(b"traf", tfhd, tfdt, *runs)) + MDAT


def numbered(number: int, seconds: float) -> bytes:
    """A sound track with an id and a scale of 1000."""
    tkhd = box(b"tkhd", bytes(12), struct.pack(">I", number), bytes(64))
    hdlr = box(b"hdlr", bytes(8), b"soun", bytes(13))
    return box(b"trak", tkhd, box(b"mdia", mvhd(seconds, b"mdhd"), hdlr))


RUN_OF_50 = box(b"trun", struct.pack(">II", 0, 50))
RUN_OF_3 = box(b"trun", struct.pack(">IIiIIIIIII", 0x301, 3, 8, 500, 1, 700, 1, 800, 1, 0))


def moov_of_fragments(*, default: int = 0, seconds: float = 0) -> bytes:
    trex = box(b"trex", struct.pack(">IIIIII", 0, 1, 1, default, 0, 0))
    return box(b"moov", mvhd(seconds), numbered(1, 0), box(b"mvex", trex))


def test_the_length_of_fragments_is_that_of_their_samples(probe_bytes):
    moov = FTYP + moov_of_fragments(default=20, seconds=0.5)
    # By the default of the track, of the fragment, and by the samples' own.
    assert probe_bytes(moov + fragment(1, 0, RUN_OF_50) * 3).duration == 1.0
    assert probe_bytes(moov + fragment(1, None, RUN_OF_50) * 3).duration == 3.0
    assert probe_bytes(moov + fragment(1, 0, RUN_OF_50, ticks=40)).duration == 2.0
    assert probe_bytes(moov + fragment(1, 0, RUN_OF_3, RUN_OF_3)).duration == 4.0
    # Another track has no say; a cut from a stream begins in the middle of its clock.
    other = fragment(2, 9_000_000, RUN_OF_50)
    late = fragment(1, 7_000_000, RUN_OF_50) + fragment(1, 7_009_000, RUN_OF_50)
    assert probe_bytes(moov + other + late) == MediaInfo("mp4", True, 10.0)


def test_five_hours_of_fragments_are_stated(probe_bytes):
    found = probe_bytes(
        FTYP
        + moov_of_fragments(default=20)
        + fragment(1, 0, RUN_OF_50)
        + fragment(1, 18_000_000, RUN_OF_50)
    )
    assert found.stated_duration == 18_001.0


def test_fragments_that_are_cut_off_are_refused(probe_bytes):
    whole = FTYP + moov_of_fragments(default=20) + fragment(1, 0, RUN_OF_50) * 3
    for length in (len(whole) - 1, len(whole) - len(MDAT) - 9):
        with pytest.raises(MediaError, match="cut off"):
            probe_bytes(whole[:length])


def test_a_damaged_number_of_samples_costs_no_time(probe_bytes):
    run = box(b"trun", struct.pack(">IIiI", 0x101, 0xFFFFFFFF, 8, 500))
    assert probe_bytes(FTYP + moov_of_fragments() + fragment(1, 0, run)).duration == 0.5


@pytest.mark.parametrize("first", [b"wide", b"free", b"skip", b"mdat"])
def test_quicktime_without_a_brand_is_read(probe_bytes, first):
    found = probe_bytes(box(first, bytes(8)) + box(b"moov", mvhd(60), SOUND))
    assert found == MediaInfo("mov", True, 60.0)


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
