"""Containers built byte by byte: only their headers matter."""

import contextlib
import hashlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbl_aio.server.media.probe import MediaError, MediaInfo, probe


@pytest.fixture
def probe_bytes(tmp_path):
    def probe_bytes(content: bytes) -> MediaInfo:
        path = tmp_path / "recording"
        path.write_bytes(content)
        return probe(path)

    return probe_bytes


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def mvhd(seconds: float, kind: bytes = b"mvhd") -> bytes:
    return box(kind, bytes(12), struct.pack(">II", 1000, round(seconds * 1000)), bytes(80))


def wide_mvhd(seconds: float, kind: bytes = b"mvhd") -> bytes:
    times = struct.pack(">IQ", 90_000, round(seconds * 90_000))
    return box(kind, b"\1\0\0\0", bytes(16), times, bytes(80))


def trak(handler: bytes, seconds: float) -> bytes:
    hdlr = box(b"hdlr", bytes(8), handler, bytes(13))
    mdia = box(b"mdia", mvhd(seconds, b"mdhd"), hdlr, box(b"minf", bytes(8)))
    return box(b"trak", box(b"tkhd", bytes(84)), mdia)


FTYP = box(b"ftyp", b"isom\0\0\2\0isommp41")
VIDEO, SOUND = trak(b"vide", 60), trak(b"soun", 60)
MDAT = box(b"mdat", bytes(100))


def riff(*chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + sum(map(len, chunks))) + b"WAVE" + b"".join(chunks)


def chunk(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    size = len(content) if length is None else length
    return kind + struct.pack("<I", size) + content + bytes(len(content) % 2)


PCM = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16_000, 2, 16))
FLOAT = chunk(b"fmt ", struct.pack("<HHIIHHH", 3, 1, 8000, 32_000, 4, 32, 0))


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


@pytest.mark.parametrize("brand, container", [(b"M4A ", "m4a"), (b"qt  ", "mov"), (b"avc1", "mp4")])
def test_the_brand_names_the_container(probe_bytes, brand, container):
    ftyp = box(b"ftyp", brand, bytes(4), brand)
    assert probe_bytes(ftyp + box(b"moov", mvhd(60), SOUND)).container == container


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


def test_a_wav_has_its_duration(probe_bytes):
    assert probe_bytes(riff(PCM, chunk(b"data", bytes(24_000)))) == MediaInfo("wav", True, 1.5)


def test_a_wav_of_floats_behind_other_chunks_is_read(probe_bytes):
    assert (
        probe_bytes(riff(chunk(b"LIST", b"odd"), FLOAT, chunk(b"data", bytes(16_000)))).duration
        == 0.5
    )


@pytest.mark.parametrize("unknown", [0, 0xFFFFFFFF])
def test_a_wav_written_as_a_stream_is_as_long_as_the_file(probe_bytes, unknown):
    assert probe_bytes(riff(PCM, chunk(b"data", bytes(16_000), unknown))).duration == 1.0


def test_a_wav_without_samples_has_no_audio(probe_bytes):
    assert probe_bytes(riff(PCM, chunk(b"data", b""))) == MediaInfo("wav", False, 0.0)


def test_a_cut_wav_is_refused(probe_bytes):
    with pytest.raises(MediaError, match="cut off"):
        probe_bytes(riff(PCM, chunk(b"data", bytes(100), 200)))


@pytest.mark.parametrize("content", [riff(PCM), riff(chunk(b"data", bytes(9))), riff()])
def test_a_wav_without_format_or_sound_is_refused(probe_bytes, content):
    with pytest.raises(MediaError, match="wav: no s"):
        probe_bytes(content)


@pytest.mark.parametrize(
    "name, seconds, limit", [("inaugural.mp4", 11.0, 150_000), ("sensibility.m4a", 7.1, 100_000)]
)
def test_the_recordings_of_the_demo_are_as_described(name: str, seconds: float, limit: int):
    media = Path(__file__).parents[3] / "examples" / "media"
    assert probe(media / name) == MediaInfo(name[-3:], True, seconds)
    content = (media / name).read_bytes()
    assert len(content) <= limit
    assert hashlib.sha256(content).hexdigest() in (media / "README.md").read_text()


def test_an_aiff_has_its_duration(probe_bytes):
    rate_8000 = struct.pack(">HQ", 16_383 + 12, 8000 << 51)
    comm = b"COMM" + struct.pack(">IHIH", 18, 1, 12_000, 16) + rate_8000
    form = b"FORM" + struct.pack(">I", 14 + len(comm)) + b"AIFF" + b"ANNO\0\0\0\1x\0" + comm
    assert probe_bytes(form) == MediaInfo("aiff", True, 1.5)
    with pytest.raises(MediaError, match="COMM"):
        probe_bytes(b"FORM\0\0\0\4AIFF")


