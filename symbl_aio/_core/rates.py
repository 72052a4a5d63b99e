"""Rates of requests: a budget that bounds one, and a meter that shows one. No clock."""

from __future__ import annotations

from collections import deque
from typing import Final

_BURST_SECONDS: Final = 0.1
RATE_WINDOW: Final = 10
"""Seconds over which a rate is measured."""


class Budget:
    """At most ``rate`` a second: evenly spread, with a tenth of a second's worth at once."""

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate
        self._burst = max(0.0, _BURST_SECONDS - self._gap)
        self._free_at = float("-inf")

    def take(self, now: float) -> bool:
        """Use one up. Returns whether there was one."""
        if self._free_at - self._burst > now:
            return False
        self._free_at = max(self._free_at, now) + self._gap
        return True

    def next_at(self) -> float:
        """Return when the next one becomes available."""
        return self._free_at - self._burst

    def hold(self, until: float) -> None:
        """Make none available before ``until``."""
        self._free_at = max(self._free_at, until + self._burst)


class RateMeter:
    """Events per second, over the last ``RATE_WINDOW`` whole seconds and the running one.

    One count for each second, not one for each event: small objects that live for seconds,
    allocated at the busiest time, keep Python from returning the memory around them.
    """

    def __init__(self) -> None:
        self._counts: deque[tuple[int, int]] = deque(maxlen=RATE_WINDOW + 1)

    def count(self, now: float) -> None:
        """Record one event. ``now``: seconds, never less than before."""
        second, before = int(now), 0
        if self._counts and self._counts[-1][0] == second:
            _, before = self._counts.pop()
        self._counts.append((second, before + 1))

    def rate(self, now: float) -> float:
        """Return the events per second."""
        since = int(now) - RATE_WINDOW
        return sum(count for second, count in self._counts if second >= since) / (now - since)
