from collections import Counter

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from symbl_aio._core.conversation_lanes import Lanes
from tests.tables import table


def lanes_with(**waiting: str) -> Lanes:
    """Make lanes, each with the one-letter keys of a word waiting in it."""
    lanes = Lanes()
    for name, keys in waiting.items():
        for key in keys:
            lanes.add(name, key)
    return lanes


def started_in_turn(lanes: Lanes, count: int) -> list[str]:
    """Start, and at once release, whoever has the turn."""
    order = []
    for _ in range(count):
        key = next(lanes.ready())
        lanes.start(key)
        lanes.release(key)
        order.append(key)
    return order


def leaves_nothing_behind(lanes: Lanes) -> bool:
    lanes.newly_ready.clear()
    return not any(vars(lanes).values())


def test_a_lane_is_first_in_first_out():
    assert started_in_turn(lanes_with(x="abc"), 3) == ["a", "b", "c"]


def test_only_the_first_of_a_lane_is_ready():
    assert list(lanes_with(x="abc").ready()) == ["a"]


def test_nobody_is_ready_while_somebody_holds_the_lane():
    lanes = lanes_with(x="ab")
    lanes.start("a")

    assert list(lanes.ready()) == []
    lanes.release("a")
    assert list(lanes.ready()) == ["b"]


def test_lanes_take_turns_however_long_one_of_them_is():
    lanes = lanes_with(x="abcd", y="e", z="fg")

    assert started_in_turn(lanes, 7) == ["a", "e", "f", "b", "g", "c", "d"]


def test_asking_who_is_ready_changes_nothing():
    lanes = lanes_with(x="a", y="b")

    assert list(lanes.ready()) == list(lanes.ready()) == ["a", "b"]


def test_the_waiting_are_counted_and_the_started_are_not():
    lanes = lanes_with(x="ab", y="c")
    lanes.start("c")

    assert lanes.waiting == 2


def test_one_that_is_put_back_is_the_next_of_its_lane_and_of_all():
    lanes = lanes_with(x="ab", y="cd")
    lanes.start("a")
    lanes.put_back("a")

    assert list(lanes.ready()) == ["a", "c"]
    assert lanes.waiting == 4


def test_one_that_is_put_back_waits_for_others_that_hold_its_lane():
    lanes = lanes_with(x="a")
    lanes.start("a")
    lanes.hold("x", "elsewhere")
    lanes.put_back("a")

    assert list(lanes.ready()) == []
    lanes.release("elsewhere")
    assert list(lanes.ready()) == ["a"]


def test_a_job_accepted_elsewhere_holds_its_lane():
    lanes = lanes_with(x="a")
    lanes.hold("x", "elsewhere")
    lanes.hold("x", "another")

    assert list(lanes.ready()) == []
    lanes.release("elsewhere")
    assert list(lanes.ready()) == []
    lanes.release("another")
    assert list(lanes.ready()) == ["a"]


def test_holding_a_lane_twice_counts_once():
    lanes = lanes_with(x="a")
    lanes.hold("x", "elsewhere")
    lanes.hold("x", "elsewhere")
    lanes.release("elsewhere")

    assert list(lanes.ready()) == ["a"]


def test_what_waits_or_is_unknown_cannot_be_released():
    lanes = lanes_with(x="ab")
    lanes.release("a")
    lanes.release("never heard of")

    assert list(lanes.ready()) == ["a"]
    assert lanes.name_of("a") == "x"


def test_a_submission_knows_its_lane_until_it_is_released():
    lanes = lanes_with(x="a")
    assert lanes.name_of("a") == "x"
    lanes.start("a")
    assert lanes.name_of("a") == "x"
    lanes.release("a")
    assert lanes.name_of("a") is None


def test_a_key_is_in_one_lane_only():
    lanes = lanes_with(x="a")

    with pytest.raises(ValueError, match="a is in a lane already"):
        lanes.add("y", "a")


