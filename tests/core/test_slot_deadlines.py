"""Who has waited too long for a slot."""

from __future__ import annotations

from symbl_aio._core.slots import SlotDeadlines


def test_patience_ends_in_the_order_in_which_it_began() -> None:
    patience = SlotDeadlines(10)
    patience.wait("a", 0)
    patience.wait("b", 3)
    assert patience.next_at() == 10
    assert patience.expired(9.9) == []
    assert patience.expired(13) == ["a", "b"]
    assert patience.expired(99) == []
    assert patience.next_at() is None


def test_without_a_limit_it_never_ends() -> None:
    patience = SlotDeadlines(None)
    patience.wait("a", 0)
    assert patience.next_at() is None
    assert patience.expired(1e9) == []


def test_it_rests_while_there_is_a_slot_and_goes_on_where_it_was() -> None:
    patience = SlotDeadlines(10)
    patience.wait("a", 0)
    patience.start("a")
    assert patience.expired(50) == []
    patience.wait("b", 50)
    patience.wait("a", 51)
    assert patience.next_at() == 10
    assert patience.expired(51) == ["a"]
    assert patience.expired(60) == ["b"]


def test_waiting_twice_is_waiting_once() -> None:
    patience = SlotDeadlines(10)
    patience.wait("a", 0)
    patience.wait("a", 5)
    assert patience.expired(10) == ["a"]
    assert patience.expired(15) == []


def test_a_settled_one_leaves_nothing_to_whoever_bears_its_key_next() -> None:
    patience = SlotDeadlines(10)
    patience.wait("a", 0)
    patience.forget("a")
    patience.forget("a")
    assert patience.next_at() is None
    patience.wait("a", 7)
    assert patience.expired(10) == []
    assert patience.expired(17) == ["a"]


def test_a_key_that_is_used_again_has_a_deadline_of_its_own() -> None:
    patience = SlotDeadlines(10)
    patience.wait("first", 0)
    patience.wait("a", 1)
    patience.forget("a")
    patience.wait("a", 7)
    assert patience.expired(16) == ["first"]
    assert patience.expired(17) == ["a"]
