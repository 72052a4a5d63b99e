"""The ledger: what is in it after commits, crashes, and with two processes."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from attrs import evolve

from symbl_aio.cli.upload.fingerprint import Fingerprint, Stamp
from symbl_aio.cli.upload.ledger import Item, Ledger, State, open_ledger
from symbl_aio.cli.upload.ledger_file import LedgerError


def item(number: int, source: str, **fields: object) -> Item:
    known = {"sha256": "00", "meeting": None, "name": "", "state": State.SENDING, "since": 1.0}
    return Item(id=number, source=source, **(known | fields))  # type: ignore[arg-type]


async def reopened(ledger: Ledger) -> Ledger:
    await ledger.aclose()
    return open_ledger(ledger.path)


async def test_items_and_hashes_survive(tmp_path):
    ledger = open_ledger(tmp_path / "new" / "a.db")
    read = Fingerprint("ff", 2.5, Stamp(10, 20, 30))
    await ledger.save(item(ledger.next_id(), "a", meeting="m", conversation="c"))
    ledger.remember("a", read)
    await ledger.save(item(ledger.next_id(), "b"))
    await ledger.forget(item(2, "b"))

    ledger = await reopened(ledger)

    assert ledger.item("a") == item(1, "a", meeting="m", conversation="c")
    assert ledger.item("b") is None
    assert ledger.known("a") == read
    assert ledger.conversation_of("m") == "c"
    assert ledger.next_id() > 1
    await ledger.aclose()


async def test_a_later_item_of_a_source_replaces_an_earlier_one(tmp_path):
    ledger = open_ledger(tmp_path / "a.db")
    await ledger.save(item(ledger.next_id(), "a", sha256="old", state=State.COMPLETED))
    await ledger.save(item(ledger.next_id(), "a", sha256="new"))

    ledger = await reopened(ledger)

    found = ledger.item("a")
    assert found is not None
    assert found.sha256 == "new"
    (before,) = ledger.with_content("old")
    assert (before.source, before.id) == ("a", 1)
    await ledger.aclose()


async def test_what_is_sent_anew_has_no_earlier_item(tmp_path):
    ledger = open_ledger(tmp_path / "a.db")
    await ledger.save(item(ledger.next_id(), "a", sha256="old", state=State.FAILED))
    await ledger.save(newest := item(ledger.next_id(), "a", state=State.COMPLETED))
    ledger.clear(newest)

    ledger = await reopened(ledger)

    assert ledger.item("a") is None
    assert ledger.with_content("old") == []
    await ledger.aclose()


async def test_of_earlier_runs_only_the_rows_that_are_asked_for_are_in_memory(tmp_path):
    ledger = open_ledger(tmp_path / "a.db")
    for number in range(300):
        ledger.save(
            item(ledger.next_id(), f"{number}", sha256=f"{number % 3}", meeting=f"{number}")
        )
    ledger = await reopened(ledger)
    assert ledger._items == {}

    await ledger.load(["7", "8", "new"], meeting="9")

    assert sorted(ledger._items) == ["7", "8", "9"]
    assert ledger.item("new") is None
    assert len(ledger.with_content("1")) == 100
    await ledger.aclose()


async def test_a_row_that_is_read_late_does_not_replace_what_was_saved_meanwhile(tmp_path):
    ledger = open_ledger(tmp_path / "a.db")
    await ledger.save(item(ledger.next_id(), "a", meeting="m"))
    ledger = await reopened(ledger)

    reading = asyncio.create_task(ledger.load(["a"], meeting="m"))
    await asyncio.sleep(0)
    ledger.save(item(1, "a", meeting="m", state=State.COMPLETED))
    await reading

    (found,) = ledger.of_meeting("m")
    assert found.state is State.COMPLETED
    await ledger.aclose()


async def test_recordings_without_an_end_are_counted_on_disk_and_in_memory(tmp_path):
    ledger = open_ledger(tmp_path / "a.db")
    for source in "abc":
        await ledger.save(item(ledger.next_id(), source))
    ledger = await reopened(ledger)
    one = ledger.item("a")
    assert one is not None

    ledger.save(evolve(one, state=State.ACCEPTED), soon=True)

    assert (ledger.unended(State.SENDING), ledger.unended(State.ACCEPTED)) == (2, 1)
    await ledger.aclose()


async def test_a_ledger_of_an_earlier_release_is_read(tmp_path):
    ledger = open_ledger(tmp_path / "a.db")
    await ledger.save(item(ledger.next_id(), "a"))
    for name in ("source", "sha256", "meeting", "open"):
        ledger._file.execute(f"DROP INDEX item_{name}")
    ledger._file.execute("DROP TABLE note")

    ledger = await reopened(ledger)

    assert ledger.item("a") is not None
    assert not ledger.is_empty
    await ledger.aclose()


async def test_a_row_that_cannot_be_read_is_an_error_of_the_ledger(tmp_path):
    ledger = open_ledger(tmp_path / "a.db")
    await ledger.save(item(ledger.next_id(), "a"))
    ledger._file.execute("UPDATE item SET state = 'of a later release'")
    ledger = await reopened(ledger)

    with pytest.raises(LedgerError, match="later release"):
        await ledger.load(["a"])
    with pytest.raises(LedgerError, match="later release"):
        ledger.item("a")
    await ledger.aclose()


async def test_a_moved_file_has_its_new_path_and_meeting(tmp_path):
    ledger = open_ledger(tmp_path / "a.db")
    await ledger.save(one := item(ledger.next_id(), "a", meeting="m", conversation="c"))
    # What replaced another recording there is the newest of its path.
    await ledger.save(item(ledger.next_id(), "b", sha256="other"))
    moved = await ledger.move(one, "b", "n")
    assert ledger.item("b") == moved
    assert [one.source for one in ledger.with_content(one.sha256)] == ["b"]

    ledger = await reopened(ledger)

    assert ledger.item("a") is None
    assert ledger.item("b") == moved
    assert ledger.of_meeting("m") == []
    assert ledger.conversation_of("n") == "c"
    assert len(ledger.with_content("other")) == 1
    await ledger.aclose()


async def test_writes_that_wait_together_are_one_commit(tmp_path):
    ledger = open_ledger(tmp_path / "a.db")
    commits: list[str] = []
    ledger._file.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)

    writes = [ledger.save(item(ledger.next_id(), f"{number}")) for number in range(100)]
    await asyncio.gather(*writes)

    assert len(commits) <= 2
    await ledger.aclose()


async def test_a_writer_that_is_cancelled_leaves_its_write_and_the_others_alone(tmp_path):
    ledger = open_ledger(tmp_path / "a.db")
    first, second = (ledger.save(item(ledger.next_id(), name)) for name in "ab")
    first.cancel()
    await second

    ledger = await reopened(ledger)

    assert None not in (ledger.item("a"), ledger.item("b"))
    await ledger.aclose()


async def test_an_intent_is_on_disk_once_its_future_is_done(tmp_path):
    """As after ``kill -9``: another process reads the file, which was never closed."""
    ledger = open_ledger(tmp_path / "a.db")
    await ledger.save(item(ledger.next_id(), "a"))
    copy = tmp_path / "copy"
    copy.mkdir()
    for part in tmp_path.glob("a.db*"):
        (copy / part.name).write_bytes(part.read_bytes())

    found = open_ledger(copy / "a.db")

    assert found.item("a") is not None
    await found.aclose()
    await ledger.aclose()


async def test_a_ledger_is_for_one_process(tmp_path):
    ledger = open_ledger(tmp_path / "a.db")
    with pytest.raises(LedgerError, match="the end of the other upload"):
        open_ledger(tmp_path / "a.db")
    await ledger.aclose()


async def test_a_write_that_fails_is_an_error_of_the_ledger(tmp_path):
    ledger = open_ledger(tmp_path / "a.db")
    ledger._file.execute("DROP TABLE item")
    with pytest.raises(LedgerError, match="no such table"):
        await ledger.save(item(ledger.next_id(), "a"))
    await ledger.aclose()


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path):
    (tmp_path / "text.db").write_text("no database, but a text that is long enough" * 40)
    with pytest.raises(LedgerError, match="not a database"):
        open_ledger(tmp_path / "text.db")
    file = sqlite3.connect(tmp_path / "later.db")
    file.execute("PRAGMA user_version = 99")
    file.close()
    with pytest.raises(LedgerError, match="version 99"):
        open_ledger(tmp_path / "later.db")
    for version in (0, 1):
        file = sqlite3.connect(tmp_path / "other.db")
        file.execute(f"CREATE TABLE people{version} (name)")
        file.execute(f"PRAGMA user_version = {version}")
        file.close()
        before = (tmp_path / "other.db").read_bytes()
        with pytest.raises(LedgerError, match="another program's database"):
            open_ledger(tmp_path / "other.db")
        assert (tmp_path / "other.db").read_bytes() == before
    with pytest.raises(LedgerError, match=r"cannot be used .*; give another with --ledger"):
        open_ledger(tmp_path / "text.db" / "below")


def test_the_ledger_is_for_this_user_alone(tmp_path):
    path = tmp_path / "state" / "a.db"
    ledger = open_ledger(path)
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    ledger._file.close()


def test_an_item_is_a_value():
    assert evolve(item(1, "a"), state=State.FAILED) != item(1, "a")
