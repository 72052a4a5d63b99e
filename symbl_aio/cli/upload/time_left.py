"""The time that an upload still takes, estimated from the recordings that it has done."""

from __future__ import annotations

from collections import deque
from typing import Final

from attrs import define, field

_WINDOW: Final = 200
"""Recordings whose pace counts: the account's limit, and the network, change over hours."""
_AT_LEAST: Final = 5
"""Recordings before which no estimate is made: it would be a guess."""


@define
class TimeLeft:
    """Pace of the last recordings. ``now`` is a time in seconds that never goes back."""

    began: float
    _ends: deque[float] = field(factory=lambda: deque(maxlen=_WINDOW))

    def ended(self, now: float) -> None:
        """Count a recording that was done in this run."""
        self._ends.append(now)

    def per_second(self, now: float) -> float | None:
        """Return how many recordings are done a second, ``None`` before there is a pace."""
        if len(self._ends) < _AT_LEAST:
            return None
        since = self.began if len(self._ends) < _WINDOW else self._ends[0]
        # Up to now, and not to the last end: a run that stands still slows down.
        return len(self._ends) / max(now - since, 1e-6)

    def seconds(self, left: int, now: float) -> float | None:
        """Return the seconds for ``left`` more recordings, ``None`` before there is a pace."""
        pace = self.per_second(now)
        return None if pace is None else left / pace


def in_words(seconds: float) -> str:
    """Return a time that people read: ``45 s``, ``3 min``, ``2 h 05 min``."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"
