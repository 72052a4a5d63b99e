"""Outcomes of an upload: what became of each recording in one run, and their counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum

from attrs import define, field, frozen

from symbl_aio.cli.exit_codes import (
    AMBIGUOUS,
    JOB_FAILED,
    OK,
    UNREACHABLE,
    UNWRITTEN,
    USAGE,
    most_severe,
)
from symbl_aio.cli.upload.find_files import Found
from symbl_aio.cli.upload.grouping import Meeting


class Result(StrEnum):
    """What became of a recording in this run."""

    COMPLETED = "completed"
    """Its job is completed."""
    SKIPPED = "skipped"
    """It was done before."""
    LEFT_OUT = "left_out"
    """It belongs to no meeting."""
    FAILED = "failed"
    """The server refused it, its job failed, or it failed in an earlier run."""
    REFUSED = "refused"
    """The API would refuse it, or its place in the meeting is gone; nothing was sent."""
    RUNNING = "running"
    """The server has it; the next run follows its job."""
    UNSENT = "unsent"
    """It surely did not arrive; the next run sends it."""
    BLOCKED = "blocked"
    """An earlier recording of its meeting has to be settled first."""
    AMBIGUOUS = "ambiguous"
    """It may have arrived, and no evidence was found; it is not sent again."""


_CODES = {
    Result.COMPLETED: OK,
    Result.SKIPPED: OK,
    Result.LEFT_OUT: OK,
    Result.FAILED: JOB_FAILED,
    Result.REFUSED: USAGE,
    Result.RUNNING: UNREACHABLE,
    Result.UNSENT: UNREACHABLE,
    Result.BLOCKED: OK,  # the recording that blocks it has a code
    Result.AMBIGUOUS: AMBIGUOUS,
}


@frozen(kw_only=True)
class Outcome:
    """What became of one recording."""

    part: Found
    """The recording."""
    meeting: Meeting
    """Its meeting."""
    result: Result
    """What became of it."""
    reason: str | None = None
    """Why, unless it is completed."""
    conversation: str | None = None
    """The conversation, if known."""
    job: str | None = None
    """The job, if known."""
    seconds: float | None = None
    """Length of the recording, if known."""
    changed: bool = False
    """Whether other content of the same path was sent in an earlier run."""
    code: int | None = None
    """The exit code of its error; by default that of its result."""

    @property
    def exit_code(self) -> int:
        """The exit code of this outcome alone."""
        return _CODES[self.result] if self.code is None else self.code


@define
class Outcomes:
    """All outcomes of a run so far."""

    total: int = 0
    """Recordings that the run has in all, as far as is known."""
    ended: list[Outcome] = field(factory=list)
    """The newest outcome of each recording, in the order in which the first ones came."""
    counts: Counter[Result] = field(factory=Counter)
    """How many of each result."""
    unwritten: dict[str, Meeting] = field(factory=dict)
    """Meetings whose files could not be written, by their identity."""
    _expected: dict[str, tuple[Found, Meeting]] = field(factory=dict)
    _places: dict[str, int] = field(factory=dict)

    def expect(self, meeting: Meeting) -> None:
        """Count the recordings of a meeting that are not counted yet."""
        for part in meeting.parts:
            self.total += part.source not in self._expected
            self._expected[part.source] = (part, meeting)

    def unended(self) -> Iterator[tuple[Found, Meeting]]:
        """Yield the expected recordings without an outcome, each with its meeting."""
        return (one for source, one in self._expected.items() if source not in self._places)

    def add(self, outcome: Outcome) -> None:
        """Add an outcome, in place of an earlier one of the same recording.

        A watched meeting is settled again with each new recording. A recording that this run
        has completed stays completed then.
        """
        place = self._places.setdefault(outcome.part.source, len(self.ended))
        if place == len(self.ended):
            self.ended.append(outcome)
        else:
            before = self.ended[place].result
            if (before, outcome.result) == (Result.COMPLETED, Result.SKIPPED):
                return
            self.ended[place] = outcome
            self.counts -= Counter((before,))
        self.counts[outcome.result] += 1

    @property
    def exit_code(self) -> int:
        """The exit code of the run: the most severe of all."""
        codes = [outcome.exit_code for outcome in self.ended]
        return most_severe([*codes, UNWRITTEN] if self.unwritten else codes)

    def of(self, *results: Result) -> list[Outcome]:
        """Return those with one of these results."""
        return [outcome for outcome in self.ended if outcome.result in results]


def described(counts: Counter[Result]) -> str:
    """Return counts in words: ``1,990 completed, 3 skipped``."""
    parts: Iterable[str] = (
        f"{counts[result]:,} {result.value.replace('_', ' ')}"
        for result in Result
        if counts[result]
    )
    return ", ".join(parts) or "nothing to do"


def fields_of(outcome: Outcome) -> dict[str, object]:
    """Return the fields of an outcome for JSON and for the report."""
    part, meeting = outcome.part, outcome.meeting
    return {
        "source": part.label,
        "meeting": None if meeting.key is None else meeting.name,
        "part": meeting.parts.index(part) + 1,
        "conversation": outcome.conversation,
        "job": outcome.job,
        "seconds": outcome.seconds,
        "changed": outcome.changed,
        "reason": outcome.reason,
        "exit_code": outcome.exit_code,
    }
