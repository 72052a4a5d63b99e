"""``conversations``, ``export``, ``trackers`` and ``groups``, against the local server."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from symbl_aio import ConfigurationError, Everything, Text, TrackerDraft
from symbl_aio.cli.account_actions import _cells, read_drafts
from symbl_aio.models import ConversationInfo
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK


async def talk(symbl: LocalSymbl, text: str) -> str:
    async with symbl.client(**QUICK) as client:
        return (await client.process(Text(text))).id


async def test_conversations_are_listed_the_newest_first_and_filtered(shell, symbl):
    first, second = [await talk(symbl, text) for text in ("One.", "Two.")]

    ended = await shell.run("conversations", "--json")
    people = await shell.run("conversations")
    limited = await shell.run("conversations", "--json", "--limit", "1")
    named = await shell.run("conversations", "--json", "--name", first)
    late = await shell.run("conversations", "--json", "--until", "1d", "--since", "2d")

    assert ended.code == 0
    assert {line["id"] for line in ended.lines} == {first, second}
    assert {line.split()[0] for line in people.out.splitlines()} == {first, second}
    assert len(limited.lines) == 1
    assert [line["id"] for line in named.lines] == [first]
    assert (late.code, late.out, late.err) == (0, "", "No conversation matches.\n")


@pytest.mark.parametrize("since", ["2026-01-31", "2026-01-31T09:00+01:00", "30d", "12h", "15m"])
async def test_times_are_dates_or_ages(since, shell):
    assert (await shell.run("conversations", "--since", since)).code == 0


@pytest.mark.parametrize("since", ["d", "yesterday", "-3d", "99999999999d", "0001-01-01"])
async def test_a_time_that_is_none_is_refused(since, shell):
    ended = await shell.run("conversations", "--since", since)
    assert ended.code == 2
    assert "30d" in ended.err


async def test_conversations_are_exported_into_files(shell, symbl, tmp_path):
    ids = [await talk(symbl, text) for text in ("One.", "Two.")]

    ended = await shell.run("export", *ids, "-o", tmp_path)

    assert (ended.code, ended.err) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{one}.{ending}" for one in ids for ending in ("json", "srt", "vtt", "md", "txt")
    }
    everything = Everything.from_json((tmp_path / f"{ids[1]}.json").read_text("utf-8"))
    assert everything.messages[0].text == "Two."


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_times_at_the_ends_of_the_calendar_are_printed(zone, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    ends = (datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    try:
        shown = [_cells(ConversationInfo(id="9", start_time=end))[1] for end in ends]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert all(shown)


async def test_one_text_goes_to_stdout(shell, symbl):
    conversation = await talk(symbl, "One.")
    ended = await shell.run("export", conversation, "--format", "txt")
    for_machines = await shell.run("export", conversation, "--format", "txt", "--json")
    assert (ended.code, ended.out) == (0, "One.\n")
    assert for_machines.lines == [
        {"event": "text", "conversation": conversation, "format": "txt", "text": "One.\n"}
    ]


async def test_an_unknown_conversation_hides_no_other(shell, symbl, tmp_path):
    conversation = await talk(symbl, "One.")

    ended = await shell.run("export", "99", conversation, "-o", tmp_path, "--format", "txt")

    assert ended.code == 5
    assert "99: " in ended.err
    assert [path.name for path in tmp_path.iterdir()] == [f"{conversation}.txt"]


async def test_a_file_that_cannot_be_written_hides_no_other(shell, symbl, tmp_path):
    ids = [await talk(symbl, text) for text in ("One.", "Two.")]
    (tmp_path / f"{ids[0]}.txt").symlink_to("/dev/full")

    ended = await shell.run("export", *ids, "-o", tmp_path, "--format", "txt")

    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert (
        f"{ids[0]}.txt' cannot be used (No space left on device); free some of its disk"
        in ended.err
    )
    assert (tmp_path / f"{ids[1]}.txt").read_text() == "Two.\n"


TRACKERS = [
    {"name": "Price", "vocabulary": ["too expensive", "cheap", "price", "costs", "budget"]},
    {"name": "Rival", "vocabulary": ["other vendor", "rival", "they offer", "versus", "else"]},
]
YAML = """
- name: Price
  vocabulary: [too expensive, cheap, price, costs, budget]
- name: Rival
  vocabulary:
    - other vendor
    - rival
    - they offer
    - versus
    - else
"""


@pytest.mark.parametrize(
    "name,text", [("t.yaml", YAML), ("t.json", json.dumps({"trackers": TRACKERS}))]
)
async def test_trackers_are_created_once_and_listed(name, text, shell, tmp_path):
    file = tmp_path / name
    file.write_text(text, "utf-8")

    first = await shell.run("trackers", "--json", "--create", file)
    again = await shell.run("trackers", "--json", "--create", file)
    listed = await shell.run("trackers", "--json")

    assert (first.code, first.events()) == (0, ["created", "created"])
    assert (again.code, again.events()) == (0, ["exists", "exists"])
    assert [line["name"] for line in listed.lines] == ["Price", "Rival"]
    assert "too expensive" in (await shell.run("trackers")).out


@pytest.mark.parametrize("kind", ["trackers", "groups"])
async def test_what_a_list_prints_creates_the_same_in_another_account(kind, shell, tmp_path):
    given = {
        "trackers": TRACKERS,
        "groups": [{"name": n, "criteria": f"conversation.metadata.x=={n}"} for n in ("a", "b")],
    }
    file = tmp_path / "given.json"
    file.write_text(json.dumps(given[kind]), "utf-8")
    await shell.run(kind, "--create", file)
    listed = tmp_path / "listed.jsonl"
    listed.write_text((await shell.run(kind, "--json")).out, "utf-8")

    again = await shell.run(kind, "--json", "--create", listed)

    assert (again.code, again.events()) == (0, ["exists", "exists"])


async def test_groups_are_created_once_and_listed(shell, tmp_path):
    file = tmp_path / "g.yml"
    file.write_text(
        "name: Ann\ncriteria: conversation.metadata.agentId==ann\ndescription: hers\n", "utf-8"
    )

    first = await shell.run("groups", "--json", "--create", file)
    again = await shell.run("groups", "--json", "--create", file)
    listed = await shell.run("groups")

    assert (first.events(), again.events()) == (["created"], ["exists"])
    assert "conversation.metadata.agentId==ann" in listed.out


@pytest.mark.parametrize(
    "text,words",
    [
        ("- just words", "entry 1 is not an object"),
        ("[{]", "neither YAML nor JSON"),
        ("a: [", "neither YAML nor JSON"),
        ("[" * 5000, "neither YAML nor JSON"),
        ("- " * 5000, "neither YAML nor JSON"),
        ("- {name: A, vocabulary: [b]}\n- {name: B, words: [c]}", "entry 2 has words"),
        ("- {name: A}", "entry 1 lacks one of"),
        ("- {name: '', vocabulary: [b]}", "entry 1: "),
    ],
)
def test_a_wrong_file_is_refused_with_the_entry(text, words, tmp_path):
    file = tmp_path / "t.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=words.replace("[", r"\[")):
        read_drafts(str(file), TrackerDraft)


def test_names_of_two_words_are_those_of_the_api(tmp_path):
    file = tmp_path / "t.yaml"
    file.write_text(
        "- {name: A, vocabulary: [b], excludeVocabulary: [c], createdOn: today}", "utf-8"
    )
    assert read_drafts(str(file), TrackerDraft) == [
        TrackerDraft("A", ["b"], exclude_vocabulary=["c"])
    ]
