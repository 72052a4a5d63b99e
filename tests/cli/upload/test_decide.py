"""Decisions about a recording, as a table: what the ledger has, and what follows."""

from __future__ import annotations

import pytest

from symbl_aio.cli.upload.decide import (
    Decision,
    Follow,
    Prove,
    Refuse,
    Send,
    Skip,
    decide,
    sent_behind,
)
from symbl_aio.cli.upload.find_files import Found
from symbl_aio.cli.upload.grouping import Meeting
from symbl_aio.cli.upload.ledger import Item, Ledger, State, open_ledger
from symbl_aio.cli.upload.moved_files import Moves

GONE = 9
"""Number of an item whose file is gone."""


def found(name: str) -> Found:
    return Found(f"/r/{name}", name, name, "/r")


def item(
    source: str, state: State, sha256: str = "aa", meeting: str | None = None, id: int = 1
) -> Item:
    return Item(
        id=id, source=source, sha256=sha256, meeting=meeting, name="", state=state, since=0.0
    )


@pytest.fixture
def ledger(tmp_path):
    opened = open_ledger(tmp_path / "a.db")
    yield opened
    opened._file.close()


def decided(ledger: Ledger, *, key: str | None = None, retry: bool = False) -> Decision:
    part = found("a.wav")
    return decide(
        part,
        "aa",
        Meeting(key, "m", (part,)),
        ledger,
        behind=None,
        retry_failed=retry,
        moves=Moves(vacated=frozenset((GONE,))),
    )


@pytest.mark.parametrize(
    "state,sha256,decision",
    [
        (State.COMPLETED, "aa", Skip),
        (State.COMPLETED, "old", Send),
        (State.FAILED, "aa", Refuse),
        (State.FAILED, "old", Send),
        (State.ACCEPTED, "aa", Follow),
        (State.ACCEPTED, "old", Follow),
        (State.SENDING, "aa", Prove),
        (State.SENDING, "old", Prove),
    ],
)
def test_a_recording_that_was_sent_before(ledger, state, sha256, decision):
    ledger._keep(item("/r/a.wav", state, sha256))
    assert isinstance(decided(ledger), decision)


def test_a_new_recording_is_sent(ledger):
    assert decided(ledger) == Send()


def test_changed_content_is_marked(ledger):
    ledger._keep(item("/r/a.wav", State.COMPLETED, "old"))
    assert decided(ledger) == Send(changed=True)
    assert isinstance(decided(ledger, key="m"), Refuse)


def test_a_failed_recording_is_sent_again_on_request(ledger):
    ledger._keep(item("/r/a.wav", State.FAILED))
    assert decided(ledger, retry=True) == Send()


def test_a_moved_file_is_known_by_its_content_and_a_copy_is_not(ledger):
    ledger._keep(item("/r/there.wav", State.COMPLETED))
    assert decided(ledger) == Send()
    ledger._keep(item("/r/gone.wav", State.COMPLETED, id=GONE))
    decision = decided(ledger)
    assert isinstance(decision, Skip)
    assert decision.moved


def test_a_later_part_that_was_sent_is_found_for_each_part_before_it(ledger):
    a, b, c = (found(name) for name in ("a.wav", "b.wav", "c.wav"))
    ledger._keep(item(b.source, State.ACCEPTED, meeting="m"))
    ledger._keep(item(c.source, State.FAILED, meeting="m"))
    assert sent_behind(Meeting("m", "m", (a, b, c)), ledger) == [b, None, None]
    assert sent_behind(Meeting("n", "n", (a, b, c)), ledger) == [None, None, None]
    refused = decide(
        a,
        "aa",
        Meeting("m", "m", (a, b, c)),
        ledger,
        behind=b,
        retry_failed=False,
    )
    assert isinstance(refused, Refuse)
    assert "b.wav" in refused.reason
