"""Meetings of a folder that changes: a recording is taken once it has stopped growing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from attrs import define, field

from symbl_aio._threads import in_a_thread
from symbl_aio.cli.upload.find_files import Found, Listing, find
from symbl_aio.cli.upload.fingerprint import Stamp, stamp_of
from symbl_aio.cli.upload.grouping import Grouping, Meeting

INTERVAL: Final = 2.0
"""Seconds between two looks at the folders."""


@define
class Settled:
    """Which recordings have stopped growing. Times are arguments: seconds since 1970.

    ``quiet``: seconds without a change after which a recording is taken.
    """

    quiet: float
    _taken: dict[str, Stamp | None] = field(factory=dict)

    def ready(
        self, found: Sequence[Found], stamps: Mapping[str, Stamp | None], now: float
    ) -> tuple[list[Found], set[str]]:
        """Return the recordings that stand still, and the identities of those that are new."""
        still: list[Found] = []
        new: set[str] = set()
        for one in found:
            stamp = stamps.get(one.source)
            if one.source in self._taken and self._taken[one.source] == stamp:
                still.append(one)
            elif one.link is not None or (
                stamp is not None and stamp.modified_ns / 1e9 <= now - self.quiet
            ):
                still.append(one)
                new.add(one.source)
        return still, new

    def take(self, source: str, stamp: Stamp | None) -> None:
        """Record that a recording was taken with this stamp."""
        self._taken[source] = stamp

    def release(self, source: str) -> None:
        """Forget that a recording was taken."""
        self._taken.pop(source, None)


class Underway(Protocol):
    """The state of a run that decides which meetings are yielded."""

    active: set[str]
    unsent: set[str]


async def watched(
    paths: Sequence[str],
    group: Grouping,
    quiet: float,
    run: Underway,
    *,
    interval: float = INTERVAL,
) -> AsyncIterator[Meeting]:
    """Yield each meeting that has a new or changed recording, for ever.

    A meeting under way is not yielded again before it has ended, and a recording that did not
    arrive is taken once more.
    """
    settled = Settled(quiet)
    while True:
        listing, stamps = await in_a_thread(partial(_look, paths))
        while run.unsent:
            settled.release(run.unsent.pop())
        still, new = settled.ready(listing.found, stamps, time.time())
        for meeting in group(still).meetings:
            fresh = [part for part in meeting.parts if part.source in new]
            if fresh and meeting.identity not in run.active:
                for part in fresh:
                    settled.take(part.source, stamps.get(part.source))
                yield meeting
        await asyncio.sleep(interval)


def _look(paths: Sequence[str]) -> tuple[Listing, dict[str, Stamp | None]]:
    listing = find(paths)
    return listing, {one.source: stamp_of(one.source) for one in listing.found}
