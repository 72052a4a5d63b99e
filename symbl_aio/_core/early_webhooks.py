"""Webhook calls that arrived before the answer to their own submission."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from attrs import define

PARKED_FOR: Final = 60.0
"""Seconds that a call is kept which overtook the answer to its own submission."""

MAX_PARKED: Final = 10_000


@define
class _Parked:
    job_id: str
    ended: bool
    until: float


class ParkedCalls:
    """Genuine calls whose submission is not settled here, by nonce; the oldest expire first."""

    def __init__(self, *, most: int = MAX_PARKED, keep: float = PARKED_FOR) -> None:
        self._most = most
        self._keep = keep
        self._parked: OrderedDict[str, _Parked] = OrderedDict()

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, nonce: str, job_id: str, now: float, *, ended: bool) -> None:
        """Keep a call: the job of this nonce, and whether it ended."""
        before = self._parked.pop(nonce, None)
        ended = ended or (before is not None and before.job_id == job_id and before.ended)
        self._parked[nonce] = _Parked(job_id, ended, now + self._keep)
        while self._parked:
            oldest = next(iter(self._parked))
            if len(self._parked) <= self._most and self._parked[oldest].until > now:
                break
            del self._parked[oldest]

    def take(self, nonce: str | None) -> tuple[str, bool] | None:
        """Return, once, the job id that a call named for a nonce, and whether it ended."""
        parked = None if nonce is None else self._parked.pop(nonce, None)
        return None if parked is None else (parked.job_id, parked.ended)
