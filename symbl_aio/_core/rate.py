"""Count how often something happens, in the last seconds. Knows no clock."""

from __future__ import annotations

from collections import deque
from typing import Final

OVER: Final = 10
"""Seconds that a pace is taken over."""


class Pace:
    """How often a second, over the last ``OVER`` whole seconds and the one that runs.

    A count for each second and none for each event: what is small, lives for seconds and
    is made at the busiest time keeps Python from giving back the memory around it.
    """

    def __init__(self) -> None:
        self._counts: deque[tuple[int, int]] = deque(maxlen=OVER + 1)

    def count(self, now: float) -> None:
        """Note one more. ``now``: seconds, never less than before."""
        second, before = int(now), 0
        if self._counts and self._counts[-1][0] == second:
            _, before = self._counts.pop()
        self._counts.append((second, before + 1))

    def rate(self, now: float) -> float:
        """Give the events a second."""
        since = int(now) - OVER
        return sum(count for second, count in self._counts if second >= since) / (now - since)
