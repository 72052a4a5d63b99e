"""The part of a terminal that moves: lines that stay, and below them a few bars.

A redraw costs more than a line, so lines are gathered and both are written together,
``_PAUSE`` seconds apart at least.
"""

from __future__ import annotations

import asyncio
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from symbl_aio.cli.output import Output

WIDTH: Final = 30
MOST_ROWS: Final = 8

_PAUSE: Final = 0.25


def bar(console: Console, share: float = 1.0) -> str:
    """Return a bar that is filled to ``share``, in characters that the console's encoding has."""
    filled = round(WIDTH * min(1.0, max(0.0, share)))
    return ("━" if console.encoding.startswith("utf") else "-") * filled + " " * (WIDTH - filled)


class Row:
    """One upload or job: its name, the share that was sent, and a word about it."""

    __slots__ = ("name", "share", "state")

    def __init__(self, name: str, share: float, state: str) -> None:
        self.name = name
        self.share = share
        self.state = state


class Bars:
    """Prints lines, and keeps rows below them, never more than the screen has.

    Without ``shown`` each line is printed at once and no row is drawn.
    """

    def __init__(self, console: Console, *, shown: bool) -> None:
        self._console = console
        self._rows: dict[str, Row] = {}
        self._lines: list[Text] = []
        self._timer: asyncio.TimerHandle | None = None
        self._live = (
            Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False,
                 redirect_stderr=False, get_renderable=self._drawn) if shown else None
        )  # fmt: skip

    def print(self, line: Text) -> None:
        """Print a line that stays, above the rows."""
        if self._live is None:
            self._console.print(line, soft_wrap=True)
            return
        self._lines.append(line)
        self._soon()

    def set(self, key: str, name: str, share: float, state: str) -> None:
        """Show a row, or change it."""
        if self._live is not None:
            self._rows[key] = Row(name, share, state)
            self._soon()

    def word(self, key: str, state: str) -> None:
        """Change the word of a row, if it is shown."""
        if key in self._rows:
            self._rows[key].state = state
            self._soon()

    def remove(self, key: str) -> None:
        """Remove a row, if it is shown."""
        if self._rows.pop(key, None) is not None:
            self._soon()

    def close(self) -> None:
        """Print what is left, and take the rows away."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._draw()
        if self._live is not None:
            self._live.stop()
        self._rows.clear()

    def _soon(self) -> None:
        if self._timer is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._draw()
        else:
            self._timer = loop.call_later(_PAUSE, self._due)

    def _due(self) -> None:
        self._timer = None
        # What a paused reader is not shown yet is drawn once, when it reads on.
        if isinstance(out := self._console.file, Output) and out.behind:
            self._soon()
        else:
            self._draw()

    def _draw(self) -> None:
        lines, self._lines = self._lines, []
        if self._live is not None and self._rows and not self._live.is_started:
            self._live.start()
        if lines:
            # It redraws the rows, too.
            self._console.print(Text("\n").join(lines), soft_wrap=True)
        elif self._live is not None and self._live.is_started:
            self._live.refresh()

    def _drawn(self) -> RenderableType:
        room = max(0, min(MOST_ROWS, self._console.height - 3))
        rows = list(self._rows.values())
        drawn = [self._row(row) for row in rows[:room]]
        if len(rows) > room:
            drawn.append(Text(f"{len(rows) - room} more", "dim"))
        for line in drawn:
            line.truncate(
                max(1, self._console.width - 1), overflow="ellipsis" if self._fancy else "crop"
            )
        return Text("\n").join(drawn)

    @property
    def _fancy(self) -> bool:
        return self._console.encoding.startswith("utf")

    def _row(self, row: Row) -> Text:
        return Text.assemble(
            row.name, " ", (bar(self._console, row.share), "magenta"), " ", row.state
        )
