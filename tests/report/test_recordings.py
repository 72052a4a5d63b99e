from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from symbl_aio.report import recording


def test_a_small_file_is_put_into_the_page(tmp_path: Path):
    file = tmp_path / "talk.m4a"
    file.write_bytes(b"sound")

    found = recording(file)

    assert found.kind == "audio"
    assert found.url == f"data:audio/mp4;base64,{b64encode(b'sound').decode()}"


def test_a_large_file_is_linked_from_the_page(tmp_path: Path):
    media = tmp_path / "media"
    media.mkdir()
    file = media / "a b#1%?.mp4"
    file.write_bytes(bytes(11))

    found = recording(file, page=tmp_path / "reports" / "monday.html", embed=10)

    assert (found.url, found.kind) == ("./../media/a%20b%231%25%3F.mp4", "video")


def test_a_link_is_used_as_it_is():
    found = recording("https://media.test/talk.MP4?token=1")

    assert (found.url, found.kind) == ("https://media.test/talk.MP4?token=1", "video")
    assert recording("https://media.test/talk", kind="video").kind == "video"


@pytest.mark.parametrize("link", ["ftp://media.test/a.mp3", "javascript://a"])
def test_a_link_of_another_kind_is_refused(link: str):
    with pytest.raises(ValueError, match="http"):
        recording(link)


def test_a_file_that_is_not_there_raises(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        recording(tmp_path / "no.mp3")


def test_a_repr_does_not_show_the_recording(tmp_path: Path):
    file = tmp_path / "talk.mp3"
    file.write_bytes(bytes(100_000))

    assert len(repr(recording(file))) < 200
