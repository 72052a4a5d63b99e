"""The order in which the worker process serves its streams. The rest needs a model: `tests/asr`."""

from __future__ import annotations

from collections import Counter
from typing import Any

from symbl_aio.server.live import live_worker


class Waiting:
    """A stream with so many seconds of audio that are not recognised."""

    def __init__(self, name: str, backlog: float) -> None:
        self.name = name
        self.backlog = backlog
        self.last_turn = 0


def served(streams: list[Any], turns: int) -> Counter[str]:
    worker = live_worker.Worker({}, lambda **fields: None)
    return Counter(worker._next(streams).name for _ in range(turns))  # type: ignore[attr-defined]


def test_a_speaker_does_not_wait_for_all_streams_that_are_behind() -> None:
    behind = [Waiting(f"behind {number}", 30.0) for number in range(20)]
    count = served([*behind, Waiting("speaker", 2.0)], 40)

    assert count["speaker"] == 20
    assert {count[stream.name] for stream in behind} == {1}


def test_streams_of_one_kind_are_served_in_turn() -> None:
    for backlog in (2.0, 30.0):
        streams = [Waiting(str(number), backlog) for number in range(7)]
        assert set(served(streams, 21).values()) == {3}
