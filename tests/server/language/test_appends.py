"""A conversation that grows is analysed as a whole one is, and an append costs what it adds."""

from __future__ import annotations

import sys
import time
from types import FrameType

import pytest
from attrs import fields
from hypothesis import given
from hypothesis import strategies as st

from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.language.analysis_values import Speaker, Tracker, Utterance
from symbl_aio.server.language.pipeline import ConversationAnalyser
from symbl_aio.server.language.talk_time import measure_talk_time
from tests.server.language.lines import PRIYA, STARTED_AT, TOM, analyse
from tests.server.language.test_pipeline import SPOKEN

ANN = Speaker("9", "Ann Budget")
UTTERANCES = st.lists(
    st.builds(Utterance, SPOKEN, st.sampled_from([None, PRIYA, TOM, ANN]), st.just(0), st.just(9)),
    max_size=8,
)
LINES = (
    "So the marketing budget for the second quarter is what we have to look at today.",
    "I'll send the numbers of the warehouse to Tom by Friday.",
    "Can you check whether the supplier has answered, Priya?",
    "Right, and the new scanners arrived on Tuesday at 5 pm for $4,500.",
    "What do we do about the contract with the printing company?",
)


def meeting(count: int) -> list[Utterance]:
    return [
        Utterance(LINES[i % len(LINES)], (PRIYA, TOM)[i % 2], 7.0 * i, 7.0 * i + 7)
        for i in range(count)
    ]


@given(UTTERANCES, st.lists(st.integers(0, 8), max_size=3))
def test_appends_give_what_the_whole_gives(utterances: list[Utterance], cuts: list[int]) -> None:
    growing = ConversationAnalyser(started_at=STARTED_AT, detect_entities=True)
    for cut in sorted(cuts):
        growing.update(utterances[:cut])
    whole = analyse(utterances, detect_entities=True)
    assert growing.update(utterances) == whole


def test_other_utterances_are_analysed_from_the_start() -> None:
    analyser = ConversationAnalyser(started_at=STARTED_AT)
    analyser.update(meeting(10))
    other = meeting(4)
    assert analyser.update(other) == analyse(other)


def test_findings_end_when_the_time_is_over_and_the_text_stays() -> None:
    lines = meeting(10)
    calls = iter(range(100))
    analyser = ConversationAnalyser(started_at=STARTED_AT)
    found = analyser.update(lines, stop=lambda: next(calls) >= 4)
    assert [message.text for message in found.messages] == [line.text for line in lines]
    assert {question.message for question in found.questions} == {2}
    assert max(index for topic in found.topics for index in topic.messages) == 3


def test_a_new_speaker_whose_name_is_everywhere_counts_as_all_of_the_text() -> None:
    analyser = ConversationAnalyser(started_at=STARTED_AT)
    lines = meeting(10)
    analyser.update(lines)
    same, new = (Utterance("Hello.", speaker, 70, 71) for speaker in (TOM, ANN))

    assert analyser.characters_to_examine([*lines, same]) == len("Hello.")
    assert analyser.characters_to_examine([*lines, new]) > len("".join(LINES))


def test_a_new_speaker_does_not_outlast_the_time() -> None:
    analyser = ConversationAnalyser(started_at=STARTED_AT)
    lines = meeting(10)
    before = analyser.update(lines)
    calls = iter(range(100))

    found = analyser.update(
        [*lines, Utterance("Any word.", ANN, 70, 71)], stop=lambda: next(calls) >= 1
    )

    assert next(calls) < 10
    assert found.questions == before.questions
    assert found.messages[-1].text == "Any word."


@pytest.mark.heavy
def test_append_40_costs_about_what_append_1_costs() -> None:
    analyser = ConversationAnalyser(started_at=STARTED_AT, detect_entities=True)
    lines, costs = meeting(40 * 25), []
    for count in range(25, len(lines) + 1, 25):
        start = time.thread_time()
        analyser.update(lines[:count])
        costs.append(time.thread_time() - start)
    # The middle of five: another process may have slowed one.
    assert sorted(costs[35:])[2] < 4 * sorted(costs[:5])[2]


