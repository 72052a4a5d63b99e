from collections.abc import Callable, Generator
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbl_aio._media.containers import (
    HEAD_BYTES,
    Container,
    flac_duration,
    mp4_duration,
    mp4_fault,
    ogg_fault,
    sniff,
    wav_duration,
    wav_fault,
)
from tests.tables import table

T = TypeVar("T")
GIB = 2**30


def box(name: bytes, content: bytes = b"", *, wide: bool = False) -> bytes:
    if wide:
        return (1).to_bytes(4, "big") + name + (16 + len(content)).to_bytes(8, "big") + content
    return (8 + len(content)).to_bytes(4, "big") + name + content


def ftyp(major: bytes = b"isom", *compatible: bytes) -> bytes:
    return box(b"ftyp", major + bytes(4) + b"".join(compatible))


def mvhd(duration: int, scale: int = 1000, *, version: int = 0) -> bytes:
    width = 8 if version else 4
    times = bytes(2 * width)
    return box(
        b"mvhd",
        bytes([version, 0, 0, 0])
        + times
        + scale.to_bytes(4, "big")
        + duration.to_bytes(width, "big")
        + bytes(80),
    )


def moov(header: bytes, *, wide: bool = False) -> bytes:
    return box(b"moov", box(b"iods", bytes(16)) + header + box(b"trak", bytes(400)), wide=wide)


