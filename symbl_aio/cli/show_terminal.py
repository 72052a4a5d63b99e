"""Output for a person: lines that stay, and below them a progress bar for each upload."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.text import Text

from symbl_aio import Config, ConfigurationError, Job, JobEvent, Message, SymblError
from symbl_aio.cli.exit_codes import in_words_of_commands
from symbl_aio.cli.job_tokens import shortened
from symbl_aio.cli.safe_streams import Output, clean
from symbl_aio.cli.show_captions import Captions
from symbl_aio.cli.unfinished import PLAIN, Resumption, RunningJob, summary

if TYPE_CHECKING:
    from symbl_aio import LiveEvent
    from symbl_aio.durable import Decided, Item, OutboxStats

STYLES: Final = {
    "completed": "bold green",
    "failed": "bold red",
    "in_progress": "cyan",
    "uploaded": "magenta",
    "accepted": "cyan",
    "ambiguous": "bold yellow",
    "blocked": "yellow",
    "lost": "bold red",
    "refused": "bold red",
}

WIDEST_NAME: Final = 40

BAR_WIDTH: Final = 30
_SHORTEST_BAR: Final = 6
MOST_ROWS: Final = 8

_PAUSE: Final = 0.25
"""Seconds between two redraws, at least."""


def is_allowed_at_once(base_url: str) -> bool:
    """Return whether a client calls this origin without ``SYMBL_ALLOW_HTTP``."""
    # The rule is that of the client. The variable may be set here, and not where it runs.
    try:
        Config(base_url=base_url, allow_http=False)
    except ConfigurationError:
        return False
    return True


class Screen:
    """Prints the events of a command for a person. Without a terminal: no bars, no colours."""

    def __init__(
        self,
        console: Console,
        errors: Console,
        *,
        bars: bool = True,
        resumption: Resumption = PLAIN,
    ) -> None:
        self._console = console
        self._errors = errors
        self._resumption = resumption
        self._bars = Bars(console, shown=bars and console.is_interactive)
        self._captions = Captions(console, errors)
        self._name_width = 0
        self._sizes: dict[str, int] = {}
        self._accepted_at: dict[str, datetime] = {}

    def expect(self, sources: Sequence[str]) -> None:
        # Names are in one column; a very long one would push the rest off the line.
        self._name_width = min(WIDEST_NAME, max(map(len, sources), default=0))

    def upload(self, source: str, sent: int, total: int) -> None:
        self._sizes[source] = total
        state = f"uploading  {decimal(sent)} of {decimal(total)}"
        self._bars.set(source, clean(source), sent / total if total else 1.0, state)

    def accepted(self, source: str, job: Job, *, followed: bool) -> None:
        self._accepted_at[source] = datetime.now(UTC)
        if source in self._sizes:
            drawn = f"{bar(self._console)} " if self._console.is_terminal else ""
            self._line(source, "uploaded", f"{drawn}{decimal(self._sizes.pop(source))}")
        self._bars.set_state(source, "accepted")
        self._line(source, "accepted", f"job {job.id}  conversation {job.conversation_id}")
        if not followed:
            self._bars.remove(source)
            command = shlex.join([*self._resumption.wait, shortened(job.token)])
            self._line(source, "wait for it", command)

    def status(self, source: str, event: JobEvent) -> None:
        self._bars.set_state(source, clean(event.raw_status))
        self._line(source, event.raw_status, self._elapsed(source, event.at))

    def completed(self, source: str, job: Job) -> None:
        self._bars.remove(source)

    def failed(self, source: str, error: SymblError) -> None:
        self._bars.remove(source)
        self._line(source, "failed", f"{type(error).__name__}: {in_words_of_commands(str(error))}")

    def interrupted(
        self, running: Sequence[RunningJob], ambiguous: Sequence[str], unsent: Sequence[str]
    ) -> None:
        self.close()
        for line in summary(running, ambiguous, unsent, self._resumption):
            self._print_error(line)

    @property
    def written(self) -> bool:
        return getattr(self._console.file, "broken", None) is None

    def messages(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._console.print(spoken(message), soft_wrap=True)
        if not messages:
            self._print_error("The conversation has no messages.")

    def caption(self, event: LiveEvent) -> None:
        self._captions.show(event)

    def listened(self, conversation: str) -> None:
        self._captions.clear()
        self._print_error(f"Conversation {conversation}")

    def report(self, file: str, conversations: Sequence[str], size: int) -> None:
        self._print(f"Report: {file} ({size} bytes)")

    def serving(
        self,
        base_url: str,
        app_id: str,
        app_secret: str | None,
        *,
        data: Path | None,
        ca_file: Path | None,
    ) -> None:
        self._console.print(f"Serving on {base_url}; Ctrl-C stops it.", highlight=False)
        self._console.print("To use it from another terminal:", highlight=False)
        allowed = [] if is_allowed_at_once(base_url) else [("SYMBL_ALLOW_HTTP", "1")]
        trusted = [] if ca_file is None else [("SYMBL_CA_FILE", shlex.quote(str(ca_file)))]
        for name, value in (
            ("SYMBL_BASE_URL", base_url),
            *allowed,
            *trusted,
            ("SYMBL_APP_ID", shlex.quote(app_id)),
            ("SYMBL_APP_SECRET", "(as set, or printed once)" if app_secret is None else app_secret),
        ):
            self._console.print(
                f"  export {name}={value}", markup=False, highlight=False, soft_wrap=True
            )
        kept = "Nothing is stored." if data is None else f"Everything is stored in {data}."
        self._console.print(kept, markup=False, highlight=False, soft_wrap=True)

    def archived(self, event: str, data: str, file: str, size: int) -> None:
        way = f"{data} to {file}" if event == "backup" else f"{file} to {data}"
        self._print(f"{event}: {way} ({size} bytes)")

    def application(self, app_id: str, app_secret: str) -> None:
        self._print(f"Application {app_id}. Its secret is kept nowhere but here:")
        self._console.print(app_secret, markup=False, highlight=False, soft_wrap=True)

    def working(self, worker: str, database: str) -> None:
        self._print(f"Worker {worker} works on {database}; Ctrl-C stops it.")

    def item(self, item: Item) -> None:
        self._name_width = max(self._name_width, min(WIDEST_NAME, len(item.key)))
        known = [f"{item.number} of {item.conversation}"]
        if item.source is not None:
            known.append(item.source)
        if item.conversation_id is not None:
            known.append(f"conversation {item.conversation_id}")
        if item.job_id is not None:
            known.append(f"job {item.job_id}")
        state = "sending" if item.sending else item.state.value
        self._line(item.key, state, "  ".join([*known, *([item.error] if item.error else [])]))

    def decided(self, decided: Decided) -> None:
        would = "would change; nothing was changed" if decided.dry_run else "changed"
        resumed = f"; {decided.resumed} behind them go on" if decided.resumed else ""
        refused = f"; {len(decided.refused)} refused" if decided.refused else ""
        self._print(f"{len(decided.items)} {would}{resumed}{refused}")

    def stock(self, stats: OutboxStats) -> None:
        counts = [f"{count} {state.value}" for state, count in stats.counts.items() if count]
        waited = "" if stats.oldest is None else f"; the oldest has waited {stats.oldest:.0f} s"
        workers = "1 worker" if stats.workers == 1 else f"{stats.workers} workers"
        self._print(f"{', '.join(counts) or 'nothing there'}{waited}; {workers}")

    def stats(self, stats: OutboxStats) -> None:
        counts = [f"{count} {state.value}" for state, count in stats.counts.items() if count]
        waited = (
            ""
            if stats.oldest is None
            else (f", the oldest ({stats.oldest_key}) for {stats.oldest:.0f} s")
        )
        cap = "" if stats.cap is None else f" of {stats.cap}"
        for title, text in (
            ("items", ", ".join(counts) or "none"),
            ("waiting", f"{stats.waiting}{waited}"),
            ("slots", f"{stats.cap_used}{cap} used" + ("; paused" if stats.paused else "")),
            ("in doubt", f"{stats.in_doubt}"),
            (
                "ended",
                f"{stats.ended_in_minute} in the last minute, "
                f"{stats.ended_in_hour} in the last hour",
            ),
            ("workers", f"{stats.workers} alive, {stats.dead} dead"),
        ):
            self._print(f"{title:<8} {text}")

    def paused(self, paused: bool) -> None:
        self._print(
            "Nothing new begins until symbl-aio resume." if paused else "New work begins again."
        )

    def draining(self, worker: str) -> None:
        self._print(f"Worker {worker} takes nothing new, and ends with its own jobs.")

    def restored(self, doubted: int) -> None:
        items = "1 item" if doubted == 1 else f"{doubted} items"
        self._print(f"Evidence is looked for before {items} may be sent. Start the workers.")

    def migrated(self, database: str) -> None:
        self._print(f"The tables in {database} are up to date.")

    def error(self, message: str) -> None:
        self.close()
        self._print_error(f"symbl-aio: {message}")

    def ended(self, message: str, brief: str | None = None) -> None:
        # Where both streams are one terminal, the reason is in a line above.
        both = self._console.is_interactive and self._errors.is_interactive
        shown = brief if both and brief is not None else message
        self.close()
        if shown:
            self._print_error(f"symbl-aio: {shown}")

    async def read(self) -> None:
        self.close()
        # rich declares the file as IO[str], of which ``Output`` is no subclass.
        out = cast("object", self._console.file)
        if isinstance(out, Output):
            await out.read()

    def close(self) -> None:
        self._captions.clear()
        self._bars.close()

    def _elapsed(self, source: str, at: datetime) -> str:
        began = self._accepted_at.get(source)
        return "" if began is None else f"{max(0.0, (at - began).total_seconds()):.1f} s"

    def _line(self, source: str, state: str, rest: str) -> None:
        self._bars.print(
            Text.assemble(
                (clean(source).ljust(self._name_width), "bold"),
                "  ",
                (f"{clean(state):<11}", STYLES.get(state, "")),
                "  ",
                clean(rest),
            )
        )

    def _print(self, text: str) -> None:
        self._console.print(clean(text), markup=False, highlight=False, soft_wrap=True)

    def _print_error(self, text: str) -> None:
        self._errors.print(clean(text), markup=False, highlight=False, soft_wrap=True)


def spoken(message: Message) -> Text:
    """Format one message as a line: time, speaker, text."""
    line = Text()
    if message.time_offset is not None:
        minutes, seconds = divmod(max(0, int(message.time_offset)), 60)
        line.append(f"{minutes:02}:{seconds:02}  ", "dim")
    if message.sender.name:
        line.append(f"{clean(message.sender.name)}: ", "bold")
    return line.append(clean(message.text))


def bar(console: Console, share: float = 1.0, width: int = BAR_WIDTH) -> str:
    """Return a bar filled to ``share`` (0 to 1), in characters of the console's encoding."""
    filled = round(width * min(1.0, max(0.0, share)))
    return ("━" if console.encoding.startswith("utf") else "-") * filled + " " * (width - filled)


