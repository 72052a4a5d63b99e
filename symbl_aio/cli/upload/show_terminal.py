"""What an upload prints for people: a bar and rows in a terminal, a line for each elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

from rich.filesize import decimal
from rich.text import Text

from symbl_aio.cli.safe_streams import clean
from symbl_aio.cli.show_terminal import STYLES, Bars
from symbl_aio.cli.upload.find_files import Found
from symbl_aio.cli.upload.grouping import Meeting
from symbl_aio.cli.upload.outcomes import Outcome, Outcomes, Result, described
from symbl_aio.cli.upload.time_left import TimeLeft, in_words

if TYPE_CHECKING:
    from rich.console import Console

    from symbl_aio import Job

_TOTAL: Final = "\0total"
_NAME: Final = 28
"""Characters of a name in a row."""
_QUIET: Final = frozenset((Result.COMPLETED, Result.SKIPPED, Result.LEFT_OUT, Result.BLOCKED))
"""Results without a line of their own in a terminal: the bar counts them."""


class Terminal:
    """A bar for all recordings and a row for each that is under way; lines for the exceptions.

    Where ``console`` is no terminal, a line for each recording that ended instead.
    """

    def __init__(self, console: Console, errors: Console) -> None:
        self.draws_progress = console.is_interactive
        self._console = console
        self._errors = errors
        self._bars = Bars(console, shown=self.draws_progress)
        self._left = TimeLeft(monotonic())

    def started(self, part: Found, outcomes: Outcomes) -> None:
        if self.draws_progress:
            self._total(outcomes)
            self._bars.set(part.source, _cell(part.relative), 0.0, "starting")

    def uploading(self, part: Found, sent: int, total: int) -> None:
        share = sent / total if total else 1.0
        state = f"uploading  {decimal(sent)} of {decimal(total)}"
        self._bars.set(part.source, _cell(part.relative), share, state)

    def accepted(self, part: Found, job: Job, outcomes: Outcomes) -> None:
        self._bars.set_state(part.source, "transcribing")

    def proving(self, part: Found, outcomes: Outcomes) -> None:
        if self.draws_progress:
            self._total(outcomes)
            self._bars.set(part.source, _cell(part.relative), 1.0, "looking for evidence")

    def ended(self, outcome: Outcome, outcomes: Outcomes) -> None:
        if outcome.result is Result.COMPLETED:
            self._left.ended(monotonic())
        if self.draws_progress:
            self._bars.remove(outcome.part.source)
            self._total(outcomes)
            if outcome.result in _QUIET and not outcome.changed:
                return
        elif outcome.result is Result.SKIPPED:
            return  # each night's run of a large folder would be a log of what is old
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

    def summary(
        self, outcomes: Outcomes, seconds: float, fault: str | None, lines: Sequence[str]
    ) -> None:
        self.close()
        first = f"{described(outcomes.counts)}; {in_words(seconds)}"
        self._console.print(first, markup=False, highlight=False, soft_wrap=True)
        # Where both streams are one terminal, the fault is in a line above.
        if fault is not None and not (self.draws_progress and self._errors.is_interactive):
            self._print_errors([fault])
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
        if pace is not None and left:
            rate = f"{pace:.1f} a second" if pace >= 1 else f"{pace * 60:.1f} a minute"
            state += f"  {rate}, about {in_words(left)} left"
        self._bars.set(_TOTAL, _cell("all"), ended / total if total else 1.0, state)


def _cell(name: str) -> str:
    """Return a name for the first column of the rows: of a long one the end, which differs."""
    shown = clean(name)
    return shown.ljust(_NAME) if len(shown) <= _NAME else f"…{shown[1 - _NAME :]}"
