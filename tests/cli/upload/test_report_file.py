"""The report of an upload: a row for each recording, also for those that a run did not settle."""

from __future__ import annotations

import csv
import json

import pytest

from symbl_aio import ConfigurationError
from symbl_aio.cli.upload.find_files import Found
from symbl_aio.cli.upload.grouping import Meeting
from symbl_aio.cli.upload.ledger import Item, State, open_ledger
from symbl_aio.cli.upload.outcomes import Outcome, Outcomes, Result
from symbl_aio.cli.upload.report_file import check_report, unended, write_report


def found(name: str) -> Found:
    return Found(f"/r/{name}", name, name, "/r")


def test_a_recording_that_was_not_settled_has_the_state_of_the_ledger(tmp_path):
    parts = tuple(found(f"{name}.wav") for name in ("settled", "new", *State))
    meeting = Meeting("m", "m", parts)
    ledger = open_ledger(tmp_path / "a.db")
    for number, state in enumerate(State):
        source = f"/r/{state}.wav"
        item = Item(number, source, "aa", "m", "", state, 0.0, conversation="7", seconds=2.0)
        ledger._keep(item)
    outcomes = Outcomes()
    outcomes.expect(meeting)
    outcomes.add(Outcome(part=parts[0], meeting=meeting, result=Result.REFUSED, reason="empty"))

    rows = {outcome.part.stem: outcome for outcome in unended(outcomes, ledger)}

    ledger._file.close()
    assert {name: row.result for name, row in rows.items()} == {
        "new": Result.UNSENT,
        "sending": Result.AMBIGUOUS,
        "accepted": Result.RUNNING,
        "completed": Result.SKIPPED,
        "failed": Result.FAILED,
    }
    assert (rows["accepted"].conversation, rows["accepted"].seconds) == ("7", 2.0)
    assert all(row.reason for row in rows.values())


def test_a_cell_that_a_spreadsheet_would_run_is_a_text(tmp_path):
    part = found("=cmd.wav")
    outcome = Outcome(part=part, meeting=Meeting(None, "m", (part,)), result=Result.COMPLETED)

    write_report(str(tmp_path / "r.csv"), [outcome])
    write_report(str(tmp_path / "r.JSON"), [outcome])

    (row,) = csv.DictReader((tmp_path / "r.csv").read_text("utf-8").splitlines())
    assert row["source"] == "'=cmd.wav"
    (line,) = json.loads((tmp_path / "r.JSON").read_text("utf-8"))
    assert line["source"] == "=cmd.wav"


def test_another_ending_is_refused():
    with pytest.raises(ConfigurationError, match=r"\.csv"):
        check_report("r.xlsx")
