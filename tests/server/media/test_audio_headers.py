import struct

import pytest

from symbl_aio.server.media.probe import MediaError, MediaInfo
from tests.server.media.containers import FLOAT, PCM, chunk, flac, ogg, riff


def test_a_wav_has_its_duration(probe_bytes):
    assert probe_bytes(riff(PCM, chunk(b"data", bytes(24_000)))) == MediaInfo("wav", True, 1.5)


def test_a_wav_of_floats_behind_other_chunks_is_read(probe_bytes):
    assert (
        probe_bytes(riff(chunk(b"LIST", b"odd"), FLOAT, chunk(b"data", bytes(16_000)))).duration
        == 0.5
    )


@pytest.mark.parametrize(
    "unknown",
    # Of interrupted recorders, FFmpeg, espeak-ng, arecord and others that write to a pipe.
    [0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000, 0x7FFFFFFF, 0xFFFFFFDB],
)
def test_a_wav_written_as_a_stream_is_as_long_as_the_file(probe_bytes, unknown):
    assert probe_bytes(riff(PCM, chunk(b"data", bytes(16_000), unknown))).duration == 1.0


@pytest.mark.parametrize("kind, samples", [(0x11, 505), (0x02, 500), (0x31, 320)])
def test_a_wav_of_blocks_counts_their_samples_whatever_rate_its_header_has(
    probe_bytes, kind, samples
):
    fmt = struct.pack("<HHIIHHHH", kind, 1, 8000, 99_999, 256, 4, 2, samples)
    found = probe_bytes(riff(chunk(b"fmt ", fmt), chunk(b"data", bytes(256 * 100))))
    assert found.duration == pytest.approx(100 * samples / 8000)


def test_a_wav_without_samples_has_no_audio(probe_bytes):
    assert probe_bytes(riff(PCM, chunk(b"data", b""))) == MediaInfo("wav", False, 0.0)


def test_a_cut_wav_is_refused(probe_bytes):
    with pytest.raises(MediaError, match="cut off"):
        probe_bytes(riff(PCM, chunk(b"data", bytes(100), 200)))


@pytest.mark.parametrize("content", [riff(PCM), riff(chunk(b"data", bytes(9))), riff()])
def test_a_wav_without_format_or_sound_is_refused(probe_bytes, content):
    with pytest.raises(MediaError, match="wav: no s"):
        probe_bytes(content)


def test_an_aiff_has_its_duration(probe_bytes):
    rate_8000 = struct.pack(">HQ", 16_383 + 12, 8000 << 51)
    comm = b"COMM" + struct.pack(">IHIH", 18, 1, 12_000, 16) + rate_8000
    form = b"FORM" + struct.pack(">I", 14 + len(comm)) + b"AIFF" + b"ANNO\0\0\0\1x\0" + comm
    assert probe_bytes(form) == MediaInfo("aiff", True, 1.5)
    with pytest.raises(MediaError, match="COMM"):
        probe_bytes(b"FORM\0\0\0\4AIFF")


def test_a_flac_has_its_duration(probe_bytes):
    assert probe_bytes(flac(16_000, 40_000)) == MediaInfo("flac", True, 2.5)
    assert probe_bytes(flac(16_000, 0)).duration is None
    with pytest.raises(MediaError, match="sample rate"):
        probe_bytes(flac(0, 1))


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


def test_an_ogg_that_was_cut_from_a_stream_counts_from_its_first_page(probe_bytes):
    rate = 44_100
    head = b"\x01vorbis" + struct.pack("<IBI", 0, 1, rate)
    pages = [ogg(bytes(255), position * rate) for position in (36_000, 36_001, 36_010)]
    assert probe_bytes(ogg(head, 0) + b"".join(pages)).duration == pytest.approx(10)


def test_an_ogg_without_a_page_near_its_end_has_no_known_length(probe_bytes):
    first = ogg(b"\x01vorbis" + struct.pack("<IBI", 0, 1, 44_100), 0)
    assert probe_bytes(first + bytes(200_000)) == MediaInfo("ogg", True, None)


@pytest.mark.parametrize("bytes_per_second, seconds", [(0, None), (4000, 2.0)])
def test_the_mean_rate_of_a_wav_with_mp3_in_it_is_a_guess(probe_bytes, bytes_per_second, seconds):
    mp3 = chunk(b"fmt ", struct.pack("<HHIIHHH", 0x55, 1, 16_000, bytes_per_second, 576, 0, 0))
    assert probe_bytes(riff(mp3, chunk(b"data", bytes(8000)))) == MediaInfo(
        "wav", True, seconds, estimated=True
    )


def test_an_ogg_that_ends_within_a_page_was_cut_off(probe_bytes):
    first = ogg(b"OpusHead\1\1" + struct.pack("<HI", 312, 8000), 0)
    last = ogg(bytes(255), 96_312)
    for end in (10, 26, 27, 30, len(last) - 1):
        with pytest.raises(MediaError, match="opus: the file is cut off"):
            probe_bytes(first + last[:end])
    # Some programs write tags behind the last page.
    assert probe_bytes(first + last + b"TAG" + bytes(125)).duration == 2.0


def test_an_ogg_of_pictures_has_no_audio(probe_bytes):
    assert probe_bytes(ogg(b"\x80theora", 0)) == MediaInfo("ogg", False, None)


def wma(*, size: int = 0, flags: int = 2) -> bytes:
    """Return the head of a wma without its streams; ``size`` is what it states of the file."""
    header = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(14)
    properties = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365") + bytes(24)
    properties += struct.pack("<QQQQQQIIII", size, 0, 0, 55_000_000, 0, 3000, flags, 0, 0, 0)
    return header + properties


WMA_AUDIO = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b")


def test_a_wma_has_its_duration(probe_bytes):
    assert probe_bytes(wma() + WMA_AUDIO) == MediaInfo("wma", True, 2.5)
    assert probe_bytes(wma()).has_audio is False
    with pytest.raises(MediaError, match="wma: no file properties"):
        probe_bytes(wma()[:30])


def test_a_wma_that_is_smaller_than_it_states_is_cut_off(probe_bytes):
    sound = WMA_AUDIO + bytes(1000)
    whole = len(wma() + sound)
    assert probe_bytes(wma(size=whole) + sound).duration == 2.5
    with pytest.raises(MediaError, match="wma: the file is cut off"):
        probe_bytes(wma(size=2 * whole) + sound)
    # A broadcast that was recorded does not know its size.
    assert probe_bytes(wma(size=2 * whole, flags=1) + sound).duration == 2.5