@table("key", ["b", "c"])
def test_one_that_is_not_ready_cannot_start(key):
    lanes = lanes_with(x="ab", y="c")
    lanes.hold("y", "elsewhere")

    with pytest.raises(ValueError, match=f"{key} is not ready"):
        lanes.start(key)


def test_one_that_holds_its_lane_cannot_start_again():
    lanes = lanes_with(x="ab")
    lanes.start("a")

    with pytest.raises(ValueError, match="a is not ready"):
        lanes.start("a")


def test_a_discarded_one_leaves_its_place_to_the_next():
    lanes = lanes_with(x="abc", y="d")

    assert lanes.discard("a")
    assert list(lanes.ready()) == ["b", "d"]
    assert lanes.discard("c")
    assert lanes.waiting == 2


def test_only_what_waits_can_be_discarded():
    lanes = lanes_with(x="ab")
    lanes.start("a")

    assert not lanes.discard("a")
    assert not lanes.discard("never heard of")


def test_clearing_a_lane_names_the_waiting_in_order_and_leaves_the_started():
    lanes = lanes_with(x="abc", y="d")
    lanes.start("a")

    assert lanes.clear("x") == ["b", "c"]
    assert lanes.waiting == 1
    assert lanes.name_of("a") == "x"
    assert lanes.clear("never heard of") == []


def test_a_halted_lane_ends_what_waits_and_takes_nothing_more():
    lanes = lanes_with(x="abc", y="d")
    lanes.start("a")

    assert lanes.halt("x", OSError("lost")) == ["b", "c"]
    assert list(lanes.ready()) == ["d"]
    with pytest.raises(ValueError, match="lane x is halted"):
        lanes.add("x", "e")
    assert lanes.name_of("e") is None


def test_a_lane_stays_halted_when_nothing_is_left_in_it():
    lanes = lanes_with(x="a")
    lanes.start("a")
    lanes.halt("x", cause := OSError("lost"))
    lanes.release("a")

    assert lanes.halted_by("x") is cause


def test_the_first_cause_of_a_halt_stays():
    lanes = Lanes()
    lanes.halt("x", first := OSError("lost"))
    lanes.halt("x", OSError("lost again"))

    assert lanes.halted_by("x") is first
    assert lanes.halted_by("y") is None


def test_a_resumed_lane_takes_submissions_again():
    lanes = Lanes()
    lanes.halt("x", OSError("lost"))
    lanes.resume("x")
    lanes.add("x", "a")

    assert list(lanes.ready()) == ["a"]
    assert lanes.halted_by("x") is None


def test_a_resumed_lane_with_nothing_in_it_leaves_nothing_behind():
    lanes = Lanes()
    lanes.halt("x", OSError("lost"))
    lanes.resume("x")

    assert leaves_nothing_behind(lanes)


def test_resuming_a_lane_that_runs_changes_nothing():
    lanes = lanes_with(x="a")
    lanes.resume("x")
    lanes.resume("never heard of")

    assert list(lanes.ready()) == ["a"]


def test_one_put_back_into_a_halted_lane_still_gets_its_turn():
    lanes = lanes_with(x="ab")
    lanes.start("a")
    lanes.halt("x", OSError("lost"))
    lanes.put_back("a")

    assert list(lanes.ready()) == ["a"], "it would hang for ever"


def test_a_lane_is_renamed_with_all_that_is_in_it():
    lanes = lanes_with(x="abc")
    lanes.start("a")
    lanes.rename("x", "conversation")
    lanes.add("conversation", "d")
    lanes.release("a")

    assert lanes.name_of("b") == "conversation"
    assert started_in_turn(lanes, 3) == ["b", "c", "d"]
    lanes.add("x", "e")
    assert lanes.name_of("e") == "x"


def test_lanes_of_one_name_become_one():
    lanes = lanes_with(x="abc", y="def")
    lanes.start("a")
    lanes.start("d")
    lanes.rename("x", "y")

    lanes.release("a")
    assert list(lanes.ready()) == []
    lanes.release("d")
    assert started_in_turn(lanes, 4) == ["e", "f", "b", "c"]


