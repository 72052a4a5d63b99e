"""Lanes: which submission is next. No clock, no network, no event loop.

A lane is one conversation. Within a lane: strictly first in, first out, and the next
one is ready only when no other holds the lane. Between lanes: in turn, so that one long
queue starves no other. An idle lane costs no memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from attrs import define


@define(eq=False, weakref_slot=False)
class _Lane:
    """Small, since a hundred thousand may be held by the jobs that are followed."""

    name: str
    waiting: OrderedDict[str, None] | None = None
    """``None`` instead of an empty one."""
    holders: int = 0
    halted: BaseException | None = None
    announced: str | None = None
    """The submission that was last added to ``newly_ready``."""

    def head(self) -> str | None:
        return next(iter(self.waiting)) if self.waiting else None

    def append(self, key: str) -> None:
        if self.waiting is None:
            self.waiting = OrderedDict()
        self.waiting[key] = None

    def remove(self, key: str) -> bool:
        """Remove a submission; false if it does not wait."""
        if self.waiting is None or key not in self.waiting:
            return False
        del self.waiting[key]
        self.waiting = self.waiting or None
        return True


class Lanes:
    """The waiting submissions, by lane and in turn; every submission is named by its key."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._lane_of: dict[str, _Lane] = {}
        self._turns: OrderedDict[str, _Lane] = OrderedDict()
        self.waiting = 0
        """How many submissions wait."""
        self.newly_ready: list[str] = []
        """Submissions that became ready since the caller emptied this list; some perhaps twice."""

    def halted_by(self, name: str) -> BaseException | None:
        """Return the error that halted a lane, ``None`` while it runs."""
        lane = self._lanes.get(name)
        return lane.halted if lane else None

    def halted(self) -> Iterator[str]:
        """Yield the names of the halted lanes."""
        return (lane.name for lane in self._lanes.values() if lane.halted is not None)

    def name_of(self, key: str) -> str | None:
        """Return the lane that a submission waits in or holds."""
        lane = self._lane_of.get(key)
        return lane.name if lane else None

    def add(self, name: str, key: str) -> None:
        """Put a submission at the end of a lane."""
        if key in self._lane_of:
            raise ValueError(f"{key} is in a lane already")
        lane = self._named(name)
        if lane.halted is not None:
            raise ValueError(f"lane {name} is halted")
        lane.append(key)
        self._lane_of[key] = lane
        self.waiting += 1
        self._settle(lane)

    def hold(self, name: str, key: str) -> None:
        """Keep a lane from moving until ``release(key)``: its job was accepted elsewhere."""
        if key not in self._lane_of:
            lane = self._named(name)
            lane.holders += 1
            self._lane_of[key] = lane
            self._settle(lane)

    def ready(self) -> Iterator[str]:
        """Yield the submissions that may start, the next one first. Changes nothing."""
        for lane in self._turns.values():
            if (head := lane.head()) is not None:
                yield head

    def start(self, key: str) -> None:
        """Start a ready submission, which then holds its lane."""
        lane = self._lane_of[key]
        if lane.holders or lane.head() != key:
            raise ValueError(f"{key} is not ready")
        lane.remove(key)
        lane.holders += 1
        self.waiting -= 1
        self._settle(lane)

    def put_back(self, key: str) -> None:
        """Undo ``start``: the same one is the next of its lane, and its turn is the next of all."""
        lane = self._lane_of[key]
        lane.holders -= 1
        lane.append(key)
        assert lane.waiting is not None
        lane.waiting.move_to_end(key, last=False)
        self.waiting += 1
        self._settle(lane)
        if lane.name in self._turns:
            self._turns.move_to_end(lane.name, last=False)

    def release(self, key: str) -> None:
        """Release the lane of a started submission. No-op if it holds none."""
        lane = self._lane_of.get(key)
        # A key that has a lane, and does not wait in it, holds it.
        if lane is not None and (lane.waiting is None or key not in lane.waiting):
            lane.holders -= 1
            del self._lane_of[key]
            self._settle(lane)

    def discard(self, key: str) -> bool:
        """Remove a waiting submission from its lane; false if it does not wait."""
        lane = self._lane_of.get(key)
        if lane is None or not lane.remove(key):
            return False
        del self._lane_of[key]
        self.waiting -= 1
        self._settle(lane)
        return True

    def clear(self, name: str) -> list[str]:
        """Remove all waiting submissions of a lane. Returns them in order."""
        lane = self._lanes.get(name)
        if lane is None:
            return []
        keys = list(lane.waiting or ())
        for key in keys:
            del self._lane_of[key]
        lane.waiting = None
        self.waiting -= len(keys)
        self._settle(lane)
        return keys

    def halt(self, name: str, cause: BaseException) -> list[str]:
        """Halt a lane until ``resume``. Returns those that waited. The first cause stays."""
        lane = self._named(name)
        lane.halted = lane.halted or cause
        return self.clear(name)

    def resume(self, name: str) -> None:
        """Accept submissions to a halted lane again."""
        lane = self._lanes.get(name)
        if lane is not None:
            lane.halted = None
            self._settle(lane)

    def rename(self, old: str, new: str) -> None:
        """Rename a lane to its conversation's id, once the server has assigned it.

        Should a lane of that id exist, which a server that repeats ids can bring about,
        both become one: the submissions of each keep their order, those of the existing one
        first, and it stays halted if either was.
        """
        lane = self._lanes.pop(old)
        self._turns.pop(old, None)
        lane.name = new
        target = self._lanes.setdefault(new, lane)
        if target is not lane:
            self._merge(lane, target)
        self._settle(target)

    def _merge(self, lane: _Lane, target: _Lane) -> None:
        target.holders += lane.holders
        target.halted = target.halted or lane.halted
        for key in lane.waiting or ():
            target.append(key)
        for key, of in self._lane_of.items():
            if of is lane:
                self._lane_of[key] = target

    def _named(self, name: str) -> _Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane(name)
        return lane

    def _settle(self, lane: _Lane) -> None:
        """Bring the turns, and the list of lanes, in line with one lane's state."""
        if lane.waiting and not lane.holders:
            self._turns.setdefault(lane.name, lane)
            head = next(iter(lane.waiting))
            # Also another one than before, when that was discarded.
            if head != lane.announced:
                lane.announced = head
                self.newly_ready.append(head)
        else:
            lane.announced = None
            self._turns.pop(lane.name, None)
            if not lane.holders and lane.halted is None:
                self._lanes.pop(lane.name, None)
                if not self._lanes:
                    # An empty dict keeps the room of its fullest hour, until it is cleared.
                    for emptied in (self._lanes, self._lane_of, self._turns):
                        emptied.clear()
