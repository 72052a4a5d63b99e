"""Recordings below folders: which, in which order, and under which names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from symbl_aio import ConfigurationError
from symbl_aio.cli.upload.find_files import expanded, find, named_on, natural
from tests.cli.upload.recordings import record


def test_numbers_in_names_sort_by_their_value():
    names = ["part 10.wav", "Part 2.wav", "part 1.wav", "b/1.wav", "part 1b.wav", "a/10.wav"]
    assert sorted(names, key=natural) == [
        "a/10.wav",
        "b/1.wav",
        "part 1.wav",
        "part 1b.wav",
        "Part 2.wav",
        "part 10.wav",
    ]


def test_names_that_sort_alike_have_one_order_all_the_same():
    assert sorted(["a1.wav", "a01.wav"], key=natural) == sorted(["a01.wav", "a1.wav"], key=natural)


def test_other_files_and_hidden_ones_are_left_out(tmp_path):
    record(tmp_path, "a.wav", "b.MP3", ".hidden.wav", ".trash/c.wav", "video.mov")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "wav").touch()

    listing = find([str(tmp_path)])

    assert [one.relative for one in listing.found] == ["a.wav", "b.MP3", "video.mov"]
    assert listing.left_out == 2


def test_a_named_file_is_listed_whatever_its_ending_and_each_one_once(tmp_path):
    (odd,) = record(tmp_path, "odd.dat")

    listing = find([str(odd), str(tmp_path / "gone.wav"), str(odd), str(tmp_path)])

    assert [Path(one.source).name for one in listing.found] == ["odd.dat", "gone.wav"]


def test_several_folders_keep_their_names(tmp_path):
    record(tmp_path, "x/a.wav", "y/a.wav")

    listing = find([str(tmp_path / "x"), str(tmp_path / "y")])

    assert [one.relative for one in listing.found] == ["x/a.wav", "y/a.wav"]


def test_a_signed_link_is_known_by_a_hash_and_shown_without_its_signature():
    (one,) = find(["https://user:pw@example.com/a.mp3?sig=secret"]).found
    (other,) = find(["https://user:pw@example.com/a.mp3?sig=other"]).found

    assert "secret" not in one.source + one.label + one.relative
    assert "pw" not in one.source + one.label + one.relative
    assert one.source != other.source
    assert one.link == "https://user:pw@example.com/a.mp3?sig=secret"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_reported(tmp_path):
    (tmp_path / "locked").mkdir(mode=0)

    ((folder, reason),) = find([str(tmp_path)]).unreadable

    assert folder.endswith("locked")
    assert reason == "Permission denied"


def test_names_on_standard_input_are_lines_or_end_with_nul():
    assert named_on("a.wav\nb c.wav\r\n\n") == ["a.wav", "b c.wav"]
    assert named_on("a\nb.wav\0c.wav\0") == ["a\nb.wav", "c.wav"]
    assert expanded(["x", "-"], iter(["a", "b"])) == ["x", "a", "b"]
    with pytest.raises(ConfigurationError, match="once"):
        expanded(["-", "-"], iter([]))
