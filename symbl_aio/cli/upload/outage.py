"""An outage in which the server reads whole recordings and gives no usable answer, such as 502.

Each recording that is sent then may have arrived, and a person has to settle it. So after a
few in a row the others wait, and one at a time finds out whether the server accepts again.
"""

from __future__ import annotations

import asyncio
from typing import Final

from symbl_aio import SymblError

IN_A_ROW: Final = 3
"""Recordings in a row without an answer after which the others wait."""
PROBES: Final = 3
"""Recordings that are then sent alone, before the run ends."""
_PAUSE: Final = 60.0
"""Seconds before a run that does not end sends another one; longer with each."""
_LONGEST_PAUSE: Final = 600.0


class Unanswered(SymblError):  # noqa: N818
    """Several recordings in a row had no usable answer, and no evidence of them was found."""


class Withheld(Exception):  # noqa: N818
    """The last byte of a recording was not sent; it waits for an answer about others."""


class Outage:
    """Decides which recordings may be sent. ``key`` identifies one attempt to send one.

    ``waits``: go on through an outage of any length, with growing multiples of ``pause``
    seconds between two recordings, instead of ending the run.
    """

    def __init__(self, *, waits: bool, pause: float = _PAUSE) -> None:
        self._waits = waits
        self._pause = pause
        self._unanswered = 0
        self._sought = 0
        self._probes = 0
        self._probe: str | None = None
        self._changed = asyncio.Event()

    async def admit(self, key: str) -> None:
        """Wait until a recording may be sent. Call ``release`` afterwards.

        Raises ``Unanswered`` when the run should end.
        """
        while self._unanswered >= IN_A_ROW:
            if self._probe is None and not self._sought:
                if self._probes >= PROBES and not self._waits:
                    raise Unanswered(
                        f"the server gave no usable answer to {self._unanswered:,} recordings in "
                        "a row, and no evidence of them was found; the run ends, so that no "
                        "more come into doubt. The same command goes on with the rest"
                    )
                self._probe = key
                if self._probes:
                    pause = min(self._pause * self._probes, _LONGEST_PAUSE)
                    await asyncio.sleep(pause if self._waits else 0)
                return
            self._changed.clear()
            await self._changed.wait()

    def check(self, key: str) -> None:
        """Raise ``Withheld`` if the last byte of a recording must not be sent now."""
        if self._unanswered >= IN_A_ROW and self._probe != key:
            raise Withheld

    def release(self, key: str) -> None:
        """End an attempt; another recording may be the next to be sent alone."""
        if self._probe == key:
            self._probe = None
            self._changed.set()

    def accepted(self) -> None:
        """Record that the server accepts recordings: all may be sent."""
        self._unanswered = self._probes = 0
        self._probe = None
        self._changed.set()

    def unanswered(self, key: str) -> None:
        """Record that a recording was sent whole and had no answer. Call ``sought`` afterwards."""
        self._unanswered += 1
        self._sought += 1

    def sought(self, key: str, *, found: bool) -> None:
        """Record whether evidence of a recording was found."""
        self._sought -= 1
        if found:
            self.accepted()
        elif self._probe == key:
            self._probes += 1
        self._changed.set()