class Reader:
    """Answers what the parser asks for, and counts it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads = 0
        self.bytes_read = 0

    def __call__(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        found = self.data[offset : offset + length]
        self.reads += 1
        self.bytes_read += len(found)
        return found


def run(parser: Generator[tuple[int, int], bytes, T], read: Callable[[int, int], bytes]) -> T:
    try:
        asked = next(parser)
        while True:
            asked = parser.send(read(*asked))
    except StopIteration as end:
        value: T = end.value
        return value


def duration(data: bytes, size: int | None = None) -> float | None:
    return run(mp4_duration(len(data) if size is None else size), Reader(data))


def wav(seconds: float = 2.0, *, rate: int = 32_000, before: bytes = b"") -> bytes:
    data = bytes(int(seconds * rate))
    fmt = b"\1\0\1\0" + (16_000).to_bytes(4, "little") + rate.to_bytes(4, "little") + b"\2\0\20\0"
    body = b"WAVEfmt " + (16).to_bytes(4, "little") + fmt + before
    body += b"data" + len(data).to_bytes(4, "little") + data
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def id3(length: int) -> bytes:
    tail = bytes([length >> 21 & 127, length >> 14 & 127, length >> 7 & 127, length & 127])
    return b"ID3\4\0\0" + tail + bytes(length)


MP3_FRAME = b"\xff\xfb\x90\x64" + bytes(60)
AAC_FRAME = b"\xff\xf1\x50\x80" + bytes(60)


@table(
    "head,name,kind,content_type",
    [
        (ftyp(b"isom"), "mp4", "video", None),
        (ftyp(b"mp42", b"isom", b"mp42"), "mp4", "video", None),
        (ftyp(b"dash"), "mp4", "video", None),
        (ftyp(b"M4V "), "mp4", "video", None),
        (ftyp(b"M4A "), "m4a", "audio", None),
        (ftyp(b"M4B ", b"isom"), "m4a", "audio", None),
        (ftyp(b"qt  ", b"qt  "), "mov", None, None),
        (ftyp(b"qt  ", b"qt  ") + box(b"free", b"mp42"), "mov", None, None),
        (ftyp(b"qt  ", b"mp42"), "mp4", "video", None),
        (ftyp(b"heic", b"mif1"), "heif", None, None),
        (ftyp(b"avif", b"mif1"), "avif", None, None),
        (wav(), "wav", "audio", "audio/wav"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "wav", "audio", "audio/wav"),
        (MP3_FRAME, "mp3", "audio", "audio/mpeg"),
        (id3(100) + MP3_FRAME, "mp3", "audio", "audio/mpeg"),
        (id3(100_000), "mp3", "audio", "audio/mpeg"),
        (id3(100) + AAC_FRAME, "aac", "audio", None),
        (id3(20) + b"fLaC", "flac", "audio", None),
        (AAC_FRAME, "aac", "audio", None),
        (b"ADIF" + bytes(30), "aac", "audio", None),
        (b"fLaC" + bytes(30), "flac", "audio", None),
        (b"OggS" + bytes(24) + b"\x01vorbis", "ogg", "audio", None),
        (b"OggS" + bytes(24) + b"OpusHead", "opus", "audio", None),
        (b"#!AMR\n", "amr", "audio", None),
        (b"#!AMR-WB\n", "amr", "audio", None),
        (b"\x0b\x77" + bytes(30), "ac3", "audio", None),
        (b"FORM\0\0\0\x10AIFF", "aiff", "audio", None),
        (b"FORM\0\0\0\x10AIFC", "aiff", "audio", None),
        (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "wma", "audio", None),
        (b"RIFF\0\0\0\0AVI LIST", "avi", None, None),
        (b"\x1a\x45\xdf\xa3" + bytes(30), "webm", None, None),
        (b"FLV\1" + bytes(30), "flv", None, None),
        (b"\0\0\1\xba" + bytes(30), "mpeg", None, None),
    ],
)
def test_a_container_is_told_by_its_first_bytes(
    head: bytes, name: str, kind: str | None, content_type: str | None
):
    found = sniff(head)

    assert (found.name, found.kind, found.content_type) == (name, kind, content_type)
    assert found.is_mp4 == (name in ("mp4", "m4a"))


@table(
    "head",
    [
        b"",
        b"a",
        b"Dear reader, this is the transcript of our meeting.",
        b"\xff\xfeH\0e\0l\0l\0o\0",  # UTF-16 with its mark
        b"\xfe\xff\0H\0e\0l\0l\0o",
        b"\xef\xbb\xbfHello",
        b"RIFF\0\0\0\0WEBP",
        b"\x89PNG\r\n\x1a\n",
        b"%PDF-1.7",
        b"PK\3\4",
        bytes(64),
        b"\xff" * 64,
        b"\0\0\0\x08ftyp",  # no brand
        b"moov" + bytes(60),
        # Frames like those of mp3 and aac, but for a field that has no such value.
        b"\xff\xeb\x90\x64" + bytes(60),  # version
        b"\xff\xfd\x90\x64" + bytes(60),  # layer
        b"\xff\xfb\x00\x64" + bytes(60),  # bit rate
        b"\xff\xfb\xf0\x64" + bytes(60),
        b"\xff\xfb\x9c\x64" + bytes(60),  # sample rate
        b"\xff\xe1\x50\x80" + bytes(60),  # sync word of aac
        b"\xff\xf1\x74\x80" + bytes(60),  # its sample rate
        b"\xff\x1b\x90\x64" + bytes(60),  # sync word of both
        b"\xfe\xfb\x90\x64" + bytes(60),
    ],
)
def test_what_is_no_recording_is_unknown(head: bytes):
    assert sniff(head) == Container("unknown")


def test_other_brands_out_of_sight_are_no_reason_to_refuse_an_mp4():
    assert sniff(ftyp(b"qt  ", b"qt  ", b"mp42")[:12]).is_mp4


def test_only_the_beginning_of_a_head_is_looked_at():
    assert sniff(id3(2 * HEAD_BYTES) + AAC_FRAME).name == "mp3"


@given(st.binary(max_size=300))
def test_sniffing_never_fails(head: bytes):
    sniff(head)
    for prefix in (b"\0\0\0\x20ftyp", b"ID3", b"RIFF\0\0\0\0WAVE", b"OggS", b"\xff\xfb"):
        sniff(prefix + head)
        wav_duration(prefix + head, 300)


@table("version", [0, 1])
@table("wide", [False, True])
def test_the_movie_header_tells_the_duration(version: int, wide: bool):
    data = ftyp() + moov(mvhd(90_500, version=version), wide=wide) + box(b"mdat", bytes(500))

    assert duration(data) == 90.5


def test_the_movie_header_may_stand_at_the_end():
    data = ftyp() + box(b"free") + box(b"mdat", bytes(5000)) + moov(mvhd(3000))

    assert duration(data) == 3.0


def test_a_version_1_header_holds_numbers_of_64_bits():
    data = ftyp() + moov(mvhd(2**33 * 10, scale=2**31, version=1))

    assert duration(data) == 40.0


@table("place", ["before the tracks", "behind the tracks"])
@table(
    "stated, seconds",
    [
        (b"", None),
        (box(b"mehd", bytes(4) + (90_500).to_bytes(4, "big")), 90.5),
        (box(b"mehd", b"\1\0\0\0" + (90_500).to_bytes(8, "big")), 90.5),
        (box(b"mehd", bytes(8)), None),
        (box(b"mehd", b"\1\0\0\0" + b"\xff" * 8), None),
        (box(b"mehd"), None),
    ],
)
def test_the_first_part_of_a_fragmented_mp4_is_not_all_of_it(
    place: str, stated: bytes, seconds: float | None
):
    # As "ffmpeg -movflags frag_keyframe" writes: the movie header counts one second of 90.
    tracks = box(b"trak", bytes(400)), box(b"mvex", stated + box(b"trex", bytes(24)))
    tracks = tracks if place == "behind the tracks" else tracks[::-1]
    data = ftyp() + box(b"moov", mvhd(1000) + b"".join(tracks))

    assert duration(data + box(b"mdat", bytes(500)) + box(b"moof", bytes(30))) == seconds


def test_a_box_of_length_0_reaches_to_the_end_of_the_file():
    last = moov(mvhd(7000))

    assert duration(ftyp() + bytes(4) + last[4:]) == 7.0


def test_a_movie_header_behind_gigabytes_costs_a_few_reads_of_a_few_bytes():
    head = ftyp() + (1).to_bytes(4, "big") + b"mdat" + (5 * GIB).to_bytes(8, "big")
    tail = moov(mvhd(60_000))
    start = len(ftyp()) + 5 * GIB
    asked: list[int] = []

    def read(offset: int, length: int) -> bytes:
        asked.append(length)
        if offset >= start:
            return tail[offset - start : offset - start + length]
        return head[offset : offset + length]

    assert run(mp4_duration(start + len(tail)), read) == 60.0
    assert len(asked) < 10
    assert sum(asked) < 200


@table(
    "data",
    [
        b"",
        b"short",
        ftyp(),
        ftyp() + box(b"mdat", bytes(100)),
        ftyp() + box(b"moov"),
        ftyp() + box(b"moov", box(b"trak", mvhd(5000))),
        ftyp() + box(b"moov", box(b"mvhd")),
        ftyp() + box(b"moov", box(b"mvhd", bytes(8))),
        ftyp() + moov(mvhd(5000))[:50],  # cut off inside the movie header
        ftyp() + moov(mvhd(0)) + box(b"moof", bytes(30)),  # fragmented: it does not tell
        ftyp() + moov(mvhd(0, version=1)),
        ftyp() + moov(mvhd(2**32 - 1)),  # all ones: "not known"
        ftyp() + moov(mvhd(2**64 - 1, version=1)),
        ftyp() + moov(mvhd(5000, scale=0)),
        ftyp() + moov(mvhd(5000, version=2)),
        ftyp() + b"\0\0\0\1mdat" + bytes(8) + moov(mvhd(5000)),  # a length shorter than itself
        ftyp() + b"\0\0\0\5mdat" + moov(mvhd(5000)),
        ftyp() + b"\xff\xff\xff\xffmdat" + moov(mvhd(5000)),  # beyond the end
        ftyp() + b"\0\0\0\1mdat" + b"\xff" * 8 + moov(mvhd(5000)),
        ftyp() + b"\0\0\0\1moov",
        bytes(4000),
    ],
)
def test_a_duration_that_cannot_be_read_is_none(data: bytes):
    assert duration(data) is None


def test_endless_boxes_are_given_up():
    reader = Reader(box(b"free") * 50_000 + moov(mvhd(5000)))

    assert run(mp4_duration(len(reader.data)), reader) is None
    assert reader.reads <= 512
    assert reader.bytes_read <= 16 * 1024


def test_boxes_inside_and_outside_the_movie_count_together():
    reader = Reader(box(b"free") * 500 + box(b"moov", box(b"free") * 500 + mvhd(5000)))

    assert run(mp4_duration(len(reader.data)), reader) is None
    assert reader.reads <= 512


@given(st.data())
def test_a_damaged_mp4_is_never_an_error_and_never_read_at_length(data: st.DataObject):
    whole = bytearray(ftyp() + box(b"mdat", bytes(300), wide=True) + moov(mvhd(5000)))
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    claimed = data.draw(st.one_of(st.just(len(cut)), st.integers(0, 2**63)))
    reader = Reader(cut)

    found = run(mp4_duration(claimed), reader)

    assert found is None or found > 0
    assert reader.reads <= 513
    assert reader.bytes_read <= 64 * 1024


@given(st.binary(max_size=600))
def test_random_boxes_are_never_an_error(data: bytes):
    duration(data)
    duration(ftyp() + data)
    duration(ftyp() + box(b"moov", data))
    duration(ftyp() + box(b"moov", box(b"mvhd", data)))


def test_a_wav_tells_its_duration():
    data = wav(2.5)

    assert wav_duration(data[:HEAD_BYTES], len(data)) == 2.5


def test_other_chunks_of_a_wav_are_stepped_over():
    data = wav(2.0, before=b"LIST\3\0\0\0abc\0") + b"LIST\0\x90\0\0" + bytes(0x9000)

    assert wav_duration(data[:HEAD_BYTES], len(data)) == 2.0


@table("written", [0, 2**32 - 1])
def test_a_wav_whose_recorder_was_cut_off_is_as_long_as_the_file(written: int):
    data = bytearray(wav(2.0))
    at = data.index(b"data") + 4
    data[at : at + 4] = written.to_bytes(4, "little")

    assert wav_duration(bytes(data[:HEAD_BYTES]), len(data)) == 2.0


@table(
    "head",
    [
        b"",
        MP3_FRAME,
        wav()[:30],
        wav(0.0),
        wav(rate=0),
        wav(before=b"LIST" + (90_000).to_bytes(4, "little")),
        b"RIFF\0\0\0\0WAVEdata\4\0\0\0abcd",
    ],
)
def test_a_wav_that_does_not_tell_has_no_duration(head: bytes):
    assert wav_duration(head, len(head)) is None


@pytest.mark.parametrize("written", [0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000, 0xFFFFFFDB])
def test_a_wav_written_to_a_pipe_is_whole(written: int):
    data = bytearray(wav(2.0))
    data[40:44] = written.to_bytes(4, "little")
    assert wav_fault(bytes(data[:HEAD_BYTES]), len(data)) is None


def test_a_wav_with_less_sound_than_it_states_is_cut_off():
    data = wav(2.0)
    assert wav_fault(data[:HEAD_BYTES], len(data)) is None
    assert wav_fault(data[:HEAD_BYTES], len(data) - 9) == (
        "is cut off: 9 bytes of its sound are missing"
    )
    assert wav_fault(b"RIFF", 4) is None


def ogg_page(content: bytes) -> bytes:
    lengths = bytes([255] * (len(content) // 255) + [len(content) % 255])
    return b"OggS" + bytes(22) + bytes([len(lengths)]) + lengths + content


def test_an_ogg_that_ends_within_a_page_is_cut_off():
    def fault(data: bytes) -> str | None:
        return run(ogg_fault(len(data)), Reader(data))

    data = ogg_page(b"OpusHead") + ogg_page(bytes(300)) * 400 + ogg_page(bytes(64_000))
    assert fault(data) is None
    assert fault(data + b"TAG" + bytes(100)) is None
    assert fault(data[:-7]) == "is cut off: at least 7 bytes of its last page are missing"
    assert fault(ogg_page(b"")[:10]) == "is cut off: at least 17 bytes of its last page are missing"
    assert fault(bytes(100)) is None


def fault(data: bytes) -> str | None:
    return run(mp4_fault(len(data)), Reader(data))


def test_an_mp4_that_ends_too_early_is_cut_off():
    for wide in (False, True):
        data = ftyp() + moov(mvhd(1000)) + box(b"mdat", bytes(500), wide=wide)
        assert fault(data) is None
        assert fault(data[:-7]) == "is cut off: its last 7 bytes are missing"
    index = ftyp() + box(b"mdat", bytes(500)) + moov(mvhd(1000))
    assert fault(index) is None
    assert fault(index[:-7]) == "is cut off: its last 7 bytes are missing"


def test_an_mp4_of_an_interrupted_recorder_has_no_index():
    assert "no index" in str(fault(ftyp() + box(b"mdat", bytes(500))))
    assert "no index" in str(fault(ftyp() + bytes(4) + b"mdat" + bytes(500)))


@pytest.mark.parametrize(
    "end", [b"", bytes(64), b"TAG" + bytes(125), box(b"free", bytes(9))[:-3], b"\0\0\0\3mdat!"]
)
def test_junk_at_the_end_of_an_mp4_is_no_fault(end: bytes):
    assert fault(ftyp() + moov(mvhd(1000)) + box(b"mdat", bytes(50)) + end) is None
    assert fault(ftyp() + end) is None


def test_a_flac_states_its_duration():
    def flac(rate: int, samples: int) -> bytes:
        packed = rate << 44 | 15 << 36 | samples
        return b"fLaC\x80\0\0\x22" + bytes(10) + packed.to_bytes(8, "big") + bytes(16)

    assert flac_duration(flac(48_000, 48_000 * 14_460)) == 14_460
    assert flac_duration(flac(48_000, 0)) is None
    assert flac_duration(flac(0, 9)) is None
    assert flac_duration(b"fLaC") is None
