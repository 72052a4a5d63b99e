"""Decide who has waited too long for a job slot. Knows no clock, network or event loop.

Patience begins when a submission's turn has come and only a slot is missing. It goes on
where it was when the server refused the submission and it waits again.
"""

from __future__ import annotations

from heapq import heappop, heappush


class Patience:
    """The deadlines of waiting submissions. ``seconds``: how long each may wait, or for ever."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._deadlines: dict[str, float] = {}
        self._waiting: set[str] = set()
        self._heap: list[tuple[float, str]] = []

    def wait(self, key: str, now: float) -> None:
        """Note that a submission waits for a slot, for the first time or again."""
        if self.seconds is not None and key not in self._waiting:
            deadline = self._deadlines.setdefault(key, now + self.seconds)
            self._waiting.add(key)
            heappush(self._heap, (deadline, key))

    def start(self, key: str) -> None:
        """Note that it has a slot, perhaps not for long."""
        self._waiting.discard(key)

    def forget(self, key: str) -> None:
        """Note that it is settled; harmless for an unknown one."""
        self._waiting.discard(key)
        self._deadlines.pop(key, None)

    def over(self, now: float) -> list[str]:
        """Name those who wait longer than they may, once."""
        late = []
        while (at := self.next_at()) is not None and at <= now:
            _, key = heappop(self._heap)
            self._waiting.discard(key)
            late.append(key)
        return late

    def next_at(self) -> float | None:
        """Say when the next one will have waited too long; ``None`` if nobody waits."""
        while self._heap:
            deadline, key = self._heap[0]
            if key in self._waiting and self._deadlines[key] == deadline:
                return deadline
            heappop(self._heap)
        return None
