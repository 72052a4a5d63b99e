"""``symbl-aio upload`` as its users run it: folders, groups, outputs, and runs after runs."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import pty
import random
import shlex
import signal
import subprocess
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest

from symbl_aio import Everything
from symbl_aio.testing import LocalSymbl
from tests.cli.upload.recordings import record, recording
from tests.shell import CREDENTIALS, Ended, Shell


@pytest.fixture
async def symbl() -> AsyncIterator[LocalSymbl]:
    async with LocalSymbl(default_transcript="Ann: Good morning.") as server:
        yield server


@pytest.fixture
def shell(symbl: LocalSymbl, tmp_path: Path) -> Shell:
    state = str(tmp_path / "state")
    return Shell(SYMBL_BASE_URL=symbl.base_url, XDG_STATE_HOME=state, **CREDENTIALS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "recordings"


def results(ended: Ended) -> dict[str, str]:
    """Return the result of each recording, by the name of its file."""
    return {
        Path(str(line["source"])).name: str(line["event"])
        for line in ended.lines
        if "source" in line and line["event"] not in ("accepted", "proving")
    }


@cache
def _hashes(most: int) -> dict[str, int]:
    return {sha256(recording(number)).hexdigest(): number for number in range(most)}


def numbers(symbl: LocalSymbl, conversation: str, most: int = 100) -> list[int]:
    """Return the recordings that the server has in a conversation, in the order of arrival."""
    known = _hashes(most)
    received = [one for one in symbl.submissions if one.conversation_id == conversation]
    return [known[str(one.sha256)] for one in received if one.job_id is not None]


def accepted(symbl: LocalSymbl) -> list[str]:
    """Return the hashes of all recordings that the server accepted."""
    return [str(one.sha256) for one in symbl.submissions if one.job_id is not None]


async def test_a_folder_is_uploaded_and_each_recording_is_a_conversation(shell, symbl, folder):
    record(folder, "b.wav", "sub/c.wav", "a.wav")
    (folder / "notes.txt").write_text("no recording")

    ended = await shell.run("upload", "--json", folder)

    assert (ended.code, ended.err) == (0, "")
    assert results(ended) == dict.fromkeys(("a.wav", "b.wav", "c.wav"), "completed")
    assert len({received.conversation_id for received in symbl.submissions}) == 3
    assert ended.lines[-1]["counts"] == {"completed": 3}


async def test_the_same_command_again_sends_nothing(shell, symbl, folder):
    record(folder, "a.wav", "b.wav")
    await shell.run("upload", folder)

    ended = await shell.run("upload", "--json", folder)

    assert ended.code == 0
    assert results(ended) == {"a.wav": "skipped", "b.wav": "skipped"}
    assert len(symbl.submissions) == 2


async def test_a_changed_recording_is_named_and_sent_again(shell, symbl, folder):
    a, _ = record(folder, "a.wav", "b.wav")
    await shell.run("upload", folder)
    a.write_bytes(recording(9))

    ended = await shell.run("upload", "--json", folder)

    assert results(ended) == {"a.wav": "completed", "b.wav": "skipped"}
    (line,) = (line for line in ended.lines if line["event"] == "completed")
    assert line["changed"] is True
    assert len(symbl.submissions) == 3


async def test_a_recording_with_another_name_is_known_by_its_content(shell, symbl, folder):
    (a,) = record(folder, "a.wav")
    await shell.run("upload", folder)
    a.rename(folder / "renamed.wav")

    for _ in range(2):
        ended = await shell.run("upload", "--json", folder)
        assert results(ended) == {"renamed.wav": "skipped"}
    assert len(symbl.submissions) == 1


async def test_a_new_file_under_the_old_name_does_not_hide_that_one_was_renamed(
    shell, symbl, folder
):
    record(folder, "call.wav", start=1)
    command = ("upload", "--json", folder)
    await shell.run(*command)
    for number in (2, 3):  # as recorders do: the newest one has the shortest name
        for old, new in (("call.1.wav", "call.2.wav"), ("call.wav", "call.1.wav")):
            if (folder / old).exists():
                (folder / old).rename(folder / new)
        record(folder, "call.wav", start=number)
        planned = await shell.run(*command[:1], "--dry-run", *command[1:])
        assert planned.lines[0]["counts"]["send"] == 1

        ended = await shell.run(*command)

        assert results(ended).pop("call.wav") == "completed"
        assert ended.lines[-1]["counts"] == {"completed": 1, "skipped": number - 1}
        assert len(accepted(symbl)) == number
    last = await shell.run(*command)
    assert last.lines[-1]["counts"] == {"skipped": 3}


async def test_two_recordings_that_change_names_are_not_sent_again(shell, symbl, folder):
    a, b = record(folder, "a.wav", "b.wav")
    await shell.run("upload", folder)
    a.rename(folder / "c.wav")
    b.rename(a)
    (folder / "c.wav").rename(b)

    for _ in range(2):
        ended = await shell.run("upload", "--json", folder)
        assert ended.lines[-1]["counts"] == {"skipped": 2}
    assert len(symbl.submissions) == 2


async def test_a_copy_is_sent_although_its_original_has_a_new_time(shell, symbl, folder):
    (a,) = record(folder, "b.wav")
    await shell.run("upload", folder)
    os.utime(a, (0, 0))
    (folder / "a.wav").write_bytes(a.read_bytes())

    ended = await shell.run("upload", "--json", folder)

    assert results(ended) == {"a.wav": "completed", "b.wav": "skipped"}


async def test_recordings_that_are_on_their_way_may_be_renamed(shell, symbl, folder, tmp_path):
    record(folder, "m/1.wav", "m/2.wav", start=1)
    symbl.hold_jobs()
    symbl.release(1)
    command = ("upload", "--json", "--group-by", "folder", folder)
    process = await shell.start(*command)
    await symbl.until(lambda: len(accepted(symbl)) == 2)
    process.send_signal(signal.SIGINT)
    assert (await shell.end(process)).code == 130
    symbl.release()
    (folder / "m").rename(folder / "n")

    ended = await shell.run(*command)

    assert ended.code == 0
    (conversation,) = {received.conversation_id for received in symbl.submissions}
    assert numbers(symbl, str(conversation)) == [1, 2]


async def test_one_that_may_have_arrived_may_be_renamed(shell, symbl, folder):
    (a,) = record(folder, "a.wav")
    symbl.inject("status:500", on="POST")
    assert (await shell.run("upload", "--patience", "0", folder)).code == 4
    a.rename(folder / "b.wav")

    ended = await shell.run("upload", "--json", "--patience", "0", folder)

    assert results(ended) == {"b.wav": "ambiguous"}
    settled = await shell.run("settle", "--not-accepted", folder / "b.wav")
    assert settled.code == 0, settled.err


async def test_a_part_may_get_another_name_in_its_meeting(shell, symbl, folder):
    _, second = record(folder, "1.wav", "2.wav")
    command = ("upload", "--json", "--group-by", "folder", folder)
    await shell.run(*command)
    second.rename(folder / "02.wav")

    for _ in range(2):
        ended = await shell.run(*command)
        assert results(ended) == {"1.wav": "skipped", "02.wav": "skipped"}


async def test_a_meeting_with_a_recording_of_one_that_is_gone_is_another_one(shell, symbl, folder):
    intro, first = record(folder, "monday/0.wav", "monday/1.wav", start=1)
    command = ("upload", "--json", "--group-by", "folder")
    await shell.run(*command, folder)
    (folder / "tuesday").mkdir()
    intro.rename(folder / "tuesday" / "0.wav")
    first.unlink()
    record(folder, "tuesday/1.wav", start=9)

    refused = await shell.run(*command, folder)
    assert (refused.code, results(refused)) == (2, {"0.wav": "refused", "1.wav": "blocked"})
    ended = await shell.run(*command, "--again", folder)

    assert ended.code == 0
    one, other = dict.fromkeys(str(one.conversation_id) for one in symbl.submissions)
    assert (numbers(symbl, one), numbers(symbl, other)) == ([1, 2], [1, 9])


async def test_a_folder_is_the_same_by_each_link_to_it(shell, symbl, folder, tmp_path):
    record(folder, "a.wav", "sub/b.wav")
    (tmp_path / "link").symlink_to(folder)
    command = ("upload", "--json", "--group-by", "folder")
    await shell.run(*command, tmp_path / "link")

    for path in (folder, tmp_path / "link" / "sub", tmp_path / "link" / "a.wav"):
        ended = await shell.run(*command, path)
        assert set(results(ended).values()) == {"skipped"}
    assert len(symbl.submissions) == 2


ODD = (
    *("new\nline.wav", "-dash.wav", "ünï 日本.wav", "'quoted\".wav", " .wav", "#.wav"),
    *("x" * 200 + ".wav", os.fsdecode(b"\xff\xfe.wav")),
)


async def test_names_that_file_systems_allow_are_sent_once(shell, symbl, folder, tmp_path):
    record(folder, *ODD)
    command = ("upload", "--json", "-o", tmp_path / "out", "--report", tmp_path / "r.csv", folder)

    first = await shell.run(*command)
    again = await shell.run(*command)

    assert (first.code, first.err) == (0, "")
    assert first.lines[-1]["counts"] == {"completed": len(ODD)}
    assert again.lines[-1]["counts"] == {"skipped": len(ODD)}
    assert len(symbl.submissions) == len(ODD)


async def test_a_conversation_that_is_gone_is_named(shell, symbl, folder):
    record(folder, "1.wav")
    first = await shell.run("upload", "--json", "--group-by", "folder", folder)
    async with symbl.client() as client:
        await client.conversation(str(first.lines[0]["conversation"])).delete()
    record(folder, "2.wav", start=2)

    gone = await shell.run("upload", "--json", "--group-by", "folder", folder)
    again = await shell.run("upload", "--json", "--again", "--group-by", "folder", folder)

    assert gone.code == 2
    assert "--again" in gone.err
    assert again.code == 0
    assert again.lines[-1]["counts"] == {"completed": 2}


async def test_a_watched_folder_is_uploaded_as_recordings_appear(shell, symbl, folder):
    record(folder, "1.wav", start=1)
    process = await shell.start("upload", "--json", "--watch", "--quiet-for", "0", folder)
    await symbl.until(lambda: len(accepted(symbl)) == 1)
    record(folder, "2.wav", start=2)
    await symbl.until(lambda: len(accepted(symbl)) == 2)

    process.send_signal(signal.SIGINT)
    ended = await shell.end(process)

    assert ended.code == 130
    assert len(accepted(symbl)) == 2


async def test_a_part_that_is_still_written_holds_back_those_behind_it(shell, symbl, folder):
    parts = record(folder, *(f"{number}.wav" for number in range(1, 5)), start=1)
    for part in parts:
        os.utime(part, (0, 0))
    ahead = time.time() + 600  # as one that is being written, until its time is set
    os.utime(parts[1], (ahead, ahead))
    command = ("upload", "--json", "--watch", "--quiet-for", "60", "--group-by", "folder")
    process = await shell.start(*command, folder)
    assert process.stdout is not None
    while json.loads(await process.stdout.readline())["event"] != "completed":
        pass

    os.utime(parts[1], (0, 0))
    await symbl.until(lambda: len(accepted(symbl)) == 4)

    process.send_signal(signal.SIGINT)
    assert (await shell.end(process)).code == 130
    (conversation,) = {received.conversation_id for received in symbl.submissions}
    assert numbers(symbl, str(conversation)) == [1, 2, 3, 4]


async def test_a_linked_folder_is_named_and_not_followed(shell, symbl, folder, tmp_path):
    record(folder, "a.wav")
    record(tmp_path / "share", "b.wav", start=1)
    (folder / "linked").symlink_to(tmp_path / "share")
    (folder / "circle").symlink_to(folder)

    planned = await shell.run("upload", "--json", "--dry-run", folder)
    ended = await shell.run("upload", "--json", folder)

    reasons = {Path(one["source"]).name: one["action"] for one in planned.lines[-1]["reasons"]}
    assert reasons == {"linked": "leave out", "circle": "leave out"}
    assert ended.code == planned.code == 0
    assert results(ended) == {"a.wav": "completed"}
    assert f"{str(folder / 'linked')!r}: a symbolic link to a folder is not followed" in ended.err
    both = await shell.run("upload", "--json", folder, folder / "linked")
    assert results(both) == {"a.wav": "skipped", "b.wav": "completed"}


async def test_a_file_gets_lines_and_no_rows_although_colours_are_forced(shell, symbl, folder):
    record(folder, "1.wav")

    ended = await Shell(**shell.environment(), FORCE_COLOR="1").run("upload", folder)

    assert "conversation" in ended.out
    assert "\x1b[?25l" not in ended.out


async def test_two_recordings_with_the_same_content_are_both_sent(shell, symbl, folder):
    for name in ("a.wav", "b.wav"):
        record(folder, name)

    for _ in range(2):
        await shell.run("upload", folder)

    assert len(symbl.submissions) == 2


async def test_the_recordings_of_a_folder_are_one_conversation_in_natural_order(
    shell, symbl, folder
):
    record(folder, *(f"standup/part {number}.wav" for number in range(1, 12)), start=1)
    record(folder, "review/2.wav", "review/1.wav", start=20)

    ended = await shell.run("upload", "--json", "--group-by", "folder", folder)

    assert (ended.code, ended.err) == (0, "")
    found = {
        str(line["meeting"]): numbers(symbl, str(line["conversation"]))
        for line in ended.lines
        if line["event"] == "completed"
    }
    assert found == {"standup": list(range(1, 12)), "review": [21, 20]}


async def test_a_meeting_goes_on_where_it_was(shell, symbl, folder):
    record(folder, "1.wav", "2.wav", start=1)
    first = await shell.run("upload", "--json", "--group-by", "folder", folder)
    conversation = str(first.lines[0]["conversation"])
    record(folder, "3.wav", start=3)

    await shell.run("upload", "--json", "--group-by", "folder", folder)

    assert numbers(symbl, conversation) == [1, 2, 3]


async def test_a_recording_whose_place_in_the_meeting_is_gone_is_refused(shell, symbl, folder):
    record(folder, "1.wav", "3.wav", start=1)
    await shell.run("upload", "--group-by", "folder", folder)
    record(folder, "2.wav", start=5)

    ended = await shell.run("upload", "--json", "--group-by", "folder", folder)

    assert ended.code == 2
    assert results(ended)["2.wav"] == "refused"
    assert len(symbl.submissions) == 2


async def test_a_part_without_a_place_neither_blocks_the_others_nor_hides_that_they_are_done(
    shell, symbl, folder
):
    record(folder, "1.wav", "3.wav", start=1)
    first = await shell.run("upload", "--json", "--group-by", "folder", folder)
    conversation = str(first.lines[0]["conversation"])
    record(folder, "2.wav", start=5)
    record(folder, "4.wav", start=6)

    ended = await shell.run("upload", "--json", "--group-by", "folder", folder)

    names = ("1.wav", "2.wav", "3.wav", "4.wav")
    assert [results(ended)[name] for name in names] == [
        *("skipped", "refused", "skipped", "completed")
    ]
    assert numbers(symbl, conversation) == [1, 2, 6]
    (reason,) = (line["reason"] for line in ended.lines if line["event"] == "refused")
    assert "--again" in str(reason)
    assert f"symbl-aio append {conversation} {folder / '2.wav'}" in str(reason)


@pytest.mark.parametrize(
    "before,now,second",
    [
        ((), ("--group-by", "folder"), "blocked"),
        (("--group-by", "folder"), (), "refused"),
    ],
    ids=["then one meeting", "then each alone"],
)
async def test_recordings_that_were_grouped_otherwise_are_refused_and_no_file_mixes_them(
    before, now, second, shell, symbl, folder, tmp_path
):
    record(folder, "1.wav", "2.wav", start=1)
    await shell.run("upload", *before, folder)
    out = tmp_path / "out"

    ended = await shell.run("upload", "--json", "-o", out, *now, folder)

    assert ended.code == 2
    assert results(ended) == {"1.wav": "refused", "2.wav": second}
    assert "--again" in ended.err
    assert not out.exists()
    again = await shell.run("upload", "--json", "--again", "-o", out, *now, folder)
    assert again.code == 0
    assert len(symbl.submissions) == 4
    assert out.exists()


async def test_jobs_that_ran_are_refused_to_another_grouping_once_they_have_ended(
    shell, symbl, folder
):
    record(folder, "1.wav", "2.wav", start=1)
    symbl.hold_jobs()
    process = await shell.start("upload", "--json", folder)
    await symbl.until(lambda: len(accepted(symbl)) == 2)
    process.kill()
    await shell.end(process)
    symbl.release()

    ended = await shell.run("upload", "--json", "--group-by", "folder", folder)

    assert results(ended) == {"1.wav": "refused", "2.wav": "blocked"}
    assert len(accepted(symbl)) == 2


async def test_a_folder_with_another_name_is_the_same_meeting(shell, symbl, folder, tmp_path):
    record(folder, "1.wav", "2.wav", start=1)
    await shell.run("upload", "--group-by", "folder", folder)
    moved = folder.rename(tmp_path / "moved")

    ended = await shell.run("upload", "--json", "--group-by", "folder", moved)

    assert (ended.code, ended.err) == (0, "")
    assert results(ended) == {"1.wav": "skipped", "2.wav": "skipped"}


@pytest.mark.parametrize(
    "before,now,expected",
    [
        ((), ("--group-by", "folder"), ["skipped", "refused"]),
        (("--group-by", "folder"), (), ["refused", "refused"]),
    ],
    ids=["then one meeting", "then each alone"],
)
async def test_a_move_to_another_folder_hides_no_other_grouping(
    before, now, expected, shell, folder, tmp_path
):
    record(folder, "1.wav", "2.wav", start=1)
    await shell.run("upload", *before, folder)
    moved = folder.rename(tmp_path / "moved")
    out = tmp_path / "out"

    ended = await shell.run("upload", "--json", "-o", out, *now, moved)

    assert [results(ended)[name] for name in ("1.wav", "2.wav")] == expected
    assert not out.exists()


async def test_a_part_that_is_moved_out_of_its_meeting_is_refused_to_another(
    shell, folder, tmp_path
):
    record(folder, "1.wav", "2.wav", start=1)
    await shell.run("upload", "--group-by", "folder", folder)
    other = tmp_path / "other"
    other.mkdir()
    (folder / "2.wav").rename(other / "2.wav")

    ended = await shell.run("upload", "--json", "--group-by", "folder", other)

    assert results(ended) == {"2.wav": "refused"}
    again = await shell.run("upload", "--json", "--again", "--group-by", "folder", other)
    assert results(again) == {"2.wav": "completed"}


async def test_a_pattern_that_no_recording_matches_is_an_error_with_a_path_to_compare(
    shell, symbl, folder
):
    record(folder, "monday/standup-part1.wav", "monday/standup-part2.wav")

    ended = await shell.run("upload", "--dry-run", "--group-by", r"^(\w+)-part", folder)

    assert ended.code == 2
    assert r"'monday/standup-part1.wav' does not match ^(\w+)-part" in ended.err
    assert (await shell.run("upload", "--group-by", r"(\w+)-part", folder)).code == 0


async def test_a_pattern_names_the_meeting(shell, symbl, folder):
    record(folder, "mon-1.wav", "tue-1.wav", "mon-2.wav", "other.wav")

    ended = await shell.run("upload", "--json", "--group-by", r"(\w+)-\d", folder)

    assert ended.code == 0
    assert results(ended)["other.wav"] == "left_out"
    by_meeting = {line["meeting"] for line in ended.lines if line["event"] == "completed"}
    assert by_meeting == {"mon", "tue"}
    assert len({received.conversation_id for received in symbl.submissions}) == 2


async def test_a_manifest_has_the_order_and_the_files(shell, symbl, folder):
    record(folder, "a.wav", "b.wav", "c.wav")
    manifest = folder / "parts.csv"
    manifest.write_text("file,meeting\nc.wav,x\na.wav,x\nb.wav,\n", "utf-8")

    ended = await shell.run("upload", "--json", "--group-by", manifest)

    assert (ended.code, ended.err) == (0, "")
    (conversation,) = {
        str(line["conversation"]) for line in ended.lines if line.get("meeting") == "x"
    }
    assert numbers(symbl, conversation) == [2, 0]
    assert len(symbl.submissions) == 3


async def test_a_dry_run_sends_nothing_and_names_what_would_be_refused(shell, symbl, folder):
    record(folder, "a.wav", "b.wav")
    (folder / "talk.mkv").write_bytes(b"\x1aE\xdf\xa3" * 100)
    (folder / "empty.wav").touch()

    ended = await shell.run("upload", "--json", "--dry-run", folder)

    assert ended.code == 2
    assert symbl.submissions == []
    (line,) = ended.lines
    assert line["counts"] == {"send": 2, "refuse": 2}
    assert line["seconds"] == pytest.approx(0.2)
    refused = {Path(reason["source"]).name for reason in line["reasons"]}
    assert refused == {"talk.mkv", "empty.wav"}
    for_people = await shell.run("upload", "--dry-run", folder)
    assert "To send: 2" in for_people.out
    assert "is empty" in for_people.out


async def test_a_dry_run_lists_the_recordings_of_each_meeting_in_their_order(shell, folder):
    record(folder, *(f"standup-part{number}.wav" for number in (1, 2, 10)), "other.wav")
    command = ("upload", "--dry-run", "--group-by", r"(\w+)-part", folder)

    for_people = await shell.run(*command)
    (line,) = (await shell.run(*command, "--json")).lines

    parts = [str(folder / f"standup-part{number}.wav") for number in (1, 2, 10)]
    assert line["groups"] == [{"meeting": "standup", "sources": parts}]
    assert f"  standup: {', '.join(parts)}" in for_people.out
    assert "other.wav: 'other.wav' does not match" in for_people.out


async def test_a_dry_run_counts_the_parts_that_a_refused_one_would_block(shell, symbl, folder):
    record(folder, "1.wav", "2.wav", "3.wav", start=1)
    (folder / "2.wav").write_bytes(b"")
    command = ("upload", "--json", "--group-by", "folder", folder)

    (line,) = (await shell.run(*command, "--dry-run")).lines
    ended = await shell.run(*command)

    assert line["counts"] == {"send": 1, "refuse": 1, "block": 1}
    assert results(ended) == {"1.wav": "completed", "2.wav": "refused", "3.wav": "blocked"}
    (blocked,) = (reason for reason in line["reasons"] if reason["action"] == "block")
    assert Path(str(blocked["source"])).name == "3.wav"
    for_people = await shell.run("upload", "--dry-run", "--group-by", "folder", folder)
    assert "Blocked: 1." in for_people.out


async def test_a_dry_run_of_again_counts_what_again_would_send(shell, symbl, folder):
    record(folder, "1.wav", "2.wav")
    command = ("upload", "--json", "--group-by", "folder", folder)
    await shell.run(*command)

    (line,) = (await shell.run(*command, "--again", "--dry-run")).lines

    assert line["counts"] == {"send": 2}
    assert results(await shell.run(*command)) == dict.fromkeys(("1.wav", "2.wav"), "skipped")


async def test_a_dry_run_with_a_report_is_refused(shell, folder, tmp_path):
    record(folder, "a.wav")

    ended = await shell.run("upload", "--dry-run", "--report", tmp_path / "r.csv", folder)

    assert ended.code == 2
    assert "--json" in ended.err


async def test_transcripts_are_written_in_the_same_tree(shell, folder, tmp_path):
    record(folder, "a.wav", "sub/b.wav")
    out = tmp_path / "out"

    ended = await shell.run("upload", "-o", out, folder)

    assert (ended.code, ended.err) == (0, "")
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert written == {
        f"{name}.{ending}" for name in ("a", "sub/b") for ending in "json srt vtt md txt".split()
    }
    assert (out / "a.txt").read_text("utf-8") == "Ann: Good morning.\n"
    assert "Good morning." in (out / "sub" / "b.srt").read_text("utf-8")
    everything = Everything.from_json((out / "a.json").read_text("utf-8"))
    assert [message.text for message in everything.messages] == ["Good morning."]


async def test_transcripts_of_earlier_uploads_are_written_without_another_upload(
    shell, symbl, folder
):
    record(folder, "a.wav")
    await shell.run("upload", folder)

    ended = await shell.run("upload", "--beside", "--format", "srt", folder)

    assert ended.code == 0
    assert (folder / "a.srt").exists()
    assert len(symbl.submissions) == 1


async def test_files_that_are_older_than_the_last_part_are_written_anew(shell, folder, tmp_path):
    command = ("upload", "--json", "--group-by", "folder", "--format", "txt", folder)
    out = tmp_path / "out"
    record(folder, "x/1.wav")
    assert (await shell.run(*command, "-o", out)).code == 0
    (path,) = out.rglob("*.txt")
    before = path.read_text()
    os.utime(path, (1e9, 1e9))
    # The run that sends the next part does not come to its files: it is killed, for example.
    record(folder, "x/2.wav", start=1)
    assert results(await shell.run(*command))["2.wav"] == "completed"

    ended = await shell.run(*command, "-o", out)

    assert results(ended) == {"1.wav": "skipped", "2.wav": "skipped"}
    assert path.read_text().count("Good morning.") == 2 * before.count("Good morning.")
    ended = await shell.run(*command, "-o", out)
    assert "written" not in [line["event"] for line in ended.lines]


async def test_a_meeting_has_one_set_of_files(shell, folder, tmp_path):
    record(folder, "standup/1.wav", "standup/2.wav")

    await shell.run("upload", "--group-by", "folder", "-o", tmp_path, "--format", "txt", folder)

    assert (tmp_path / "standup.txt").read_text("utf-8").count("Good morning.") == 2


async def test_a_failed_recording_blocks_those_behind_it_and_is_sent_again_on_request(
    shell, symbl, folder
):
    record(folder, "1.wav", "2.wav", start=1)
    symbl.inject("job_fails")
    command = ("upload", "--json", "--group-by", "folder", folder)

    first = await shell.run(*command)
    again = await shell.run(*command)
    retried = await shell.run(*command, "--retry-failed")

    for ended in (first, again):
        assert ended.code == 1
        assert results(ended) == {"1.wav": "failed", "2.wav": "blocked"}
    assert "--retry-failed" in first.err
    assert "moved out of the folder" in first.err
    assert retried.code == 0
    assert results(retried) == {"1.wav": "completed", "2.wav": "completed"}


async def test_the_report_has_a_row_for_each_recording(shell, folder, tmp_path):
    record(folder, "a.wav", "b.wav")
    (folder / "empty.wav").touch()

    as_csv = await shell.run("upload", "--report", tmp_path / "r.csv", folder)
    await shell.run("upload", "--report", tmp_path / "r.json", folder)

    assert as_csv.code == 2
    rows = list(csv.DictReader((tmp_path / "r.csv").read_text("utf-8").splitlines()))
    assert sorted(row["result"] for row in rows) == ["completed", "completed", "refused"]
    assert all(row["conversation"] for row in rows if row["result"] == "completed")
    told = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert sorted(row["result"] for row in told) == ["refused", "skipped", "skipped"]


async def test_a_report_that_cannot_be_written_hides_no_end(shell, folder, tmp_path):
    record(folder, "a.wav")
    report = tmp_path / "r.csv"
    report.symlink_to("/dev/full")

    ended = await shell.run("upload", "--report", report, folder)

    assert ended.code == 7
    assert "1 completed" in ended.out
    assert "the report is not written: " in ended.err


async def test_after_ctrl_c_the_report_has_the_recordings_that_have_not_ended(
    shell, symbl, folder, tmp_path
):
    record(folder, *(f"{number}.wav" for number in range(1, 5)), "other/a.wav", start=1)
    (folder / "empty.wav").touch()
    symbl.hold_jobs()
    report = tmp_path / "r.csv"
    command = ("upload", "--json", "--group-by", "folder", "--report", report, folder)
    process = await shell.start(*command)
    await symbl.until(lambda: len(accepted(symbl)) == 2)

    process.send_signal(signal.SIGINT)
    assert (await shell.end(process)).code == 130

    rows = list(csv.DictReader(report.read_text("utf-8").splitlines()))
    assert {Path(row["source"]).name: row["result"] for row in rows} == {
        **dict.fromkeys(("2.wav", "3.wav", "4.wav", "empty.wav"), "unsent"),
        **dict.fromkeys(("1.wav", "a.wav"), "running"),
    }
    assert all(row["conversation"] for row in rows if row["result"] == "running")
    assert all(row["reason"] for row in rows)
    symbl.release()


async def test_a_watch_reports_each_recording_once(shell, symbl, folder, tmp_path):
    record(folder, "1.wav", start=1)
    report = tmp_path / "r.csv"
    command = ("upload", "--json", "--watch", "--quiet-for", "0", "--group-by", "folder")
    process = await shell.start(*command, "--report", report, folder)
    await symbl.until(lambda: len(accepted(symbl)) == 1)
    record(folder, "2.wav", start=2)
    await symbl.until(lambda: len(accepted(symbl)) == 2)

    assert process.stdout is not None
    while json.loads(await process.stdout.readline()).get("part") != 2:
        pass
    process.send_signal(signal.SIGINT)
    ended = await shell.end(process)

    rows = list(csv.DictReader(report.read_text("utf-8").splitlines()))
    assert [(Path(row["source"]).name, row["result"]) for row in rows] == [
        *(("1.wav", "completed"), ("2.wav", "completed"))
    ]
    assert "2 of 2 recordings so far are done" in ended.err


async def watch_without_a_folder(shell, folder, out):
    """Start a watch of one recording whose transcript has a file in the place of its folder."""
    record(folder, "x/1.wav")
    out.mkdir()
    (out / "x").write_text("a file in the place of the folder")
    process = await shell.start(
        *("upload", "--json", "--watch", "--quiet-for", "0", "-o", out, folder)
    )
    assert process.stdout is not None
    return process


async def test_a_watch_writes_the_files_once_their_folder_can_be_written(shell, folder, tmp_path):
    out = tmp_path / "out"
    process = await watch_without_a_folder(shell, folder, out)
    seen: list[str] = []
    async for line in process.stdout:
        seen.append(json.loads(line)["event"])
        if seen[-1] == "unwritten":
            (out / "x").unlink(missing_ok=True)
        if seen[-1] == "written":
            process.send_signal(signal.SIGINT)
    await process.wait()
    assert "unwritten" in seen
    assert seen.count("written") == 1
    assert (out / "x" / "1.txt").exists()


async def test_an_interrupted_watch_counts_the_conversations_without_files(shell, folder, tmp_path):
    process = await watch_without_a_folder(shell, folder, tmp_path / "out")
    while json.loads(await process.stdout.readline())["event"] != "unwritten":
        pass
    process.send_signal(signal.SIGINT)
    ended = await shell.end(process)

    assert "1 of 1 recordings so far are done" in ended.err
    assert "The files of 1 conversation are not written" in ended.err


async def test_a_lost_answer_is_settled_by_evidence(shell, symbl, folder):
    record(folder, "1.wav", "2.wav", "3.wav", start=1)
    symbl.inject("accept_then_drop", on="POST")
    symbl.inject("accept_then_drop", on="PUT")

    ended = await shell.run("upload", "--json", "--group-by", "folder", folder)

    assert (ended.code, ended.err) == (0, "")
    assert ended.lines[-1]["counts"] == {"completed": 3}
    assert ended.events().count("proving") == 2
    (conversation,) = {received.conversation_id for received in symbl.submissions}
    assert numbers(symbl, str(conversation)) == [1, 2, 3]


async def test_without_evidence_a_recording_is_listed_and_not_sent_again(shell, symbl, folder):
    record(folder, "1.wav", "2.wav", start=1)
    symbl.inject("status:500", on="POST")
    command = ("upload", "--json", "--patience", "0", "--group-by", "folder", folder)

    first = await shell.run(*command)
    again = await shell.run(*command)

    for ended in (first, again):
        assert ended.code == 4
        assert results(ended) == {"1.wav": "ambiguous", "2.wav": "blocked"}
        assert f"symbl-aio settle --accepted {folder / '1.wav'}    # or" in ended.err
    assert len(symbl.submissions) == 1
    refused = await shell.run("settle", "--not-accepted", folder)
    assert (refused.code, "is not one that may have arrived" in refused.err) == (2, True)
    settled = await shell.run("settle", "--not-accepted", folder / "1.wav")
    assert settled.code == 0
    last = await shell.run(*command)
    assert last.code == 0
    assert results(last) == {"1.wav": "completed", "2.wav": "completed"}


async def test_ctrl_c_withdraws_and_the_same_command_goes_on(shell, symbl, folder):
    record(folder, *(f"{number}.wav" for number in range(1, 5)), start=1)
    symbl.hold_jobs()
    process = await shell.start("upload", "--json", "--group-by", "folder", folder)
    assert process.stdout is not None
    assert json.loads(await process.stdout.readline())["event"] == "accepted"

    process.send_signal(signal.SIGINT)
    ended = await shell.end(process)

    assert ended.code == 130
    assert 0 < len(ended.err.splitlines()) <= 10
    assert "upload" in ended.err.splitlines()[-1]
    symbl.release()
    again = await shell.run("upload", "--json", "--group-by", "folder", folder)
    assert again.code == 0
    (conversation,) = {received.conversation_id for received in symbl.submissions}
    assert numbers(symbl, str(conversation)) == [1, 2, 3, 4]


async def test_the_command_that_continues_again_does_not_send_all_of_it_once_more(
    shell, symbl, folder
):
    record(folder, "1.wav", "2.wav", start=1)
    assert (await shell.run("upload", folder)).code == 0
    symbl.hold_jobs()
    symbl.release(1)
    shell = Shell(**shell.environment(), SYMBL_LIMITS_JOBS="1")
    process = await shell.start("upload", "--json", "--again", folder)
    assert process.stdout is not None
    while json.loads(await process.stdout.readline())["event"] != "completed":
        pass

    process.send_signal(signal.SIGINT)
    ended = await shell.end(process)
    symbl.release()

    command = shlex.split(ended.err.splitlines()[-1])
    assert command == ["symbl-aio", "upload", "--json", str(folder)]
    assert (await shell.run(*command[1:])).code == 0
    assert len(accepted(symbl)) == 4


async def test_names_of_standard_input_are_in_no_command_that_continues(shell, symbl, folder):
    (a,) = record(folder, "a.wav")
    symbl.hold_jobs()
    process = await shell.start("upload", "-", stdin=-1)
    assert process.stdin is not None
    process.stdin.write(f"{a}\n".encode())
    process.stdin.close()
    await symbl.until(lambda: symbl.unfinished == 1)

    process.send_signal(signal.SIGINT)
    ended = await shell.end(process)

    assert ended.err.splitlines()[-1] == "To continue, repeat the command."


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["", "json"])
async def test_ctrl_c_among_many_is_ten_lines_and_loses_nothing(form, shell, symbl, folder):
    record(folder, *(f"{number}.wav" for number in range(60)))
    symbl.hold_jobs()
    process = await shell.start("upload", *form, folder)
    await symbl.until(lambda: symbl.unfinished >= 5)

    process.send_signal(signal.SIGTERM)
    ended = await shell.end(process)

    assert ended.code == 130
    assert 0 < len(ended.err.splitlines()) <= 10
    symbl.release()
    again = await shell.run("upload", "--json", folder)
    assert again.code == 0, again.err
    assert sorted(accepted(symbl)) == sorted(
        sha256(recording(number)).hexdigest() for number in range(60)
    )


async def test_a_process_that_was_killed_is_continued(shell, symbl, folder):
    record(folder, *(f"{number}.wav" for number in range(1, 5)), start=1)
    symbl.hold_jobs()
    # A third one on its way would be in doubt, and a person would have to settle it.
    shell = Shell(**shell.environment(), SYMBL_LIMITS_JOBS="2")
    process = await shell.start("upload", "--json", folder)
    await symbl.until(lambda: symbl.unfinished == 2)

    process.kill()
    await shell.end(process)
    symbl.release()
    ended = await shell.run("upload", "--json", folder)

    assert (ended.code, ended.err) == (0, "")
    assert sorted(str(received.sha256) for received in symbl.submissions) == sorted(
        sha256(recording(number)).hexdigest() for number in range(1, 5)
    )


@pytest.mark.parametrize(
    "meetings,alone,kills",
    [(6, 20, 3), pytest.param(300, 500, 5, marks=[pytest.mark.slow, pytest.mark.timeout(900)])],
)
async def test_each_recording_arrives_once_and_in_order_although_the_upload_is_killed(
    shell, symbl, folder, meetings, alone, kills
):
    """Of 2,000 recordings, or of 50: the books are those of the server."""
    rng = random.Random(20)
    groups = {
        f"meeting {at}": [f"{at}/part {n}.wav" for n in range(1, 6)] for at in range(meetings)
    }
    names = [*(name for group in groups.values() for name in group)]
    names += [f"alone-{number}.wav" for number in range(alone)]
    number_of = {name: number for number, name in enumerate(names)}
    record(folder, *names)
    command = ("upload", "--json", "--patience", "2", "--group-by", r"^(\d+)/|^(alone-\d+)", folder)

    for _ in range(kills):
        enough = len(accepted(symbl)) + rng.randint(1, len(names) // (kills + 1))
        process = await shell.start(*command, stdout=DEVNULL)
        await symbl.until(lambda enough=enough: len(accepted(symbl)) >= enough)
        process.kill()
        await shell.end(process)
    code, settled = 4, 0
    while code == 4:
        ended = await shell.run(*command)
        code = ended.code
        for line in ended.lines:
            if line["event"] == "ambiguous":
                # A person looks at the server: here its log shows whether it has the recording.
                source = Path(str(line["source"]))
                number = number_of[str(source.relative_to(folder))]
                has_it = sha256(recording(number)).hexdigest() in accepted(symbl)
                assert not has_it, "evidence should have been found"
                assert (await shell.run("settle", "--not-accepted", source)).code == 0
                settled += 1

    assert code == 0, ended.err
    assert settled <= kills * 50
    assert sorted(accepted(symbl)) == sorted(
        sha256(recording(number)).hexdigest() for number in range(len(names))
    )
    for group in groups.values():
        numbers_of_group = [number_of[name] for name in group]
        first = sha256(recording(numbers_of_group[0])).hexdigest()
        (opened,) = (one for one in symbl.submissions if one.sha256 == first and one.job_id)
        assert numbers(symbl, str(opened.conversation_id), len(names)) == numbers_of_group


async def test_two_uploads_of_one_account_do_not_mix(shell, symbl, folder):
    record(folder, "1.wav")
    symbl.hold_jobs()
    process = await shell.start("upload", folder)
    await symbl.until(lambda: symbl.unfinished == 1)

    ended = await shell.run("upload", folder)

    assert ended.code == 2
    assert "the end of the other upload" in ended.err
    process.kill()
    await shell.end(process)


async def test_names_come_from_standard_input(shell, symbl, folder):
    # The bytes of a name need not be UTF-8.
    a, b = record(folder, "a.wav", "\udcff.wav")
    process = await shell.start("upload", "--json", "-", stdin=-1)

    out, err = await process.communicate(os.fsencode(f"{a}\n{b}\n"))

    assert (process.returncode, err) == (0, b"")
    assert out.count(b'"completed"') >= 2
    assert len(symbl.submissions) == 2


async def test_a_server_that_cannot_be_reached_ends_the_run(unused_tcp_port, folder, tmp_path):
    record(folder, *(f"{number}.wav" for number in range(300)))
    shell = Shell(
        SYMBL_BASE_URL=f"http://127.0.0.1:{unused_tcp_port}",
        SYMBL_RETRIES_ATTEMPTS="1",
        XDG_STATE_HOME=str(tmp_path),
        **CREDENTIALS,
    )

    ended = await shell.run("upload", "--json", folder)

    assert ended.code == 3
    assert "check the network" in ended.err
    assert ended.events().count("unsent") < 150


@pytest.mark.heavy
async def test_a_server_that_only_fails_brings_few_recordings_into_doubt(shell, symbl, folder):
    record(folder, *(f"{number}.wav" for number in range(200)))
    symbl.inject("status:502", on="POST", times=1000)
    command = ("upload", "--json", "--patience", "0", folder)

    ended = await shell.run(*command)

    ambiguous = [name for name, result in results(ended).items() if result == "ambiguous"]
    assert ended.code == 4
    assert len(symbl.submissions) == len(ambiguous) < 20
    assert "so that no more come into doubt. The same command goes on" in ended.err
    assert f"symbl-aio settle --accepted {folder / ambiguous[0]}" in ended.err
    symbl.clear_faults()
    again = await shell.run(*command)
    assert again.code == 4
    assert again.lines[-1]["counts"] == {
        "ambiguous": len(ambiguous),
        "completed": 200 - len(ambiguous),
    }


@pytest.mark.heavy
async def test_a_server_that_fails_for_a_moment_ends_no_run(shell, symbl, folder):
    record(folder, *(f"{number}.wav" for number in range(100)))
    symbl.inject("status:502", on="POST", times=4)

    ended = await shell.run("upload", "--json", "--patience", "0", folder)

    assert ended.lines[-1]["counts"] == {"completed": 96, "ambiguous": 4}


async def test_wrong_credentials_end_the_run_at_once(symbl, folder, tmp_path):
    record(folder, *(f"{number}.wav" for number in range(9)))
    shell = Shell(
        SYMBL_BASE_URL=symbl.base_url,
        SYMBL_APP_ID="app",
        SYMBL_APP_SECRET="wrong",
        XDG_STATE_HOME=str(tmp_path),
    )

    ended = await shell.run("upload", folder)

    assert ended.code == 2
    assert "SYMBL_APP_ID" in ended.err
    assert symbl.submissions == []


@pytest.mark.slow  # compares CPU seconds, which a busy machine disturbs
@pytest.mark.timeout(300)
async def test_a_terminal_costs_at_most_half_more_than_json(tmp_path, capfd):
    """The processes themselves measure: 200 recordings, of which an empty run is taken off."""
    seconds = {}
    async with LocalSymbl(default_transcript="Ann: Good morning.") as symbl:
        for form, count in (("json", 1), ("json", 200), ("terminal", 1), ("terminal", 200)):
            folder = tmp_path / f"{form}-{count}"
            record(folder, *(f"{number}.wav" for number in range(count)))
            environment = {
                **Shell(SYMBL_BASE_URL=symbl.base_url, **CREDENTIALS).environment(),
                "SYMBL_POLLS_PER_SECOND": "100",
                "SYMBL_LIMITS_INITIAL_JOBS": "50",
                "TERM": "xterm",
                "COLUMNS": "100",
                "LINES": "40",
            }
            words = ["upload", "--ledger", str(folder / "ledger.db"), str(folder)]
            words += ["--json"] if form == "json" else []
            used = await asyncio.to_thread(_cpu_of, words, environment, form == "terminal")
            seconds[form, count] = used
    each = {form: (seconds[form, 200] - seconds[form, 1]) / 199 for form in ("json", "terminal")}
    with capfd.disabled():
        print({form: f"{value * 1000:.1f} ms of CPU a recording" for form, value in each.items()})  # noqa: T201
    assert each["terminal"] <= 1.5 * each["json"]
    assert each["json"] <= 0.020


def _cpu_of(words: list[str], environment: dict[str, str], terminal: bool) -> float:
    """Run a command, in a terminal that is read at once; return its CPU seconds."""
    ours, theirs = pty.openpty()
    null = os.open(os.devnull, os.O_RDWR)
    process = subprocess.Popen(
        [sys.executable, "-m", "symbl_aio.cli", *words],
        env=environment,
        stdout=theirs if terminal else null,
        stderr=theirs,
    )
    os.close(theirs)
    os.close(null)
    with suppress(OSError):  # EIO: the other end was closed
        while os.read(ours, 2**16):
            pass
    os.close(ours)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


@pytest.mark.usefixtures("no_home")
async def test_without_a_home_a_ledger_has_to_be_named(symbl: LocalSymbl, tmp_path: Path) -> None:
    record(tmp_path, "a.wav")
    shell = Shell(SYMBL_BASE_URL=symbl.base_url, **CREDENTIALS)
    unnamed = await shell.run("upload", tmp_path / "a.wav")
    named = await shell.run("upload", tmp_path / "a.wav", "--ledger", tmp_path / "ledger.db")
    checked = await shell.run("doctor")

    assert (unnamed.code, "--ledger" in unnamed.err) == (2, True)
    assert named.code == 0
    assert checked.code == 0
