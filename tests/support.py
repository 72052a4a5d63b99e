"""Settings and sample media that many tests use."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from symbl_aio import Polls, Retries

QUICK: dict[str, Any] = {
    "polls": Polls(floor=0.002, age_factor=0.01, ceiling=0.05, per_second=5000),
    "retries": Retries(base=0.001, cap=0.01),
}
"""Settings under which the client waits for the server, and for nothing else."""
QUICK_VARIABLES = {
    "SYMBL_POLLS_FLOOR": "0.02",
    "SYMBL_POLLS_AGE_FACTOR": "0.002",  # of the length of a recording, to the first poll
    "SYMBL_POLLS_PER_SECOND": "200",
}
"""The same for a program that takes its settings from the environment."""


def mp4_bytes(size: int = 4096) -> bytes:
    """What begins like an mp4, which is all that is asked of one before it is sent."""
    head = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"
    return head + bytes(size - len(head))


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class LoopClock:
    """The clock of the running event loop, as a process sees it that is stopped and goes on.

    ``ahead``: the seconds by which it has jumped.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        loop = asyncio.get_running_loop()
        time = loop.time
        monkeypatch.setattr(loop, "time", lambda: time() + self.ahead)
