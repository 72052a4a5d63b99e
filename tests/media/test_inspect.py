from collections.abc import AsyncIterator

import pytest

from symbl_aio._media.containers import sniff
from symbl_aio._media.inspect import (
    MAX_SECONDS,
    Prepared,
    content_type,
    examine,
    feed,
    recording_of,
    require_mp4,
)
from symbl_aio.errors import ConfigurationError, MediaRejectedError
from symbl_aio.media import Audio, Recording, Video
from tests.tables import table


def mp4(seconds: int, *, brand: bytes = b"isom") -> bytes:
    times = bytes(12) + (1).to_bytes(4, "big") + seconds.to_bytes(4, "big") + bytes(80)
    mvhd = (8 + len(times)).to_bytes(4, "big") + b"mvhd" + times
    moov = (8 + len(mvhd)).to_bytes(4, "big") + b"moov" + mvhd
    return b"\0\0\0\x10ftyp" + brand + bytes(4) + moov


def wav(seconds: int) -> bytes:
    fmt = b"fmt \x10\0\0\0\1\0\1\0" + (1).to_bytes(4, "little") * 2 + b"\1\0\x08\0"
    data = b"data" + seconds.to_bytes(4, "little") + bytes(seconds)
    return b"RIFF\0\0\0\0WAVE" + fmt + data


MP3 = b"\xff\xfb\x90\x64" + bytes(200)


def judge(media: Audio | Video | Recording, data: bytes) -> Prepared:
    return feed(examine(media, len(data)), lambda at, count: data[at : at + count])


@table(
    "data,media,header",
    [
        (mp4(10), Video("x"), "video/mp4"),
        (mp4(10, brand=b"M4A "), Audio("x"), None),
        (wav(10), Audio("x"), "audio/wav"),
        (MP3, Audio("x"), "audio/mpeg"),
        (b"fLaC" + bytes(100), Audio("x"), None),
    ],
)
def test_a_recording_without_a_kind_is_told_by_its_bytes(
    data: bytes, media: Audio | Video, header: str | None
):
    verdict = judge(Recording("x"), data)

    assert verdict.media == media
    assert verdict.content_type == header


@table("data", [b"just text", b"\x1a\x45\xdf\xa3webm", bytes(50)])
def test_a_recording_of_no_accepted_format_is_refused_with_the_list_of_them(data: bytes):
    with pytest.raises(MediaRejectedError, match=r"'talk\.bin' is of .* mp4 .*mp3, wav, amr.*m4a"):
        judge(Recording("talk.bin"), data)


def test_a_known_but_foreign_format_is_named():
    with pytest.raises(MediaRejectedError, match=r"'clip\.mkv' is of the format webm, not an mp4"):
        judge(Video("clip.mkv"), b"\x1a\x45\xdf\xa3" + bytes(50))


def test_text_in_a_file_called_mp4_is_refused():
    with pytest.raises(MediaRejectedError, match=r"'notes\.mp4' is of an unknown format"):
        judge(Video("notes.mp4"), b"Dear all, these are the notes.")


@table("media", [Audio("a.mp3"), Video("a.mp3"), Recording("a.mp3")])
def test_an_empty_recording_is_refused(media: Audio | Video | Recording):
    with pytest.raises(MediaRejectedError, match=r"'a\.mp3' is empty; submit it once"):
        judge(media, b"")


def test_an_mp4_is_taken_as_audio_when_the_caller_says_so():
    verdict = judge(Audio("a.mp4"), mp4(10))

    assert verdict == Prepared(Audio("a.mp4"), len(mp4(10)), None, 10.0)


def test_only_the_brand_of_an_mp4_is_required():
    head = b"\0\0\0\x18ftypmp42"

    assert judge(Video("a.mp4"), head) == Prepared(Video("a.mp4"), 12, "video/mp4", None)
    require_mp4(Video("a.mp4"), sniff(head))


def test_audio_of_an_unknown_format_is_left_to_the_server():
    verdict = judge(Audio("a.xyz"), b"who knows" * 10)

    assert verdict == Prepared(Audio("a.xyz"), 90, None, None)


def test_the_callers_content_type_wins():
    media = Audio("a", content_type="audio/wave")

    assert judge(media, wav(1)).content_type == "audio/wave"
    assert judge(media, MP3).content_type == "audio/wave"
    assert content_type(media) == "audio/wave"
    assert content_type(Audio("a")) is None


def rf64(seconds: int) -> bytes:
    """A wav of the form for more than 4 GiB."""
    return b"RF64" + wav(seconds)[4:]


@table("make", [mp4, wav, rf64])
def test_four_hours_are_taken_and_a_second_more_is_refused(make):
    longest = int(MAX_SECONDS)

    assert judge(Recording("long"), make(longest)).duration == 14_400.0
    with pytest.raises(MediaRejectedError, match=r"'long' lasts 4\.00 hours .* at most 4; cut it"):
        judge(Recording("long"), make(longest + 1))


def flac(seconds: int) -> bytes:
    packed = 8000 << 44 | 15 << 36 | 8000 * seconds
    return b"fLaC\x80\0\0\x22" + bytes(10) + packed.to_bytes(8, "big") + bytes(16)


def test_four_hours_and_a_minute_of_flac_are_refused():
    assert judge(Recording("talk.flac"), flac(4 * 3600)).duration == 4 * 3600
    with pytest.raises(MediaRejectedError, match=r"'talk\.flac' lasts 4\.02 hours"):
        judge(Recording("talk.flac"), flac(4 * 3600 + 60))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cut.wav", wav(1000)[:-1]),
        ("cut.mp4", mp4(10) + b"\0\0\1\0mdat" + bytes(200)),
        ("cut.m4a", mp4(10, brand=b"M4A ")[:-1]),
        ("cut.opus", b"OggS" + bytes(22) + b"\1\xffOpusHead" + bytes(200)),
        ("lost.mp4", b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x10mdat" + bytes(8)),
    ],
)
def test_a_recording_that_is_not_whole_is_refused(name: str, data: bytes):
    with pytest.raises(MediaRejectedError, match=f"'{name}' .*(cut off|no index).*once more"):
        judge(Recording(name), data)


def test_bytes_are_named_by_their_size_alone():
    secret = b"my name is Anna" * 3

    with pytest.raises(MediaRejectedError) as caught:
        judge(Video(secret), secret)

    assert "Video(<45 bytes>)" in str(caught.value)
    assert "Anna" not in str(caught.value)


async def stream() -> AsyncIterator[bytes]:
    yield b""


@table(
    "data,kind,header",
    [(mp4(10), Video, None), (wav(10), Audio, "audio/wav"), (b"fLaC" + bytes(9), Audio, None)],
)
def test_a_stream_is_told_by_its_first_bytes(data: bytes, kind: type, header: str | None):
    made = recording_of(data, stream(), size=10**9)

    assert type(made) is kind
    assert (made.size, made.one_shot) == (10**9, True)
    assert getattr(made, "content_type", None) == header


def test_a_stream_of_no_accepted_format_is_refused_before_it_is_read():
    with pytest.raises(MediaRejectedError, match="mp3, wav"):
        recording_of(b"%PDF-1.7", stream(), size=100)
    with pytest.raises(ConfigurationError, match="size is 0"):
        recording_of(wav(10), stream(), size=0)
