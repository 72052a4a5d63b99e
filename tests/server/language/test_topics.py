from __future__ import annotations

from symbl_aio.server.language.models import Message
from symbl_aio.server.language.topics import find_topics


def topics(*texts: str) -> dict[str, tuple[str, ...]]:
    messages = [Message(text, None, i, i + 1, (), 0) for i, text in enumerate(texts)]
    return {topic.text: topic.parents for topic in find_topics(messages)}


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
