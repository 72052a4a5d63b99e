"""Output of commands that list things: a line of cells for people, or one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from symbl_aio import models
from symbl_aio.cli.safe_streams import clean, stderr, stdout

_GAP: Final = "  "
_SAMPLE: Final = 50
"""Rows whose widths decide the columns: an endless list is not kept in memory."""


class Rows:
    """Prints rows as they come. The first ``_SAMPLE`` of them decide how wide the columns are."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._out = stdout()
        self._errors = stderr()
        self._waiting: list[Sequence[str]] = []
        self._widths: list[int] | None = None

    @property
    def written(self) -> bool:
        """Whether all of it was written."""
        return self._out.broken is None

    def row(self, value: Mapping[str, object], cells: Sequence[str]) -> None:
        """Print one: ``value`` for machines, ``cells`` for people."""
        if self._as_json:
            self._out.line(json.dumps(models.as_json(value)))
            return
        shown = [clean(cell) for cell in cells]
        if self._widths is not None:
            self._line(shown)
            return
        self._waiting.append(shown)
        if len(self._waiting) == _SAMPLE:
            self._print_waiting()

    def row_for_people(self, cells: Sequence[str]) -> None:
        """Print one that machines find in the row before."""
        if not self._as_json:
            self.row({}, cells)

    def text(self, value: Mapping[str, object], text: str) -> None:
        """Print one: ``value`` for machines, ``text`` as it is for people."""
        self._out.write(json.dumps(models.as_json(value)) + "\n" if self._as_json else text)
        self._out.flush()

    def note(self, text: str) -> None:
        """Print a remark for a person, on stderr."""
        self._print_waiting()
        self._errors.line(clean(text))

    def error(self, message: str) -> None:
        """Print why the command fails."""
        if self._as_json:
            self._out.line(json.dumps({"event": "error", "message": message}))
        self.note(f"symbl-aio: {message}")

    def close(self) -> None:
        """Print the rows that wait."""
        self._print_waiting()

    def _print_waiting(self) -> None:
        rows, self._waiting = self._waiting, []
        if rows:
            columns = max(map(len, rows))
            self._widths = [
                max(len(row[at]) if at < len(row) else 0 for row in rows) for at in range(columns)
            ]
        for row in rows:
            self._line(row)

    def _line(self, cells: Sequence[str]) -> None:
        widths = self._widths or []
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
        self._out.line(_GAP.join(padded).rstrip())
