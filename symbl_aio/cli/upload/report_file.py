"""The report of ``--report``: a row for each recording, as CSV or JSON by the file's ending."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from symbl_aio import ConfigurationError
from symbl_aio.cli.upload.decide import NOT_REPEATED
from symbl_aio.cli.upload.ledger import Ledger, State
from symbl_aio.cli.upload.outcomes import Outcome, Outcomes, Result, fields_of
from symbl_aio.cli.upload.output_files import write_atomically

_COLUMNS = (
    *("source", "result", "meeting", "part", "conversation", "job", "seconds", "changed"),
    *("reason", "exit_code"),
)


_STOPPED: Final = {
    None: (Result.UNSENT, "the run ended before it; the next run sends it"),
    State.SENDING: (Result.AMBIGUOUS, "it may have arrived; the next run looks for evidence"),
    State.ACCEPTED: (Result.RUNNING, "the server has it; the next run follows its job"),
    State.COMPLETED: (Result.SKIPPED, "it was done before"),
    State.FAILED: (Result.FAILED, NOT_REPEATED),
}
"""Result and reason of a recording that a run did not settle, by its state in the ledger."""


def check_report(path: str) -> None:
    """Raise ``ConfigurationError`` unless the name of a report ends with .csv or .json."""
    if not path.lower().endswith((".csv", ".json")):
        raise ConfigurationError(f"--report {path!r} ends with neither .csv nor .json; choose one")


def unended(outcomes: Outcomes, ledger: Ledger) -> Iterator[Outcome]:
    """Yield an outcome of each recording that a run has not settled: after Ctrl-C, for example."""
    for part, meeting in outcomes.unended():
        item = ledger.item(part.source)
        result, reason = _STOPPED[None if item is None else item.state]
        yield Outcome(
            part=part,
            meeting=meeting,
            result=result,
            reason=reason,
            conversation=None if item is None else item.conversation,
            seconds=None if item is None else item.seconds,
        )


def write_report(path: str, outcomes: Iterable[Outcome]) -> None:
    """Write a report, whole or not at all. Blocks. Raises ``OSError``."""
    rows = [{"result": outcome.result.value, **fields_of(outcome)} for outcome in outcomes]
    if path.lower().endswith(".json"):
        text = json.dumps([{name: row[name] for name in _COLUMNS} for row in rows], indent=1) + "\n"
    else:
        out = io.StringIO()
        lines = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
        lines.writeheader()
        for row in rows:
            lines.writerow({name: _plain(row[name]) for name in _COLUMNS})
        # A name that UTF-8 cannot encode is written as \\udcff, as in JSON.
        text = out.getvalue().encode("utf-8", "backslashreplace").decode()
    write_atomically(Path(path), text)


def _plain(value: object) -> object:
    # A spreadsheet runs a text that begins like a formula.
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else value
