"""Proof of acceptance: only what can have no other reason counts."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import permutations, product
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbl_aio._core.acceptance_evidence import MOST_REMEMBERED, SentTexts, only_one_named, words
from symbl_aio.models import ConversationInfo
from tests.tables import table

SENT = datetime(2024, 3, 5, 8, tzinfo=UTC)


def opened(*texts: str) -> SentTexts:
    written = SentTexts()
    written.open("c", "k0", texts[0])
    for number, text in enumerate(texts[1:], 1):
        written.add("c", f"k{number}", text)
    return written


@table(
    "texts",
    [
        ["The budget is fine. We ship."],
        ["The budget is fine.", "We ship."],
        ["the  BUDGET is fine -- we ship"],
    ],
)
def test_words_are_the_same_however_they_are_cut_and_punctuated(texts: list[str]):
    assert words(texts) == " the budget is fine we ship "


def test_words_are_whole_words():
    assert words(["ship"]) not in words(["We have a shipment, a flagship."])
    assert words(["ship"]) in words(["We SHIP!"])


def test_a_text_that_is_found_once_proves_itself():
    written = opened("We begin.")

    assert written.proves("c", "k", "We ship.", ["We begin.", "We ship."])


@table(
    "found",
    [
        [],
        ["We begin."],
        ["We begin.", "We sh"],
        ["We begin.", "We ship.", "Yes.", "We ship."],
        ["We begin.", "We ship.", "We ship."],
        ["We begin.", "We ship we ship we ship."],
    ],
)
def test_a_text_that_is_not_there_or_there_more_than_once_proves_nothing(found: list[str]):
    assert not opened("We begin.").proves("c", "k", "We ship.", found)


def test_a_text_of_one_word_twice_proves_nothing():
    assert not opened("We begin.").proves("c", "k", "Yes.", ["We begin.", "Yes.", "Yes."])
    assert not opened("We begin.").proves("c", "k", "Yes, yes.", ["Yes, yes, yes."])


@table("text", ["", "…", "?!", "\n"])
def test_a_text_without_a_word_proves_nothing(text: str):
    assert not opened("We begin.").proves("c", "k", text, ["We begin.", text])


@table("earlier", [["We ship."], ["So we", "ship"], ["Do we ship? Yes."]])
def test_a_text_that_another_one_holds_proves_nothing(earlier: list[str]):
    assert not opened(*earlier).proves("c", "k", "We ship.", ["We ship."])


def test_others_without_a_word_do_not_spoil_a_proof():
    assert opened("We begin.", "…", "?!").proves("c", "k", "We ship.", ["We begin.", "We ship."])


def test_a_conversation_that_this_client_did_not_open_proves_nothing():
    written = opened("We begin.")
    written.add("another", "k1", "We ship.")

    assert not written.proves("another", "k", "We go on.", ["We ship.", "We go on."])


def test_a_conversation_that_began_with_a_recording_proves_nothing():
    written = SentTexts()
    written.open("c", "k0", None)
    written.add("c", "k1", "We ship.")

    assert not written.proves("c", "k", "We go on.", ["We go on."])


def test_a_recording_that_was_or_may_have_been_added_ends_all_proof():
    written = opened("We begin.")
    written.add("c", "k1", None)
    assert not written.proves("c", "k", "We ship.", ["We begin.", "We ship."])

    written.withdraw("c", "k1")
    assert written.proves("c", "k", "We ship.", ["We begin.", "We ship."])


def test_what_may_have_been_written_is_no_reason_against_itself():
    written = opened("We begin.")
    written.add("c", "k", "We ship.")
    written.add("c", "k", "We ship.")
    assert written.proves("c", "k", "We ship.", ["We begin.", "We ship."])
    assert not written.proves("c", "k2", "We ship.", ["We begin.", "We ship."])

    for _ in range(2):
        written.withdraw("c", "k")
        written.withdraw("another", "k")
    assert written.proves("c", "k2", "We ship.", ["We begin.", "We ship."])


def test_an_id_that_is_opened_again_is_another_conversation():
    written = opened("We ship.")
    written.open("c", "k1", "We begin.")

    assert written.proves("c", "k", "We ship.", ["We begin.", "We ship."])


def test_to_forget_what_is_not_known_is_harmless():
    written = opened("We begin.")
    written.forget("another")

    assert written.proves("c", "k", "We ship.", ["We ship."])


def test_a_full_memory_forgets_the_conversation_that_was_written_to_longest_ago():
    written = SentTexts(most=1250)  # two conversations of about 500 bytes, and not three
    written.open("old", "1", "x" * 9)
    written.open("new", "2", "y" * 9)
    written.add("old", "3", "z" * 9)
    written.open("newest", "4", "w")

    assert not written.proves("new", "k", "We ship.", ["We ship."])
    for known in ("old", "newest"):
        assert written.proves(known, "k", "We ship.", ["We ship."])


@pytest.mark.heavy
def test_a_memory_full_of_short_texts_is_no_larger_than_it_may_be():
    tracemalloc.start()
    try:
        written = SentTexts()
        for number in range(10_000):
            opening = str(uuid4())
            written.open(opening, str(2 * number), f"No. {number}")
            written.add(opening, str(2 * number + 1), "Yes.")
            del opening
        assert tracemalloc.get_traced_memory()[0] <= 1.1 * MOST_REMEMBERED
    finally:
        tracemalloc.stop()


def test_a_text_larger_than_the_memory_is_not_remembered_in_part():
    written = SentTexts(most=1000)
    written.open("c", "1", "x" * 1000)

    assert not written.proves("c", "k", "We ship.", ["We ship."])
    written.open("d", "1", "x" * 9)
    assert written.proves("d", "k", "We ship.", ["We ship."])


said = st.lists(st.sampled_from(["a", "b", "a.", "É"]), max_size=4).map(" ".join)


@given(first=said, others=st.lists(said, max_size=3), text=said, found=st.lists(said, max_size=4))
def test_whatever_was_written_a_proof_is_one_place_and_no_other_reason(
    first: str, others: list[str], text: str, found: list[str]
):
    def spelled(texts: Iterable[str]) -> list[str]:
        return " ".join(texts).replace(".", " ").lower().split()

    def places(of: list[str], among: list[str]) -> int:
        """Count where one run of words stands in another, the slow and obvious way."""
        starts = range(len(among) - len(of) + 1)
        return sum(among[at : at + len(of)] == of for at in starts)

    wanted = spelled([text])
    written = [first, *others]
    rows = [row for n in range(len(written) + 1) for row in permutations(written, n)]
    other_reason = any(places(wanted, spelled(row)) for row in rows)

    proof = opened(*written).proves("c", "k", text, found)
    assert not proof or places(wanted, spelled(found)) == 1
    assert not proof or not other_reason
    # Two words come from two texts at most, and nobody counts how often one was taken.
    pairs = product(written, repeat=2)
    if 1 <= len(wanted) <= 2 and not any(places(wanted, spelled(pair)) for pair in pairs):
        assert proof == (places(wanted, spelled(found)) == 1)


@table(
    "others",
    [
        ["We", "Yes.", "Ship."],
        ["Ship.", "We"],
        ["Do we", "Yes.", "Ship it."],
    ],
)
def test_others_may_stand_together_though_they_were_not_written_so(others: list[str]):
    assert not opened(*others).proves("c", "k", "We ship.", ["Do we.", "Ship it."])


def test_others_that_cannot_make_a_text_in_any_order_do_not_spoil_its_proof():
    others = ["We ship nothing.", "They ship.", "And so we.", "Today.", "Ship today"]

    assert opened(*others).proves("c", "k", "And we ship today.", ["And we ship today."])
    assert not opened(*others).proves("c", "k", "So we ship today.", ["So we ship today."])


@table(
    "others, spelled",
    [
        (["So and", "we ship", "Today it is"], True),
        (["So and", "we went", "Today it is"], False),
    ],
)
def test_a_text_may_be_the_end_of_one_another_whole_and_the_beginning_of_a_third(
    others: list[str], spelled: bool
):
    proof = opened(*others).proves("c", "k", "And we ship today.", ["And we ship today."])

    assert proof is not spelled


steps = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["open", "add", "withdraw", "forget"]),
        st.sampled_from("123"),
        st.none() | st.integers(0, 8),
    ),
    max_size=30,
)


@given(steps=steps)
def test_the_memory_is_never_larger_than_it_may_be_and_empty_when_all_is_forgotten(steps):
    written = SentTexts(most=1100)
    for conversation_id, step, key, size in steps:
        text = None if size is None else "x" * size
        if step == "open":
            written.open(conversation_id, key, text)
        elif step == "add":
            written.add(conversation_id, key, text)
        elif step == "withdraw":
            written.withdraw(conversation_id, key)
        else:
            written.forget(conversation_id)
        sizes = [record.size for record in written._records.values()]
        assert written._size == sum(sizes) <= 1100
        assert all(size >= 360 for size in sizes)
    for conversation_id in "abc":
        written.forget(conversation_id)
    assert written._size == 0


def conversation(id: str, name: str | None, seconds: float | None = 0.0) -> ConversationInfo:
    start = None if seconds is None else SENT + timedelta(seconds=seconds)
    return ConversationInfo(id=id, name=name, start_time=start)


def test_the_one_conversation_of_a_name_is_found():
    among = [conversation("1", "Standup", 5), conversation("2", "Retro", 6)]

    assert only_one_named(among, "Standup", SENT) == "1"
    assert only_one_named(among, "Planning", SENT) is None


def test_two_conversations_of_a_name_prove_nothing():
    among = [conversation("1", "Standup", 5), conversation("2", "Standup", 6)]

    assert only_one_named(among, "Standup", SENT) is None


def test_a_conversation_that_was_there_before_or_tells_no_time_does_not_count():
    among = [
        conversation("1", "Standup", -3600),
        conversation("2", "Standup", None),
        conversation("3", "Standup", 1),
    ]

    assert only_one_named(among, "Standup", SENT) == "3"
    assert only_one_named(among[:2], "Standup", SENT) is None


@table(
    "began,counts",
    [(-0.0005, True), (-0.0011, False), (-1.0, False), (-0.999, False), (0.0, True)],
)
def test_a_conversation_may_have_begun_as_long_after_its_instant_as_was_cut_off(
    began: float, counts: bool
):
    sent = SENT + timedelta(milliseconds=500)
    info = ConversationInfo(id="1", name="Standup", start_time=sent + timedelta(seconds=began))

    assert (only_one_named([info], "Standup", sent) == "1") is counts
    assert only_one_named([conversation("1", "Standup")], "Standup", sent) == "1", "a whole second"
    assert only_one_named([conversation("1", "Standup", -1)], "Standup", sent) is None
