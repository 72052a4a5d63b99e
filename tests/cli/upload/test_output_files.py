"""The files of ``-o``: their names, and that each is whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from symbl_aio import ConfigurationError
from symbl_aio.cli.upload.find_files import Found
from symbl_aio.cli.upload.grouping import Meeting
from symbl_aio.cli.upload.output_files import (
    FORMATS,
    TranscriptFiles,
    formats_of,
    names_shared,
    write_atomically,
)


def alone(relative: str, root: str = "/r") -> Meeting:
    found = Found(f"{root}/{relative}", relative, relative, root)
    return Meeting(None, relative.rpartition(".")[0], (found,))


def test_formats_are_a_list_of_words():
    assert formats_of(None) == FORMATS
    assert formats_of("srt, VTT srt") == ("srt", "vtt")
    for wrong in ("", "srt,docx"):
        with pytest.raises(ConfigurationError, match="json,srt,vtt,md,txt"):
            formats_of(wrong)


def test_the_tree_is_that_of_the_recordings():
    files = TranscriptFiles(Path("/out"), ("srt",))
    assert files.paths(alone("2024/v1.2 review.mp4")) == {"srt": Path("/out/2024/v1.2 review.srt")}
    beside = TranscriptFiles(None, ("srt",))
    assert beside.paths(alone("2024/a.mp4")) == {"srt": Path("/r/2024/a.srt")}


def test_recordings_with_one_name_have_files_of_their_own():
    meetings = [alone("a.mp3"), alone("a.wav"), alone("b.wav")]
    files = TranscriptFiles(Path("/out"), ("srt",), names_shared(meetings))
    names = [files.paths(meeting)["srt"].name for meeting in meetings]
    assert names == ["a.mp3.srt", "a.wav.srt", "b.srt"]


@pytest.mark.parametrize("name", ["../../etc/x", "/etc/x", "a/../../x", "..\\x", ".."])
def test_no_name_leads_out_of_the_folder(name):
    found = Found("/r/a.wav", "a.wav", "a.wav", "/r")
    path = TranscriptFiles(Path("/out"), ("srt",)).paths(Meeting("k", name, (found,)))["srt"]
    assert os.path.normpath(path).startswith("/out/")


def test_a_file_is_replaced_whole_and_nothing_is_left_behind(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_atomically(path, "one\n")
    write_atomically(path, "two\n")
    assert path.read_text("utf-8") == "two\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path):
    path = tmp_path / f"{'ü' * 125}.json"
    write_atomically(path, "{}")
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\udcff")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
