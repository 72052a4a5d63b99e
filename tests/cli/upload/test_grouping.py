"""Meetings from folders, patterns and manifests."""

from __future__ import annotations

import pytest

from symbl_aio import ConfigurationError
from symbl_aio.cli.upload.find_files import find
from symbl_aio.cli.upload.grouping import Grouped, Manifest, grouping
from tests.cli.upload.recordings import record


def shown(grouped: Grouped) -> dict[str, list[str]]:
    return {m.name: [part.relative for part in m.parts] for m in grouped.meetings}


def test_without_grouping_each_recording_is_alone(tmp_path):
    record(tmp_path, "a.wav", "sub/b.c.wav")
    found = find([str(tmp_path)]).found
    assert shown(grouping(None)(found)) == {"a": ["a.wav"], "sub/b.c": ["sub/b.c.wav"]}


def test_the_files_of_a_folder_are_a_meeting_and_folders_in_it_are_others(tmp_path):
    record(tmp_path, "10.wav", "9.wav", "sub/1.wav")
    found = find([str(tmp_path)]).found
    assert shown(grouping("folder")(found)) == {
        tmp_path.name: ["9.wav", "10.wav"],
        "sub": ["sub/1.wav"],
    }


def test_a_pattern_without_groups_means_its_match(tmp_path):
    record(tmp_path, "mon1.wav", "mon2.wav", "tue.wav")
    grouped = grouping("mon|wed")(find([str(tmp_path)]).found)
    assert shown(grouped) == {"mon": ["mon1.wav", "mon2.wav"]}
    ((one, reason),) = grouped.left_out
    assert one.relative == "tue.wav"
    assert "mon|wed" in reason


def test_the_groups_of_a_pattern_name_the_meeting_and_not_the_rest_of_its_match(tmp_path):
    record(tmp_path, "standup-1.wav", "standup-2.wav", "review-1-eu.wav")
    grouped = grouping(r"(\w+)-\d(?:-(\w+))?")(find([str(tmp_path)]).found)
    assert shown(grouped) == {
        "review eu": ["review-1-eu.wav"],
        "standup": ["standup-1.wav", "standup-2.wav"],
    }


def test_a_match_without_text_makes_no_meeting_of_all_recordings(tmp_path):
    record(tmp_path, "a.wav", "mon1.wav")
    grouped = grouping("(?:mon)?")(find([str(tmp_path)]).found)
    assert shown(grouped) == {"mon": ["mon1.wav"]}
    assert "matches no text" in grouped.left_out[0][1]
    for empty in ("", " "):  # as of a variable that is not set
        with pytest.raises(ConfigurationError, match="--group-by is empty"):
            grouping(empty)


def test_the_same_text_in_two_given_folders_is_two_meetings(tmp_path):
    record(tmp_path, "x/mon1.wav", "y/mon2.wav")
    found = find([str(tmp_path / "x"), str(tmp_path / "y")]).found
    assert len(grouping("mon")(found).meetings) == 2


def test_a_manifest_lists_files_beside_it_and_links(tmp_path):
    record(tmp_path, "a.wav", "b.wav", "c.wav")
    manifest = tmp_path / "m.csv"
    manifest.write_text(
        "meeting,file\nx,b.wav\nx,https://example.com/l.mp3\nx,a.wav\n", "utf-8-sig"
    )
    group = grouping(str(manifest))
    assert isinstance(group, Manifest)
    grouped = group([*find([str(tmp_path)]).found, *group.found[1:2]])
    assert shown(grouped) == {"x": ["b.wav", "example.com/l.mp3", "a.wav"]}
    assert [one.relative for one, _ in grouped.left_out] == ["c.wav"]


@pytest.mark.parametrize("text", ["name,meeting\n", "", "file,meeting\n.,x\n"])
@pytest.mark.parametrize("recordings", [0, 1, 2])
def test_a_wrong_manifest_is_refused(tmp_path, text, recordings):
    for number in range(recordings):
        (tmp_path / f"{number}.wav").touch()
    manifest = tmp_path / "m.csv"
    manifest.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=r"m\.csv.*(folder|named file and meeting)"):
        grouping(str(manifest))


def test_a_manifest_that_is_missing_and_a_pattern_that_is_none_are_refused():
    with pytest.raises(ConfigurationError, match="No such file"):
        grouping("gone.csv")
    with pytest.raises(ConfigurationError, match="regular expression"):
        grouping("(")