class Row:
    """One upload or job: its name, the share that was sent (0 to 1), and its state."""

    __slots__ = ("name", "share", "state")

    def __init__(self, name: str, share: float, state: str) -> None:
        self.name = name
        self.share = share
        self.state = state


class Bars:
    """Prints lines, and draws rows below them, at most as many as fit on the screen.

    A redraw costs more than a line, so both are buffered and written together, at most every
    ``_PAUSE`` seconds. Without ``shown`` each line is printed at once and no row is drawn.
    """

    def __init__(self, console: Console, *, shown: bool) -> None:
        self._console = console
        self._rows: dict[str, Row] = {}
        self._lines: list[Text] = []
        self._timer: asyncio.TimerHandle | None = None
        # Without its own refresh: a thread of rich would write between the lines.
        self._live = (
            Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False,
                 redirect_stderr=False, get_renderable=self._render) if shown else None
        )  # fmt: skip

    def print(self, line: Text) -> None:
        """Print a line that stays, above the rows."""
        if self._live is None:
            self._console.print(line, soft_wrap=True)
            return
        self._lines.append(line)
        self._schedule()

    def set(self, key: str, name: str, share: float, state: str) -> None:
        """Add a row, or update it."""
        if self._live is not None:
            self._rows[key] = Row(name, share, state)
            self._schedule()

    def set_state(self, key: str, state: str) -> None:
        """Change the state of a row, if it is shown."""
        if key in self._rows:
            self._rows[key].state = state
            self._schedule()

    def remove(self, key: str) -> None:
        """Remove a row, if it is shown."""
        if self._rows.pop(key, None) is not None:
            self._schedule()

    def close(self) -> None:
        """Print the buffered lines, and remove the rows."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._draw()
        if self._live is not None:
            self._live.stop()
        self._rows.clear()

    def _schedule(self) -> None:
        if self._timer is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._draw()
        else:
            self._timer = loop.call_later(_PAUSE, self._redraw)

    def _redraw(self) -> None:
        self._timer = None
        # While the reader is paused, redraws would only queue up: draw once, when it reads on.
        if isinstance(out := self._console.file, Output) and out.behind:
            self._schedule()
        else:
            self._draw()

    def _draw(self) -> None:
        lines, self._lines = self._lines, []
        if self._live is not None and self._rows and not self._live.is_started:
            self._live.start()
        if lines:
            # Printing redraws the rows, too.
            self._console.print(Text("\n").join(lines), soft_wrap=True)
        elif self._live is not None and self._live.is_started:
            self._live.refresh()

    def _render(self) -> RenderableType:
        # ``Live`` cannot erase rows that have scrolled off the screen.
        most = max(0, min(MOST_ROWS, self._console.height - 3))
        rows = list(self._rows.values())
        lines = [self._line(row) for row in rows[:most]]
        if len(rows) > most:
            lines.append(Text(f"{len(rows) - most} more", "dim"))
        for line in lines:
            # A full line would wrap on some terminals, and its rest would stay.
            line.truncate(
                max(1, self._console.width - 1),
                overflow="ellipsis" if self._has_unicode else "crop",
            )
        return Text("\n").join(lines)

    @property
    def _has_unicode(self) -> bool:
        return self._console.encoding.startswith("utf")

    def _line(self, row: Row) -> Text:
        # A row is there for its state: the bar gives way to it, and then the name.
        room = self._console.width - 2 - cell_len(row.state)
        name = row.name
        if room - cell_len(name) <= _SHORTEST_BAR:
            name = name.rstrip()
        width = min(BAR_WIDTH, room - cell_len(name) - 1)
        if width >= _SHORTEST_BAR:
            drawn = (bar(self._console, row.share, width), "magenta")
            return Text.assemble(name, " ", drawn, " ", row.state)
        while name and cell_len(name) > max(room, _SHORTEST_BAR):
            name = name[1:]  # of a long name the end differs
        return Text.assemble(name, " ", row.state)
