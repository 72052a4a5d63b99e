from __future__ import annotations

from symbl_aio.server.language.analysis_values import Analysis, Utterance
from symbl_aio.server.language.summary import MIN_MESSAGES, choose_summary
from tests.server.language.lines import analyse

TEXTS = [
    "Good morning to all of you.",
    "The rocket engine failed its pressure test on Monday.",
    "Oh, that is bad.",
    "Was it the rocket engine or the fuel pump that failed the pressure test?",
    "The fuel pump let the pressure drop, so the rocket engine stopped early.",
    "I will send the pressure test report to the supplier tomorrow.",
    "Thank you.",
    "We should order another fuel pump from the supplier this week.",
    "The rocket engine failed its pressure test on Monday.",
    "Yes.",
    "The weather was nice, at least for the people there.",
    "Goodbye.",
]


def analysed(*texts: str) -> Analysis:
    return analyse([Utterance(text, None, float(i), i + 1.0) for i, text in enumerate(texts)])


def test_a_summary_consists_of_the_best_sentences() -> None:
    found = analysed(*TEXTS)

    chosen = choose_summary(found, range(len(TEXTS)))

    assert 0 < len(chosen) <= 3
    assert list(chosen) == sorted(chosen)
    assert 4 in chosen  # it names the most topics
    assert not {0, 2, 3, 6, 9, 10, 11} & set(chosen)


def test_the_same_words_give_the_same_summary() -> None:
    assert choose_summary(analysed(*TEXTS), range(12)) == choose_summary(
        analysed(*TEXTS), range(12)
    )


def test_a_summary_has_no_repetition() -> None:
    found = analysed(*(TEXTS[1:2] * 20))

    assert len(choose_summary(found, range(20))) == 1


def test_a_short_conversation_has_no_summary() -> None:
    found = analysed(*TEXTS)

    assert choose_summary(found, range(MIN_MESSAGES - 1)) == ()
    assert choose_summary(found, range(MIN_MESSAGES - 1), min_messages=3) != ()


def test_small_talk_has_no_summary() -> None:
    assert choose_summary(analysed(*["Yes."] * 30), range(30)) == ()


def test_only_messages_at_the_given_indexes_are_chosen() -> None:
    assert set(choose_summary(analysed(*TEXTS), range(4, 8), min_messages=1)) <= {4, 5, 7}


def test_a_summary_covers_several_topics() -> None:
    pump = "The fuel pump of the rocket engine lost its pressure again {}."
    texts = [pump.format(day) for day in ("today", "on Monday", "in May", "at noon")]
    texts += ["The catering contract ends with the summer party.", "Yes."] * 2
    texts += ["Our catering contract is not cheap at all.", "Hm.", "No.", "Fine."]
    chosen = choose_summary(analysed(*texts), range(len(texts)))
    assert len(chosen) == 2
    assert any("pump" in texts[index] for index in chosen)
    assert any("catering" in texts[index] for index in chosen)
