from __future__ import annotations

from symbl_aio.server.live.ended_sessions import KEPT_SECONDS, MOST_KEPT, EndedSessions
from tests.support import Clock


def test_an_end_is_kept_for_a_while_and_then_forgotten() -> None:
    clock = Clock()
    ended = EndedSessions(clock)
    ended.add("a", "the end of a")
    clock.now += KEPT_SECONDS / 2
    ended.add("b", "the end of b")
    assert [ended.last_frame(name) for name in "abc"] == ["the end of a", "the end of b", None]

    clock.now += KEPT_SECONDS / 2
    assert [ended.last_frame(name) for name in "ab"] == [None, "the end of b"]


def test_a_later_end_of_the_same_id_counts() -> None:
    clock = Clock()
    ended = EndedSessions(clock)
    ended.add("a", "the first")
    clock.now += KEPT_SECONDS / 2
    ended.add("b", "another")
    ended.add("a", "the second")
    clock.now += KEPT_SECONDS / 2
    assert ended.last_frame("a") == "the second"

    ended.discard("a")
    ended.discard("a")
    assert [ended.last_frame(name) for name in "ab"] == [None, "another"]


def test_the_number_of_ends_is_bounded() -> None:
    ended = EndedSessions(Clock())
    for index in range(MOST_KEPT + 2):
        ended.add(str(index), "the end")

    found = [ended.last_frame(str(index)) for index in range(MOST_KEPT + 2)]
    assert found == [None, None] + ["the end"] * MOST_KEPT