def flac(rate: int, samples: int) -> bytes:
    packed = rate << 44 | 15 << 36 | samples
    return b"fLaC\x80\0\0\x22" + bytes(10) + struct.pack(">Q", packed) + bytes(16)


def test_a_flac_has_its_duration(probe_bytes):
    assert probe_bytes(flac(16_000, 40_000)) == MediaInfo("flac", True, 2.5)
    assert probe_bytes(flac(16_000, 0)).duration is None
    with pytest.raises(MediaError, match="sample rate"):
        probe_bytes(flac(0, 1))


def ogg(content: bytes, position: int) -> bytes:
    return b"OggS" + struct.pack("<BBqIIIBB", 0, 0, position, 1, 0, 0, 1, 255) + content


@pytest.mark.parametrize(
    "first, last, container, seconds",
    [
        (b"OpusHead\1\1" + struct.pack("<HI", 312, 8000), 96_312, "opus", 2.0),
        (b"\x01vorbis" + struct.pack("<IBI", 0, 1, 44_100), 88_200, "ogg", 2.0),
        (b"Speex   " + bytes(28) + struct.pack("<I", 8000), 8000, "ogg", 1.0),
        (b"\x7fFLAC\1\0\0\1" + flac(16_000, 0), 32_000, "ogg", 2.0),
        (b"OpusHead\1\1" + struct.pack("<HI", 312, 8000), 312, "opus", None),
    ],
)
def test_the_last_page_of_an_ogg_has_its_duration(probe_bytes, first, last, container, seconds):
    assert probe_bytes(ogg(first, 0) + ogg(bytes(255), last)) == MediaInfo(container, True, seconds)


def test_an_ogg_without_a_page_near_its_end_has_no_known_length(probe_bytes):
    first = ogg(b"\x01vorbis" + struct.pack("<IBI", 0, 1, 44_100), 0)
    assert probe_bytes(first + bytes(200_000)) == MediaInfo("ogg", True, None)


def test_an_ogg_of_pictures_has_no_audio(probe_bytes):
    assert probe_bytes(ogg(b"\x80theora", 0)) == MediaInfo("ogg", False, None)


def test_a_wma_has_its_duration(probe_bytes):
    header = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(14)
    properties = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365") + bytes(48)
    properties += struct.pack("<QQQ", 55_000_000, 0, 3000)
    audio = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b")
    assert probe_bytes(header + properties + audio) == MediaInfo("wma", True, 2.5)
    assert probe_bytes(header + properties).has_audio is False
    with pytest.raises(MediaError, match="wma: no file properties"):
        probe_bytes(header)


# MPEG 1 layer 3, 32 kbit/s, 32 kHz, mono: 144 bytes and 36 ms a frame.
MP3_FRAME = b"\xff\xfb\x18\xc0" + bytes(140)


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


@pytest.mark.parametrize(
    "content", [b"hello, this is text", b"\xff", b"\x89PNG\r\n\x1a\n", bytes(99)]
)
def test_an_unknown_format_is_refused(probe_bytes, content):
    with pytest.raises(MediaError, match="no recording of a known format"):
        probe_bytes(content)


def test_an_empty_file_is_refused(probe_bytes):
    with pytest.raises(MediaError, match="empty"):
        probe_bytes(b"")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        probe(tmp_path / "nothing.mp4")


MAGICS = [
    FTYP + box(b"moov", mvhd(60), SOUND),
    riff(PCM, chunk(b"data", bytes(8))),
    b"FORM\0\0\0\x20AIFFCOMM\0\0\0\x12",
    flac(16_000, 9),
    ogg(b"OpusHead\1\1\0\0\0\0\0\0", 3),
    b"\x30\x26\xb2\x75" + bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"),
    b"#!AMR\n",
    b"\x0b\x77",
    b"\xff\xf1\x60\x40",
    MP3_FRAME,
    b"ID3\4\0\0",
]


@given(magic=st.sampled_from(MAGICS), keep=st.integers(2, 200), rest=st.binary(max_size=300))
def test_garbage_never_raises_anything_else(tmp_path_factory, magic, keep, rest):
    path: Path = tmp_path_factory.getbasetemp() / "garbage"
    path.write_bytes(magic[:keep] + rest)
    with contextlib.suppress(MediaError):
        duration = probe(path).duration
        assert duration is None or duration >= 0
