"""What a person sees of an upload, in a terminal and in a file."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from symbl_aio.cli.upload.find_files import Found
from symbl_aio.cli.upload.grouping import Meeting
from symbl_aio.cli.upload.outcomes import Outcome, Outcomes, Result, described
from symbl_aio.cli.upload.report_file import write_report
from symbl_aio.cli.upload.show_terminal import Terminal
from symbl_aio.cli.upload.time_left import TimeLeft, in_words


def outcome(number: int, result: Result = Result.COMPLETED, **fields: object) -> Outcome:
    name = f"{number}.wav"
    found = Found(f"/r/{name}", name, name, "/r")
    meeting = Meeting(None, str(number), (found,))
    return Outcome(part=found, meeting=meeting, result=result, **fields)  # type: ignore[arg-type]


def test_there_is_no_estimate_before_there_is_a_pace():
    left = TimeLeft(began=100.0)
    for at in (101.0, 102.0, 103.0, 104.0):
        left.ended(at)
    assert left.seconds(10, 104.0) is None
    left.ended(105.0)
    assert left.seconds(10, 105.0) == pytest.approx(10.0)


def test_a_run_that_stands_still_has_more_time_left():
    left = TimeLeft(began=0.0)
    for at in range(1, 11):
        left.ended(float(at))
    assert left.seconds(10, 10.0) == pytest.approx(10.0)
    assert left.seconds(10, 100.0) == pytest.approx(100.0)


def test_the_pace_is_that_of_the_last_ones():
    left = TimeLeft(began=0.0)
    for at in range(200):
        left.ended(float(at * 10))
    for at in range(200):
        left.ended(2000.0 + at)
    assert left.per_second(2200.0) == pytest.approx(1.0, rel=0.01)


def test_times_are_words():
    assert [in_words(s) for s in (0.2, 59, 60, 3541, 3600, 7500)] == [
        "1 s",
        "59 s",
        "1 min",
        "59 min",
        "1 h 00 min",
        "2 h 05 min",
    ]


def test_counts_are_words():
    outcomes = Outcomes()
    for number, result in enumerate((Result.COMPLETED, Result.COMPLETED, Result.LEFT_OUT)):
        outcomes.add(outcome(number, result))
    assert described(outcomes.counts) == "2 completed, 1 left out"
    assert described(Outcomes().counts) == "nothing to do"


def test_without_a_terminal_each_recording_is_a_line():
    out = io.StringIO()
    show, outcomes = Terminal(Console(file=out), Console(file=out)), Outcomes(total=2)
    old = outcome(3, Result.SKIPPED, reason="it was done before")
    for one in (
        outcome(1, conversation="7"),
        outcome(2, Result.FAILED, reason="no\x1b[2Jgood"),
        old,
    ):
        outcomes.add(one)
        show.ended(one, outcomes)
    show.summary(outcomes, 61, "symbl-aio: why", ["what to do"])
    assert out.getvalue().splitlines() == [
        "completed  1.wav  conversation 7",
        "failed     2.wav  no [2Jgood",
        "1 completed, 1 skipped, 1 failed; 1 min",
        "symbl-aio: why",
        "what to do",
    ]


def test_in_a_terminal_recordings_that_went_well_are_in_the_bar_alone():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24)
    show, outcomes = Terminal(console, console), Outcomes(total=40)
    for number in range(30):
        show.started(outcome(number).part, outcomes)
    for number in range(20):
        outcomes.add(outcome(number, conversation="7"))
        show.ended(outcomes.ended[-1], outcomes)
    show.summary(outcomes, 1, "symbl-aio: why", [])
    seen = out.getvalue()
    assert "20 of 40" in seen
    assert "conversation 7" not in seen
    assert "why" not in seen
    assert "3 more" in seen


def test_a_terminal_that_cannot_redraw_gets_a_line_for_each_recording(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24)
    show, outcomes = Terminal(console, console), Outcomes(total=1)
    show.started(outcome(1).part, outcomes)
    outcomes.add(outcome(1, conversation="7"))
    show.ended(outcomes.ended[-1], outcomes)
    assert "conversation 7" in out.getvalue()


def test_a_report_cannot_run_a_formula(tmp_path: Path):
    write_report(str(tmp_path / "r.csv"), [outcome(1, Result.FAILED, reason="=cmd()")])
    assert ",'=cmd()," in (tmp_path / "r.csv").read_text("utf-8")
