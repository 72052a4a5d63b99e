"""Lanes: which submission is next. No clock, no network, no event loop.

A lane is one conversation. Within a lane: strictly first in, first out, and the next
one is ready only when no other holds the lane. Between lanes: in turn, so that one long
queue starves no other. An idle lane costs no memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from attrs import define, field


@define
class _Lane:
    name: str
    waiting: OrderedDict[str, None] = field(factory=OrderedDict)
    holders: set[str] = field(factory=set)
    halted: BaseException | None = None
    announced: str | None = None
    """The submission that was last added to ``newly_ready``."""


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
        lane = self._lanes.setdefault(name, _Lane(name))
        if lane.halted is not None:
            raise ValueError(f"lane {name} is halted")
        lane.waiting[key] = None
        self._lane_of[key] = lane
        self.waiting += 1
        self._settle(lane)

    def hold(self, name: str, key: str) -> None:
        """Keep a lane from moving until ``release(key)``: its job was accepted elsewhere."""
        if key not in self._lane_of:
            lane = self._lanes.setdefault(name, _Lane(name))
            lane.holders.add(key)
            self._lane_of[key] = lane
            self._settle(lane)

    def ready(self) -> Iterator[str]:
        """Yield the submissions that may start, the next one first. Changes nothing."""
        for lane in self._turns.values():
            yield next(iter(lane.waiting))

    def start(self, key: str) -> None:
        """Start a ready submission, which then holds its lane."""
        lane = self._lane_of[key]
        if lane.holders or next(iter(lane.waiting), None) != key:
            raise ValueError(f"{key} is not ready")
        del lane.waiting[key]
        lane.holders.add(key)
        self.waiting -= 1
        self._settle(lane)

    def put_back(self, key: str) -> None:
        """Undo ``start``: the same one is the next of its lane, and its turn is the next of all."""
        lane = self._lane_of[key]
        lane.holders.remove(key)
        lane.waiting[key] = None
        lane.waiting.move_to_end(key, last=False)
        self.waiting += 1
        self._settle(lane)
        if lane.name in self._turns:
            self._turns.move_to_end(lane.name, last=False)

    def release(self, key: str) -> None:
        """Release the lane of a started submission. No-op if it holds none."""
        lane = self._lane_of.get(key)
        if lane is not None and key in lane.holders:
            lane.holders.remove(key)
            del self._lane_of[key]
            self._settle(lane)

    def discard(self, key: str) -> bool:
        """Remove a waiting submission from its lane; false if it does not wait."""
        lane = self._lane_of.get(key)
        if lane is None or key not in lane.waiting:
            return False
        del lane.waiting[key]
        del self._lane_of[key]
        self.waiting -= 1
        self._settle(lane)
        return True

    def clear(self, name: str) -> list[str]:
        """Remove all waiting submissions of a lane. Returns them in order."""
        lane = self._lanes.get(name)
        if lane is None:
            return []
        keys = list(lane.waiting)
        for key in keys:
            del self._lane_of[key]
        lane.waiting.clear()
        self.waiting -= len(keys)
        self._settle(lane)
        return keys

    def halt(self, name: str, cause: BaseException) -> list[str]:
        """Halt a lane until ``resume``. Returns those that waited. The first cause stays."""
        lane = self._lanes.setdefault(name, _Lane(name))
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
        target = self._lanes.setdefault(new, _Lane(new))
        target.holders |= lane.holders
        target.waiting.update(lane.waiting)
        target.halted = target.halted or lane.halted
        for key in (*lane.holders, *lane.waiting):
            self._lane_of[key] = target
        self._settle(target)

    def _settle(self, lane: _Lane) -> None:
        """Bring the turns, and the list of lanes, in line with one lane's state."""
        if lane.waiting and not lane.holders:
            self._turns.setdefault(lane.name, lane)
            head = next(iter(lane.waiting))
            if head != lane.announced:  # also when the one before it was discarded
                lane.announced = head
                self.newly_ready.append(head)
        else:
            lane.announced = None
            self._turns.pop(lane.name, None)
            if not lane.waiting and not lane.holders and lane.halted is None:
                self._lanes.pop(lane.name, None)
                if not (self._lanes or self._lane_of):
                    # An empty dict keeps the room of its fullest hour, until it is cleared.
                    for emptied in (self._lanes, self._lane_of, self._turns):
                        emptied.clear()
