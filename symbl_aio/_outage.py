"""An outage in which the server reads whole submissions and gives no usable answer, such as 502.

Each submission that is sent then may have been accepted, and a person has to settle it. So
after a few in a row the others wait, and one at a time shows whether the server accepts again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from contextlib import suppress
from time import monotonic
from typing import Final

IN_A_ROW: Final = 3
"""Submissions in a row without an answer after which the others wait."""
_LONGEST_PAUSE: Final = 120.0


class UnansweredError(Exception):
    """Several submissions in a row had no usable answer, and no evidence of them was found."""


class WithheldError(Exception):
    """The last byte of a submission was not sent; it waits for an answer about others."""


class Outage:
    """Decides which submissions may be sent. A key identifies each of them.

    ``probes``: how many are sent alone before it is given up; ``None`` means without end.
    ``pause`` replaces the seconds before the first of them.
    """

    pause: float = 1.0
    """Seconds before the first that is sent alone; twice as long before each next one."""

    def __init__(self, *, probes: int | None = None, pause: float | None = None) -> None:
        if pause is not None:
            self.pause = pause
        self._probes = probes
        self._probe: Hashable = None
        self._probed = 0
        self._unanswered = 0
        self._next_at = 0.0
        self._sought: set[Hashable] = set()
        self._changed = asyncio.Event()

    @property
    def is_on(self) -> bool:
        """Whether ``admit`` may wait."""
        return self._unanswered >= IN_A_ROW

    async def admit(self, key: Hashable) -> None:
        """Wait until a submission may be sent. Call ``release`` afterwards, also if it raises.

        Raises ``UnansweredError`` once it is given up, and no evidence is looked for any more.
        """
        while self.is_on:
            wait = None
            if self._probed == self._probes:
                if not self._sought:
                    raise UnansweredError(
                        f"the server gave no usable answer to {self._unanswered:,} submissions "
                        "in a row, and no evidence of them was found"
                    )
            elif self._probe is None:
                wait = self._next_at - monotonic()
                if wait <= 0:
                    self._probe = key
                    return
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    def check(self, key: Hashable) -> None:
        """Raise ``WithheldError`` if the last byte of a submission must not be sent now."""
        if self.is_on and self._probe != key:
            raise WithheldError("several others had no usable answer; it is sent later")

    def release(self, key: Hashable) -> None:
        """End an attempt; another submission may be the next to be sent alone."""
        if self._probe == key:
            self._probe = None
            self._changed.set()

    def accepted(self) -> None:
        """Record that the server accepts submissions: all may be sent."""
        self._unanswered = self._probed = 0
        self._probe = None
        self._changed.set()

    def unanswered(self, key: Hashable) -> bool:
        """Record that a submission was sent whole, had no answer, and is looked for.

        Returns whether an outage begins with it, so that the others wait from now on.
        """
        self._unanswered += 1
        self._sought.add(key)
        # At most as many doublings as a float bears, however long it lasts.
        self._next_at = monotonic() + min(self.pause * 2.0 ** min(self._probed, 10), _LONGEST_PAUSE)
        if self._probe == key:
            self._probed += 1
        return self._unanswered == IN_A_ROW

    def sought(self, key: Hashable, *, found: bool) -> None:
        """Record that the look for evidence of a submission has ended. No-op for an unknown one."""
        if key in self._sought:
            self._sought.remove(key)
            self._changed.set()
            if found:
                self.accepted()
