from __future__ import annotations

from symbl_aio.server.language.topics import TopicCounter
from tests.server.language.lines import analyse_lines


def topics(*texts: str) -> dict[str, tuple[str, ...]]:
    counter = TopicCounter(())
    for text in texts:
        counter.add(text, 0.0)
    return {topic.text: topic.parents for topic in counter.topics()}


def test_a_narrower_topic_has_the_wider_one_as_its_parent() -> None:
    found = topics(
        "The pension plan is cheap.",
        "Every plan has a price.",
        "That plan is a burden.",
        "The pension plan covers dentists.",
    )

    assert found["pension plan"] == ("plan",)
    assert found["plan"] == ()


def test_only_the_nearest_parents_are_named() -> None:
    texts = ["The company pension plan grew."] * 2
    texts += ["Our pension plan shrank."] * 4 + ["A plan exists."] * 8
    found = topics(*texts)

    assert found["company pension plan"] == ("pension plan",)
    assert found["pension plan"] == ("plan",)


def test_words_that_only_look_alike_are_no_parents() -> None:
    found = topics("The car is blue.", "A car is fast.", "The carpet is red.", "One carpet is old.")

    assert found == {"car": (), "carpet": ()}


def test_topics_are_repeated_phrases() -> None:
    found = analyse_lines(
        "The marketing budget is tight.",
        "Who made the marketing budget?",
        "Our campaign was a great campaign, Priya.",
        "Older phones crash, Priya.",
    ).topics
    assert found[0].text == "marketing budget"
    assert found[0].messages == (0, 1)
    texts = [topic.text for topic in found]
    assert "campaign" in texts
    assert not {"priya", "marketing", "budget"} & set(texts)
    assert all(0.5 < topic.score <= 1 for topic in found)
    assert [t.score for t in found] == sorted((t.score for t in found), reverse=True)


def test_singular_and_plural_are_one_topic() -> None:
    (topic, *_) = analyse_lines(
        "The strategy is new.", "Both strategies and the strategy fail."
    ).topics
    assert (topic.text, topic.messages) == ("strategy", (0, 1))
    (topic,) = analyse_lines("The boxes are red.", "That box is blue.").topics
    assert (topic.text, topic.messages) == ("boxes", (0, 1))


def test_small_talk_has_no_topic() -> None:
    assert analyse_lines("Yes, okay.", "So what do you think about it?").topics == ()


def test_a_phrase_that_a_longer_one_contains_once_is_a_topic_of_a_long_conversation():
    lines = [
        "The payment screen crashes.",
        "Look at the payment screen.",
        "Ten percent and 5 percent.",
    ]
    found = analyse_lines(*lines, *["Go on."] * 20).topics
    assert [topic.text for topic in found] == ["payment screen"]


def test_a_phrase_that_occurs_once_is_a_topic_of_a_short_conversation_only():
    assert list(topics("The pension plan is cheap.", *["Go on."] * 19)) == ["pension plan"]
    assert topics("The pension plan is cheap.", *["Go on."] * 20) == {}


def test_a_word_is_not_counted_where_a_longer_topic_has_it():
    assert "plan" not in topics("The pension plan is cheap.", "A plan exists.")


def test_a_conversation_has_a_topic_for_each_message_three_at_least_and_ten_at_most():
    phrases = [f"{a} {b}" for a in ("red", "green", "blue") for b in ("lake", "hill", "tower")]
    assert len(topics("; ".join(phrases))) == 3
    assert len(topics(*phrases[:5])) == 5
    assert len(topics(*phrases, *phrases)) == 10
