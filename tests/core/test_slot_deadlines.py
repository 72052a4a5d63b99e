"""Who has waited too long for a slot."""

from __future__ import annotations

from symbl_aio._core.slot_deadlines import Patience


def test_patience_ends_in_the_order_in_which_it_began() -> None:
    patience = Patience(10)
    patience.wait("a", 0)
    patience.wait("b", 3)
    assert patience.next_at() == 10
    assert patience.over(9.9) == []
    assert patience.over(13) == ["a", "b"]
    assert patience.over(99) == []
    assert patience.next_at() is None


def test_without_a_limit_it_never_ends() -> None:
    patience = Patience(None)
    patience.wait("a", 0)
    assert patience.next_at() is None
    assert patience.over(1e9) == []


def test_it_rests_while_there_is_a_slot_and_goes_on_where_it_was() -> None:
    patience = Patience(10)
    patience.wait("a", 0)
    patience.start("a")
    assert patience.over(50) == []
    patience.wait("b", 50)
    patience.wait("a", 51)
    assert patience.next_at() == 10
    assert patience.over(51) == ["a"]
    assert patience.over(60) == ["b"]


def test_waiting_twice_is_waiting_once() -> None:
    patience = Patience(10)
    patience.wait("a", 0)
    patience.wait("a", 5)
    assert patience.over(10) == ["a"]
    assert patience.over(15) == []


def test_a_settled_one_leaves_nothing_to_whoever_bears_its_key_next() -> None:
    patience = Patience(10)
    patience.wait("a", 0)
    patience.forget("a")
    patience.forget("a")
    assert patience.next_at() is None
    patience.wait("a", 7)
    assert patience.over(10) == []
    assert patience.over(17) == ["a"]