def test_lanes_that_become_one_are_halted_if_either_was():
    lanes = lanes_with(x="a", y="b")
    lanes.start("a")
    lanes.start("b")
    lanes.halt("x", cause := OSError("lost"))
    lanes.rename("x", "y")

    assert lanes.halted_by("y") is cause


def test_whoever_becomes_ready_is_named():
    lanes = lanes_with(x="ab", y="c")
    assert lanes.newly_ready == ["a", "c"]
    lanes.newly_ready.clear()

    lanes.start("a")
    assert lanes.newly_ready == []
    lanes.release("a")
    assert lanes.newly_ready == ["b"]


def test_whoever_becomes_ready_because_the_one_before_left_is_named():
    lanes = lanes_with(x="abc")
    lanes.discard("a")
    lanes.discard("c")

    assert lanes.newly_ready == ["a", "b"]


def test_many_idle_lanes_leave_nothing_behind():
    lanes = Lanes()
    for number in range(10_000):
        lanes.add(f"lane {number % 1000}", f"key {number}")
    for key in started_in_turn(lanes, 10_000):
        assert lanes.name_of(key) is None

    assert leaves_nothing_behind(lanes)


NAMES = ["v", "w", "x", "y", "z"]
A_NAME = st.sampled_from(NAMES)


class LanesBesideLists(RuleBasedStateMachine):
    """Whatever is done, the lanes are what plain lists say."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes = Lanes()
        self.waiting: dict[str, list[str]] = {}
        self.holding: dict[str, set[str]] = {}
        self.halted: dict[str, Exception] = {}
        self.turns: list[str] = []
        self.keys = 0
        self.heads_before: set[str] = set()
        self.starts_past: dict[str, Counter[str]] = {}
        """For each lane that is ready: how often each other one was started in its turn."""

    def new_key(self) -> str:
        self.keys += 1
        return f"key {self.keys}"

    def is_ready(self, name: str) -> bool:
        return bool(self.waiting.get(name)) and not self.holding.get(name)

    def settle(self) -> None:
        """Let lanes that are not ready leave the turns, and others join at the end."""
        self.turns = [name for name in self.turns if self.is_ready(name)]
        self.turns += [n for n in self.waiting if self.is_ready(n) and n not in self.turns]
        for name in list(self.starts_past):
            if name not in self.turns:
                del self.starts_past[name]

    def held(self) -> list[str]:
        return sorted(key for keys in self.holding.values() for key in keys)

    def lane_of(self, key: str) -> str:
        (name,) = (
            name
            for lanes in (self.waiting, self.holding)
            for name, keys in lanes.items()
            if key in keys
        )
        return name

    @rule(name=A_NAME)
    def add(self, name: str) -> None:
        key = self.new_key()
        if name in self.halted:
            with pytest.raises(ValueError, match="halted"):
                self.lanes.add(name, key)
        else:
            self.lanes.add(name, key)
            self.waiting.setdefault(name, []).append(key)
        self.settle()

    @rule(name=A_NAME)
    def hold(self, name: str) -> None:
        key = self.new_key()
        self.lanes.hold(name, key)
        self.holding.setdefault(name, set()).add(key)
        self.settle()

    @precondition(lambda self: self.turns)
    @rule()
    def start_the_next(self) -> None:
        name, key = self.turns[0], next(self.lanes.ready())
        self.lanes.start(key)
        for other in self.turns:
            if other != name:
                past = self.starts_past.setdefault(other, Counter())
                past[name] += 1
                assert past[name] == 1, f"{name} had two turns while {other} had none"
        self.waiting[name].remove(key)
        self.holding.setdefault(name, set()).add(key)
        self.settle()

    @precondition(lambda self: self.turns)
    @rule(data=st.data())
    def start_one_out_of_turn(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.turns))
        key = self.waiting[name].pop(0)
        self.lanes.start(key)
        self.holding.setdefault(name, set()).add(key)
        self.settle()

    @precondition(lambda self: any(self.holding.values()))
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.held()))
        name = self.lane_of(key)
        self.lanes.put_back(key)
        self.holding[name].remove(key)
        self.waiting.setdefault(name, []).insert(0, key)
        self.settle()
        if name in self.turns:
            self.turns.remove(name)
            self.turns.insert(0, name)
        for past in self.starts_past.values():
            past[name] = 0

    @precondition(lambda self: any(self.holding.values()))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.held()))
        self.lanes.release(key)
        self.holding[self.lane_of(key)].remove(key)
        self.settle()

    @precondition(lambda self: any(self.waiting.values()))
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        keys = [key for lane in self.waiting.values() for key in lane]
        key = data.draw(st.sampled_from(keys))
        assert self.lanes.discard(key)
        self.waiting[self.lane_of(key)].remove(key)
        assert not self.lanes.discard(key)
        self.settle()

    @rule(name=A_NAME)
    def clear(self, name: str) -> None:
        assert self.lanes.clear(name) == self.waiting.pop(name, [])
        self.settle()

    @rule(name=A_NAME)
    def halt(self, name: str) -> None:
        cause = OSError(name)
        assert self.lanes.halt(name, cause) == self.waiting.pop(name, [])
        self.halted.setdefault(name, cause)
        self.settle()

    @rule(name=A_NAME)
    def resume(self, name: str) -> None:
        self.lanes.resume(name)
        self.halted.pop(name, None)

    @precondition(lambda self: any(self.holding.values()) or any(self.waiting.values()))
    @rule(data=st.data())
    def rename(self, data: st.DataObject) -> None:
        used = [name for name in NAMES if self.waiting.get(name) or self.holding.get(name)]
        old = data.draw(st.sampled_from(used))
        # A lane that is not held loses its turn, so its old name must not seem to wait for it.
        new = data.draw(st.sampled_from([name for name in NAMES if name != old]))
        self.lanes.rename(old, new)
        waiting, holding = self.waiting.pop(old, []), self.holding.pop(old, set())
        self.turns = [name for name in self.turns if name != old]
        self.waiting[new] = self.waiting.get(new, []) + waiting
        self.holding[new] = self.holding.get(new, set()) | holding
        if (cause := self.halted.pop(old, None)) is not None:
            self.halted.setdefault(new, cause)
        self.settle()

    @invariant()
    def the_same_are_ready_in_the_same_order(self) -> None:
        assert list(self.lanes.ready()) == [self.waiting[name][0] for name in self.turns]

    @invariant()
    def the_same_are_waiting(self) -> None:
        assert self.lanes.waiting == sum(map(len, self.waiting.values()))
        for lanes in (self.waiting, self.holding):
            for name, keys in lanes.items():
                assert all(self.lanes.name_of(key) == name for key in keys)

    @invariant()
    def the_same_are_halted(self) -> None:
        for name in NAMES:
            assert self.lanes.halted_by(name) is self.halted.get(name)

    @invariant()
    def each_one_that_became_ready_was_named(self) -> None:
        heads = {self.waiting[name][0] for name in self.turns}
        assert heads - self.heads_before <= set(self.lanes.newly_ready) <= heads
        self.lanes.newly_ready.clear()
        self.heads_before = heads

    def teardown(self) -> None:
        for key in self.held():
            self.lanes.release(key)
        for name in NAMES:
            self.lanes.clear(name)
            self.lanes.resume(name)
        assert leaves_nothing_behind(self.lanes)


TestLanesBesideLists = LanesBesideLists.TestCase


def test_halted_lanes_are_named_until_they_are_resumed() -> None:
    lanes = Lanes()
    for name in ("one", "two"):
        lanes.halt(name, RuntimeError(name))
    lanes.add("three", "k")
    assert list(lanes.halted()) == ["one", "two"]
    lanes.resume("one")
    assert list(lanes.halted()) == ["two"]