def test_an_hour_with_a_thousand_tracker_terms_costs_less_than_a_second() -> None:
    terms = [[f"term{t}x{n}" if n % 2 else f"the {t} of {n}" for n in range(20)] for t in range(50)]
    trackers = [Tracker(str(t), (*terms[t][1:], "warehouse")) for t in range(50)]
    start = time.thread_time()
    found = analyse(meeting(500), trackers=trackers, detect_entities=True)
    assert time.thread_time() - start < 1.0
    assert len(found.trackers) == 100 * 50


@pytest.mark.heavy
def test_two_thousand_speakers_are_no_square() -> None:
    def cost(count: int) -> float:
        lines = [
            Utterance(f"I'll ask Name{i - 1} now.", Speaker(str(i), f"Name{i} Other{i}"), 0.0, 9.0)
            for i in range(count)
        ]
        start = time.thread_time()
        analyse(lines)
        assert len(measure_talk_time(lines).speakers) == count
        return time.thread_time() - start

    assert cost(2000) < 10 * cost(500)


@pytest.mark.heavy
def test_a_text_of_nothing_but_ends_of_sentences_has_few_messages() -> None:
    analyser = ConversationAnalyser(started_at=STARTED_AT)
    lines = [Utterance("? " * 300_000, TOM, 0, 9)]
    assert len(analyser.update(lines, stop=lambda: True).messages) < 21_000
    # The messages of before stay, those of an append are as long as they may be.
    lines = [*lines, *(Utterance("? " * 5_000, TOM, 9, 18) for _ in range(10))]
    assert len(analyser.update(lines, stop=lambda: True).messages) < 21_000


@pytest.mark.heavy
def test_a_sentence_costs_little_for_each_one_before_it() -> None:
    def calls(count: int) -> int:
        """Return the calls of Python code for one more sentence after ``count`` others."""
        lines = meeting(count)
        before = Conversation("1", "1", STARTED_AT)
        before.publish(lines, 0.0, before.settings)
        assert len(before.analysis.messages) >= count
        seen = 0

        def count_call(frame: FrameType, event: str, argument: object) -> None:
            nonlocal seen
            seen += event == "call"

        after = before.draft()
        sys.setprofile(count_call)
        try:
            after.publish([Utterance("We agree.", lines[0].speaker, 0.0, 1.0)], 1.0, after.settings)
            assert len(after.analysis.messages) > count
        finally:
            sys.setprofile(None)
        return seen

    assert calls(2000) - calls(1000) < 8 * 1000


def test_talk_times_follow_each_change() -> None:
    before = Conversation("1", "1", STARTED_AT)
    before.publish([Utterance("One.", None, 0.0, 2.0)], 2.0, before.settings)
    assert before.analytics.talk == 2.0
    after = before.draft()
    after.publish([Utterance("Two.", None, 3.0, 4.0)], 4.0, after.settings)

    assert (before.analytics.talk, after.analytics.talk) == (2.0, 3.0)
    after.replace_utterances(after.utterances[1:])
    assert after.analytics.talk == 1.0


def test_a_draft_has_each_field_of_its_conversation_and_lists_of_its_own() -> None:
    names = [field.name for field in fields(Conversation)]
    before = Conversation("1", "1", STARTED_AT)
    for name in names:
        # Whatever collection it is copied to, it has one item, its name.
        setattr(before, name, {name: name})
    after = before.draft()

    assert [list(getattr(after, name)) for name in names] == [[name] for name in names]
    copied = {name for name in names if getattr(after, name) is not getattr(before, name)}
    assert copied == {"metadata", "utterances", "members", "notices", "bookmarks", "aliases"}
