"""Meetings of a folder that changes: a recording is taken once it has stopped growing."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from itertools import takewhile
from time import monotonic
from typing import Final, Protocol

from attrs import define, evolve, field

from symbl_aio._threads import in_a_thread
from symbl_aio.cli.upload.find_files import Found, find
from symbl_aio.cli.upload.fingerprint import Stamp, stamp_of
from symbl_aio.cli.upload.grouping import Grouping, Meeting

INTERVAL: Final = 2.0
"""Seconds between two looks at the folders."""
_SHARE: Final = 10
"""Pause after a look in multiples of the time that it took: large folders are looked at less."""
_PAUSES: Final = 8
"""Quiet times before a recording is taken that fails again and again."""


@define
class Settled:
    """Which recordings have stopped growing. Times are arguments: seconds since 1970.

    ``quiet``: seconds without a change after which a recording is taken.
    """

    quiet: float
    _taken: dict[str, Stamp | None] = field(factory=dict)
    _seen: dict[str, tuple[Stamp, float]] = field(factory=dict)
    _looked: float = -math.inf
    _pauses: dict[str, int] = field(factory=dict)

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
                stamp is not None and self._changed(one.source, stamp, now) <= now - self.quiet
            ):
                still.append(one)
                new.add(one.source)
        self._looked = now
        return still, new

    def _changed(self, source: str, stamp: Stamp, now: float) -> float:
        """Return when a file was changed: no later than the first look that found its stamp."""
        before, changed = self._seen.get(source, (self._taken.get(source), now))
        if before != stamp:
            # The clock of a recorder, or of a server of files, may be far ahead of this one, or
            # behind it: what appeared or changed since the last look did so after it. A time
            # that was set back is that of a copy, which is complete then.
            is_set_back = before is not None and stamp.modified_ns < before.modified_ns
            earliest = -math.inf if is_set_back else self._looked
            modified = stamp.modified_ns / 1e9
            changed = modified if earliest <= modified <= now else now
            self._seen[source] = (stamp, changed)
        return changed

    def take(self, source: str, stamp: Stamp | None) -> None:
        """Record that a recording was taken with this stamp."""
        self._taken[source] = stamp
        self._seen.pop(source, None)

    def release(self, source: str, now: float) -> None:
        """Record that a recording is due again: after one quiet time, later after up to eight."""
        pauses = self._pauses[source] = min(2 * self._pauses.get(source, 0) or 1, _PAUSES)
        if (stamp := self._taken.pop(source, None)) is not None:
            self._seen[source] = (stamp, now + (pauses - 1) * self.quiet)


class Underway(Protocol):
    """The state of a run that decides which meetings are yielded."""

    active: set[str]
    again: set[str]
    in_place: set[int]


async def watched(
    paths: Sequence[str],
    group: Grouping,
    quiet: float,
    run: Underway,
    *,
    interval: float = INTERVAL,
) -> AsyncIterator[Meeting]:
    """Yield each meeting that has a new or changed recording, for ever.

    A recording that is still written holds back those behind it in its meeting, so that their
    order holds (``Meeting.ready``). A meeting under way is not yielded again before it has ended,
    and a recording that did not arrive, or whose files are not written, is taken once more.
    """
    settled = Settled(quiet)
    while True:
        while run.again:
            settled.release(run.again.pop(), time.time())
        began = monotonic()
        # In a thread, with the grouping: of 100,000 files it all takes a second.
        meetings = await in_a_thread(partial(_look, paths, group, settled))
        # After the look: what it listed may be a file that was seen elsewhere before.
        run.in_place.clear()
        pause = max(interval, _SHARE * (monotonic() - began))
        for meeting, fresh in meetings:
            if meeting.identity not in run.active:
                for source, stamp in fresh.items():
                    settled.take(source, stamp)
                yield meeting
        await asyncio.sleep(pause)


def _look(
    paths: Sequence[str], group: Grouping, settled: Settled
) -> list[tuple[Meeting, dict[str, Stamp | None]]]:
    """Return the meetings with new or changed recordings, and the stamps of those."""
    found = find(paths).found
    stamps = {one.source: stamp_of(one.source) for one in found}
    still, new = settled.ready(found, stamps, time.time())
    if not new:
        return []
    standing = {one.source for one in still}
    yielded: list[tuple[Meeting, dict[str, Stamp | None]]] = []
    for meeting in group(found).meetings:
        ready = tuple(takewhile(lambda part: part.source in standing, meeting.parts))
        if fresh := {part.source: stamps[part.source] for part in ready if part.source in new}:
            yielded.append((evolve(meeting, ready=len(ready)), fresh))
    return yielded
