"""The files of ``-o``: their names, and that each is whole or not there."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from symbl_aio import ConfigurationError
from symbl_aio.cli.upload.find_files import Found, find
from symbl_aio.cli.upload.grouping import Meeting
from symbl_aio.cli.upload.output_files import (
    FORMATS,
    TranscriptFiles,
    folder_of_all,
    formats_of,
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


@pytest.mark.parametrize("letter", ["a", "ä", "\udcff"])
def test_a_name_leaves_room_for_the_ending(letter, tmp_path):
    longest = 251 // len(os.fsencode(letter))
    meetings = [alone(f"sub/{letter * longest}.mp{number}") for number in (3, 4)]
    meetings.append(Meeting("k", letter * 400, alone("sub/a.mp3").parts))
    files = TranscriptFiles(tmp_path, ("json", "html"))
    files.choose(meetings)
    paths = [path for one in meetings for path in files.paths(one).values()]
    for path in paths:
        write_atomically(path, "")
    assert len(set(paths)) == len(paths)


def test_recordings_with_one_name_have_files_of_their_own():
    meetings = [alone("a.mp3"), alone("a.wav"), alone("b.wav")]
    assert names_of(meetings) == ["a.mp3", "a.wav", "b"]


def names_of(meetings: Sequence[Meeting], root: str = "/r") -> list[str]:
    """Return the names that meetings get together, below the folder."""
    files = TranscriptFiles(Path("/out"), ("srt",), root)
    files.choose(meetings)
    return [str(files.paths(one)["srt"])[len("/out/") : -len(".srt")] for one in meetings]


def test_an_ending_gives_no_recording_the_files_of_another():
    names = names_of([alone("a.mp3"), alone("a.wav"), alone("a.mp3.wav")])
    assert len(set(names)) == 3


def test_recordings_of_one_name_in_several_places_have_files_of_their_own():
    named = [alone("x.wav", "/r/a"), alone("x.wav", "/r/b"), alone("y.wav", "/r/b")]
    assert names_of(named) == ["a/x.wav", "b/x.wav", "y"]
    # Of two folders with one name, each file has that name in front.
    below = [
        Meeting(None, "calls/x", (Found(f"/r/{year}/calls/x.wav", "x", "calls/x.wav", "/r"),))
        for year in (2023, 2024)
    ]
    assert names_of(below) == ["2023/calls/x.wav", "2024/calls/x.wav"]


def test_meetings_of_one_name_in_several_places_have_files_of_their_own():
    by_pattern = [Meeting(f"/r/{at}\0standup", "standup", alone("x").parts) for at in "ab"]
    by_folder = [Meeting(f"/r/{at}/calls", "calls", alone("x").parts) for at in "ab"]
    assert names_of(by_pattern) == ["a/standup", "b/standup"]
    assert names_of(by_folder) == ["a/calls", "b/calls"]


def test_links_of_one_path_have_files_of_their_own():
    links = find([f"https://example.com/a.mp3?take={take}" for take in (1, 2)]).found
    one, other = names_of([Meeting(None, "example.com/a", (link,)) for link in links])
    assert one != other
    assert one.startswith("example.com/a.mp3 ")


def test_a_recording_that_appears_later_has_files_of_its_own():
    files = TranscriptFiles(Path("/out"), ("srt",))
    files.choose([])
    paths = [files.paths(alone(name))["srt"] for name in ("a.mp3", "a.wav", "a.mp3")]
    assert [path.name for path in paths] == ["a.srt", "a.wav.srt", "a.srt"]


def test_the_folder_of_all_is_that_of_the_given_ones(tmp_path):
    (tmp_path / "a").mkdir()
    given = [str(tmp_path / "a"), str(tmp_path / "b.wav"), "https://example.com/c.mp3"]
    assert folder_of_all(given) == str(tmp_path)
    assert folder_of_all(given[:1]) == str(tmp_path / "a")
    assert folder_of_all(given[2:]) == "/"


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


def test_the_target_of_a_link_is_replaced_and_keeps_its_rights(tmp_path):
    path, link = tmp_path / "real" / "a.txt", tmp_path / "a.txt"
    link.symlink_to(path)
    write_atomically(link, "one")
    path.chmod(0o600)
    write_atomically(link, "two")
    assert link.is_symlink()
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("two", 0o600)


def test_what_is_no_file_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_atomically(pipe, "page")
    reader.join()
    assert read == ["page"]
    assert pipe.is_fifo()


def test_a_failure_names_the_path_that_was_given(tmp_path):
    for path in (Path(""), tmp_path / ("a" * 300), tmp_path):
        with pytest.raises(OSError) as caught:
            write_atomically(path, "x")
        assert caught.value.filename == str(path)


def test_a_file_has_the_time_of_this_machine(tmp_path):
    # A file system stamps files by its own clock: here that of the kernel's last tick, on a share
    # that of the server. One of twenty files, at the least, is written in the middle of a tick.
    for number in range(20):
        began = time.time_ns()
        write_atomically(path := tmp_path / f"{number}.txt", "")
        assert path.stat().st_mtime_ns >= began


def test_the_cost_of_a_name_does_not_grow_with_the_number_of_names():
    class Name(str):
        hashes = 0

        def __hash__(self) -> int:
            Name.hashes += 1
            return super().__hash__()

    class Files(TranscriptFiles):
        def _stem(self, meeting: Meeting, name: str) -> str:
            return Name(super()._stem(meeting, name))

    files = Files(Path("/out"), ("srt",))
    meetings = [alone(f"{number}.wav") for number in range(200)]
    files.choose(meetings)
    for meeting in meetings:
        files.paths(meeting)

    assert Name.hashes < 10 * len(meetings)
