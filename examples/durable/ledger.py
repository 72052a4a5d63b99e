"""The ledger of the demo, from the log of the server alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from attrs import frozen

from examples.durable.recordings import Recording


@frozen
class Ledger:
    """Violations of four promises, counted, and ``most`` jobs at a time."""

    accepted: int
    completed: int
    lost: int
    twice: int
    out_of_order: int
    most: int
    webhooks: int

    def broken(self, cap: int) -> list[str]:
        """Return the broken promises, in words."""
        found = {
            "a file was lost": self.lost,
            "a file was sent twice": self.twice,
            "a conversation is out of order": self.out_of_order,
            "there were more jobs than allowed": self.most > cap,
        }
        return [name for name, count in found.items() if count]


def read(seen: Mapping[str, Any], handed_in: Sequence[Recording]) -> Ledger:
    """Compare the accepted files, in the order of the server, with the files handed in."""
    of_hash = {recording.sha256: recording for recording in handed_in}
    times: Counter[str] = Counter()
    arrived: defaultdict[str, list[Recording]] = defaultdict(list)
    for sha256, conversation_id in seen["accepted"]:
        times[sha256] += 1
        arrived[conversation_id].append(of_hash[sha256])
    return Ledger(
        accepted=len(seen["accepted"]),
        completed=seen["completed"],
        lost=sum(times[recording.sha256] == 0 for recording in handed_in),
        twice=sum(count - 1 for count in times.values()),
        out_of_order=sum(map(_steps_back, arrived.values())),
        most=seen["most"],
        webhooks=seen["webhooks"],
    )


def _steps_back(conversation: Sequence[Recording]) -> int:
    """Count the files that follow a later part, or a file of another conversation."""
    return sum(
        later.conversation != earlier.conversation or later.number < earlier.number
        for earlier, later in pairwise(conversation)
    )
