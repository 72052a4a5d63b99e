"""Learn from the jobs that ended how long jobs take. Knows no clock and no random source.

A question that comes too early is wasted, one that comes too late lets somebody wait. Where
jobs end at a rate of ``h`` a second, and a question saved is worth ``w`` seconds of waiting,
both together cost least when questions are ``sqrt(2 * w / h)`` seconds apart. The rate at
each age is read off the ages at which the last jobs ended. What a question is worth grows
with them: half a minute is nothing after an hour and long after ten seconds.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from math import sqrt
from typing import Final

_REMEMBERED: Final = 256
_FEWEST: Final = 8
"""Fewer than these tell nothing."""


class Habits:
    """The ages at which the last jobs of a client ended.

    ``share``: the interval between two questions, measured by a job's age.
    """

    # Arrays, since floats of their own, made when most is going on, would stay where they are
    # and keep Python from giving back all the memory around them.

    def __init__(self, share: float) -> None:
        self._share = share
        self._ages = array("d")
        self._noted = 0
        self._unread = 0
        self._sorted = array("d")
        self._questions = array("d")
        """How many questions are due up to each of the sorted ages."""

    @property
    def known(self) -> bool:
        """Whether enough jobs have ended to tell anything."""
        return bool(self._sorted)

    @property
    def youngest(self) -> float:
        """The age before which none ended."""
        return self._sorted[0]

    @property
    def median(self) -> float:
        """The age at which half of them had ended."""
        return self._sorted[len(self._sorted) // 2]

    def note(self, age: float) -> None:
        """Take in the age at which a job ended."""
        if len(self._ages) < _REMEMBERED:
            self._ages.append(age)
        else:
            self._ages[self._noted % _REMEMBERED] = age
        self._noted += 1
        self._unread += 1
        if len(self._ages) >= _FEWEST and self._unread * 4 >= len(self._ages):
            self._read()

    def next_age(self, age: float) -> float | None:
        """Say at which age to ask next; ``None`` if hardly any job grew older than ``age``."""
        ages, questions = self._sorted, self._questions
        at = bisect_right(ages, age)
        if at == len(ages):
            return None
        before, asked = (ages[at - 1], questions[at - 1]) if at else (0.0, 0.0)
        part = (age - before) / (ages[at] - before)
        wanted = asked + part * (questions[at] - asked) + 1
        at = bisect_left(questions, wanted)
        if at == len(ages):
            return ages[-1]
        before, asked = (ages[at - 1], questions[at - 1]) if at else (0.0, 0.0)
        return before + (ages[at] - before) * (wanted - asked) / (questions[at] - asked)

    def _read(self) -> None:
        self._unread = 0
        self._sorted = array("d", sorted(self._ages))
        self._questions = array("d")
        # At a rate of one end per median age, intervals are then the share of that age.
        worth = max(1e-9, self._share**2 / 2 * self.median)
        before = due = 0.0
        for left, age in zip(range(len(self._sorted), 0, -1), self._sorted, strict=True):
            # One of ``left`` ended within this gap, so the rate there is 1 / (left * gap).
            due += sqrt((age - before) / (2 * worth * left))
            self._questions.append(due)
            before = age
