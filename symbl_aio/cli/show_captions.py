"""Captions on a terminal: one line for the words that may change, above it those that will not."""

from __future__ import annotations

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from symbl_aio import ErrorEvent, Gap, InsightEvent, LiveEvent, Missed, Recognition, TrackerEvent
from symbl_aio.cli.safe_streams import clean


class Captions:
    """Prints the events of a stream. Without a terminal, only words that are final."""

    def __init__(self, console: Console, errors: Console) -> None:
        self._console = console
        self._errors = errors
        self._has_interim = False

    def show(self, event: LiveEvent) -> None:
        """Print an event, if it is one for people."""
        match event:
            case Recognition(is_final=False):
                self._show_interim(event)
            case Recognition():
                self._line(_spoken(event))
            case InsightEvent(insight=insight):
                self._line(Text(clean(f"  {insight.type}: {insight.text}"), "cyan"))
            case TrackerEvent(tracker=tracker):
                self._line(Text(clean(f"  tracker: {tracker.name}"), "cyan"))
            case ErrorEvent(message=message):
                self._warn(f"The server reports: {message}")
            case Gap():
                self._warn(
                    f"The connection was lost for {event.seconds:.1f} s; {event.bytes_lost} bytes "
                    "of audio may not have arrived."
                )
            case Missed(events=count):
                self._warn(f"{count} events came faster than they could be printed.")
            case _:
                pass

    def clear(self) -> None:
        """Remove the line of the words that may change."""
        if self._has_interim:
            self._has_interim = False
            erase = Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))
            self._console.control(erase)

    def _show_interim(self, event: Recognition) -> None:
        if not self._console.is_interactive:
            return
        self.clear()
        words = _spoken(event)
        # The end of a long line: its beginning was read already.
        width = self._console.width - 1
        shown = words if len(words) <= width else Text("…") + words[len(words) - width + 1 :]
        shown.stylize("dim")
        self._console.print(shown, end="", no_wrap=True, overflow="crop")
        self._has_interim = True

    def _line(self, line: Text) -> None:
        self.clear()
        self._console.print(line, soft_wrap=True)

    def _warn(self, text: str) -> None:
        self.clear()
        self._errors.print(clean(text), markup=False, highlight=False, soft_wrap=True)


def _spoken(event: Recognition) -> Text:
    line = Text()
    if event.speaker.name:
        line.append(f"{clean(event.speaker.name)}: ", "bold")
    return line.append(clean(event.text))
