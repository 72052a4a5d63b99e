import contextlib
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbl_aio.server.media.probe import MediaError, MediaInfo, probe
from tests.server.media.containers import (
    FTYP,
    MP3_FRAME,
    PCM,
    SOUND,
    box,
    chunk,
    flac,
    mvhd,
    ogg,
    riff,
)
from tests.tables import table


@pytest.mark.parametrize("brand, container", [(b"M4A ", "m4a"), (b"qt  ", "mov"), (b"avc1", "mp4")])
def test_the_brand_names_the_container(probe_bytes, brand, container):
    ftyp = box(b"ftyp", brand, bytes(4), brand)
    assert probe_bytes(ftyp + box(b"moov", mvhd(60), SOUND)).container == container


@table(
    "name, seconds, limit", [("inaugural.mp4", 11.0, 150_000), ("sensibility.m4a", 7.1, 100_000)]
)
def test_the_recordings_of_the_demo_are_as_described(name: str, seconds: float, limit: int):
    media = Path(__file__).parents[3] / "examples" / "media"
    assert probe(media / name) == MediaInfo(name[-3:], True, seconds)
    content = (media / name).read_bytes()
    assert len(content) <= limit
    assert hashlib.sha256(content).hexdigest() in (media / "README.md").read_text()


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
