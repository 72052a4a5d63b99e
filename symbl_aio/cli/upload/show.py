"""What an upload prints: a bar and rows in a terminal, lines elsewhere, or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from rich.text import Text

from symbl_aio.cli.safe_streams import Output, clean
from symbl_aio.cli.show_terminal import STYLES, Bars, size
from symbl_aio.cli.upload.find_files import Found
from symbl_aio.cli.upload.grouping import Meeting
from symbl_aio.cli.upload.outcomes import Outcome, Outcomes, Result, described
from symbl_aio.cli.upload.time_left import TimeLeft, in_words

if TYPE_CHECKING:
    from rich.console import Console

    from symbl_aio import Job

_TOTAL: Final = "\0total"
_QUIET: Final = frozenset((Result.COMPLETED, Result.SKIPPED, Result.LEFT_OUT, Result.BLOCKED))
"""Results without a line of their own in a terminal: the bar counts them."""


class Show(Protocol):
    """The events of an upload."""

    @property
    def draws_progress(self) -> bool:
        """Whether ``uploading`` shows anything."""
        ...

    def started(self, part: Found, outcomes: Outcomes) -> None: ...
    def uploading(self, part: Found, sent: int, total: int) -> None: ...
    def accepted(self, part: Found, job: Job, outcomes: Outcomes) -> None: ...
    def proving(self, part: Found, outcomes: Outcomes) -> None: ...
    def ended(self, outcome: Outcome, outcomes: Outcomes) -> None: ...
    def written(self, meeting: Meeting, paths: Sequence[Path]) -> None: ...
    def unwritten(self, meeting: Meeting, reason: str) -> None: ...
    def planned(self, fields: dict[str, object], lines: Sequence[str]) -> None:
        """Print what a dry run found."""
        ...

    def summary(self, outcomes: Outcomes, seconds: float, lines: Sequence[str]) -> None: ...
    def interrupted(self, outcomes: Outcomes, lines: Sequence[str]) -> None: ...
    def error(self, message: str) -> None: ...
    def close(self) -> None: ...


class JsonLines:
    """One JSON object a line on ``stream``; errors, and what a person has to do, on ``errors``."""

    draws_progress = False

    def __init__(self, stream: Output, errors: Output) -> None:
        self._stream = stream
        self._errors = errors

    def started(self, part: Found, outcomes: Outcomes) -> None:
        pass

    def uploading(self, part: Found, sent: int, total: int) -> None:
        pass

    def accepted(self, part: Found, job: Job, outcomes: Outcomes) -> None:
        ids = {"job": job.id, "conversation": job.conversation_id, "token": job.token}
        self._write("accepted", source=part.label, **ids)

    def proving(self, part: Found, outcomes: Outcomes) -> None:
        self._write("proving", source=part.label)

    def ended(self, outcome: Outcome, outcomes: Outcomes) -> None:
        self._write(outcome.result.value, **fields_of(outcome))

    def written(self, meeting: Meeting, paths: Sequence[Path]) -> None:
        self._write("written", meeting=meeting.name, files=[str(path) for path in paths])

    def unwritten(self, meeting: Meeting, reason: str) -> None:
        self._write("unwritten", meeting=meeting.name, reason=reason)

    def planned(self, fields: dict[str, object], lines: Sequence[str]) -> None:
        self._write("planned", **fields)

    def summary(self, outcomes: Outcomes, seconds: float, lines: Sequence[str]) -> None:
        counts = {result.value: count for result, count in outcomes.counts.items()}
        self._write("summary", counts=counts, seconds=round(seconds, 3))
        for line in lines:
            _put(self._errors, clean(line))

    def interrupted(self, outcomes: Outcomes, lines: Sequence[str]) -> None:
        counts = {result.value: count for result, count in outcomes.counts.items()}
        self._write("interrupted", counts=counts, total=outcomes.total)
        for line in lines:
            _put(self._errors, clean(line))

    def error(self, message: str) -> None:
        self._write("error", message=message)
        _put(self._errors, clean(f"symbl-aio: {message}"))

    def close(self) -> None:
        pass

    def _write(self, event: str, **fields: object) -> None:
        _put(self._stream, json.dumps({"event": event, **fields}))


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


class Terminal:
    """A bar for all recordings and a row for each that is under way; lines for the exceptions.

    Where ``console`` is no terminal, a line for each recording that ended instead.
    """

    def __init__(self, console: Console, errors: Console) -> None:
        self.draws_progress = console.is_terminal
        self._console = console
        self._errors = errors
        self._bars = Bars(console, shown=console.is_terminal)
        self._left = TimeLeft(monotonic())

    def started(self, part: Found, outcomes: Outcomes) -> None:
        if self.draws_progress:
            self._total(outcomes)
            self._bars.set(part.source, clean(part.label), 0.0, "starting")

    def uploading(self, part: Found, sent: int, total: int) -> None:
        share = sent / total if total else 1.0
        state = f"uploading  {size(sent)} of {size(total)}"
        self._bars.set(part.source, clean(part.label), share, state)

    def accepted(self, part: Found, job: Job, outcomes: Outcomes) -> None:
        self._bars.set_state(part.source, "transcribing")

    def proving(self, part: Found, outcomes: Outcomes) -> None:
        if self.draws_progress:
            self._total(outcomes)
            self._bars.set(part.source, clean(part.label), 1.0, "looking for evidence")

    def ended(self, outcome: Outcome, outcomes: Outcomes) -> None:
        if outcome.result is Result.COMPLETED:
            self._left.ended(monotonic())
        if self.draws_progress:
            self._bars.remove(outcome.part.source)
            self._total(outcomes)
            if outcome.result in _QUIET and not outcome.changed:
                return
        result = outcome.result.value
        about = outcome.reason or f"conversation {outcome.conversation}"
        changed = "changed since it was sent; now " if outcome.changed else ""
        self._bars.print(
            Text.assemble(
                (f"{result.replace('_', ' '):<10}", STYLES.get(result, "")),
                " ",
                (clean(outcome.part.label), "bold"),
                "  ",
                clean(changed + about),
            )
        )

    def written(self, meeting: Meeting, paths: Sequence[Path]) -> None:
        if not self.draws_progress:
            self._bars.print(Text(clean(f"written    {', '.join(map(str, paths))}")))

    def unwritten(self, meeting: Meeting, reason: str) -> None:
        self._bars.print(Text(clean(f"unwritten  {meeting.name}  {reason}"), "bold red"))

    def planned(self, fields: dict[str, object], lines: Sequence[str]) -> None:
        for line in lines:
            self._console.print(clean(line), markup=False, highlight=False, soft_wrap=True)

    def summary(self, outcomes: Outcomes, seconds: float, lines: Sequence[str]) -> None:
        self.close()
        first = f"{described(outcomes.counts)}; {in_words(seconds)}"
        self._console.print(first, markup=False, highlight=False, soft_wrap=True)
        self._print_errors(lines)

    def interrupted(self, outcomes: Outcomes, lines: Sequence[str]) -> None:
        self.close()
        self._print_errors(lines)

    def error(self, message: str) -> None:
        self.close()
        self._print_errors([f"symbl-aio: {message}"])

    def close(self) -> None:
        self._bars.close()

    def _print_errors(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._errors.print(clean(line), markup=False, highlight=False, soft_wrap=True)

    def _total(self, outcomes: Outcomes) -> None:
        ended, total = len(outcomes.ended), outcomes.total
        now = monotonic()
        pace, left = self._left.per_second(now), self._left.seconds(total - ended, now)
        state = f"{ended:,} of {total:,}"
        if pace is not None and left is not None:
            rate = f"{pace:.1f} a second" if pace >= 1 else f"{pace * 60:.1f} a minute"
            state += f"  {rate}, about {in_words(left)} left"
        self._bars.set(_TOTAL, "all", ended / total if total else 1.0, state)


def _put(stream: Output, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()
