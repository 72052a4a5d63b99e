"""The report of ``--report``: a row for each recording, as CSV or JSON by the file's ending."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path

from symbl_aio import ConfigurationError
from symbl_aio.cli.upload.outcomes import Outcome, fields_of
from symbl_aio.cli.upload.output_files import write_atomically

_COLUMNS = (
    *("source", "result", "meeting", "part", "conversation", "job", "seconds", "changed"),
    *("reason", "exit_code"),
)


def check_report(path: str) -> None:
    """Raise ``ConfigurationError`` unless the name of a report ends with .csv or .json."""
    if not path.lower().endswith((".csv", ".json")):
        raise ConfigurationError(f"--report {path!r} ends with neither .csv nor .json; choose one")


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
