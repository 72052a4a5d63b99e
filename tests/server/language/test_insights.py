from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbl_aio.server.language.insights import (
    Analysis,
    CustomEntity,
    Entity,
    Insight,
    Speaker,
    Tracker,
    Utterance,
    analyse,
)
from tests.tables import table

START = datetime(2026, 3, 4, 10, tzinfo=timezone(timedelta(hours=1)))  # a Wednesday
PRIYA = Speaker("1", "Priya Shah", "priya@example.com")
TOM = Speaker("2", "Tom Becker")


def hear(*said: str | tuple[Speaker | None, str], **asked) -> Analysis:
    """Analyse lines said one after another, ten seconds each, by Priya unless told."""
    lines = [(PRIYA, line) if isinstance(line, str) else line for line in said]
    utterances = [
        Utterance(text, who, 10.0 * index, 10.0 * index + 10)
        for index, (who, text) in enumerate(lines)
    ]
    return analyse(utterances, started_at=START, **asked)


def action(text: str) -> Insight | None:
    found = hear((PRIYA, text), (TOM, "Hello."))
    items = found.action_items + found.follow_ups
    assert len(items) <= 1
    return items[0] if items else None


# Messages


def test_each_sentence_is_a_message_with_its_share_of_the_time():
    first, second = hear("Twelve chars. And then come twenty-four more").messages
    assert (first.text, second.text) == ("Twelve chars.", "And then come twenty-four more")
    assert 0.0 == first.start < first.end < second.start < second.end == 10.0
    assert first.speaker is PRIYA


@pytest.mark.parametrize(
    "text",
    [
        "Mr. Smith met Dr. Jones at 5 p.m. on the boat.",
        "We grew 3.5 percent, e.g. in Spain.",
        "John F. Kennedy spoke... and people listened.",
        "Bring pens, paper, etc. to the room.",
        "See example.com for more",
        "no end mark at all",
        "Take No. 7 (see fig. 2).",
    ],
)
def test_not_every_full_stop_ends_a_sentence(text):
    assert [message.text for message in hear(text).messages] == [text]


def test_marks_quotes_and_line_breaks_end_sentences():
    text = "No. Really?! yes… \u201cIt is late.\u201d She left (at last). Vitamin\nC. is   fine"
    assert [message.text for message in hear(text).messages] == [
        "No.",
        "Really?!",
        "yes…",
        "\u201cIt is late.\u201d",
        "She left (at last).",
        "Vitamin\nC. is   fine",
    ]


def test_silence_is_no_message():
    assert hear("", "   ").messages == ()
    assert analyse([], started_at=START).messages == ()


def test_words_have_times_in_order():
    (message,) = hear("Fail again, fail better.").messages
    assert [word.text for word in message.words] == ["Fail", "again,", "fail", "better."]
    assert message.words[0].start == message.start
    assert message.words[-1].end == message.end
    assert all(a.end <= b.start for a, b in pairwise(message.words))


@pytest.mark.parametrize(
    "text, low, high",
    [
        ("This is great, thank you so much!", 0.3, 1),
        ("That was a terrible outage.", -1, -0.3),
        ("It is not good.", -1, 0),
        ("It isn\u2019t bad.", 0, 1),
        ("The meeting is at five.", 0, 0),
        ("We found critical fixes with low risk.", 0, 0),
    ],
)
def test_sentiment_is_the_sign_of_the_words(text, low, high):
    assert low <= hear(text).messages[0].sentiment <= high


# Questions


@pytest.mark.parametrize(
    "text",
    [
        "Is this a real question?",
        "Why?",
        "what time is it",
        "Okay so do you want to join",
        "Really, how many users have old phones",
    ],
)
def test_a_question_is_found(text):
    (question,) = hear(text).questions
    assert (question.kind, question.text, question.message) == ("question", text, 0)


@pytest.mark.parametrize(
    "text", ["Right?", "Okay?", "He asked why.", "What a day!", "the who concert", "I do that"]
)
def test_what_asks_nothing_is_no_question(text):
    assert hear(text).questions == ()


# Actions


@table(
    "text, phrase, assignee",
    [
        ("Okay, I'll fix the login by Friday.", "fix the login by Friday", PRIYA),
        ("I\u2019m going to write the release notes.", "write the release notes", PRIYA),
        ("I will also be testing the new build.", "testing the new build", PRIYA),
        ("Let me check the logs.", "check the logs", PRIYA),
        ("The tests are slow, so I need to clean the fixtures", "clean the fixtures", PRIYA),
        ("We will create a small file, and that is it.", "create a small file", None),
        ("Tom will prepare the slides.", "prepare the slides", TOM),
        ("Tom, can you update the tracker?", "update the tracker", TOM),
        ("Could you review my draft, Tom?", "review my draft", TOM),
        ("Tom Becker, update the tracker today.", "update the tracker today", TOM),
        ("Please review the pull request.", "review the pull request", None),
        ("Thanks. Update the wiki, please.", "Update the wiki", None),
        ("Can someone fix the build?", "fix the build", None),
        ("I'd like you to test the app.", "test the app", None),
    ],
)
def test_an_action_item_is_found(text, phrase, assignee):
    found = action(text)
    assert found is not None
    assert found.kind == "action_item"
    assert (found.phrases, found.assignee, found.speaker) == ((phrase,), assignee, PRIYA)
    assert 0.65 <= found.score <= 1


@pytest.mark.parametrize(
    "text",
    [
        "I will send you the numbers.",
        "I just need to follow up with the technician first.",
        "Let me check it and get back to you.",
        "Could someone please book a room?",
        "Tom, email the client.",
        "I'll be calling the bank.",
        "Let's schedule a demo with the client.",
    ],
)
def test_reaching_out_to_somebody_is_a_follow_up(text):
    found = action(text)
    assert found is not None
    assert found.kind == "follow_up"


@table(
    "text",
    [
        "I won't fix that old thing.",
        "I will not send the file.",
        "Please do not share this link.",
        "Please don't forget the review.",
        "If I will write it down, fine.",
        "That's what I'll build next.",
        "I'll see you tomorrow.",
        "I'm going to be fine.",
        "I'll do that.",
        "Let me know what you think.",
        "Let's start with the agenda.",
        "Can you hear me?",
        "Can you explain the numbers?",
        "You can find it in the folder.",
        "Will I write the report?",
        "Bob will prepare the slides.",
        "Tom will be there.",
        "I have to go.",
        "Ask not what your country can do for you.",
        "Tom, that was a good talk.",
    ],
)
def test_idle_talk_is_no_action(text):
    assert action(text) is None


def test_a_first_name_that_two_share_is_nobodys():
    other = Speaker("3", "Tom Adams")
    found = hear((PRIYA, "Can you update the tracker, Tom?"), (TOM, "Yes."), (other, "No."))
    assert found.action_items[0].assignee is None
    found = hear((PRIYA, "Can you update it, Tom Adams?"), (TOM, "Yes."), (other, "No."))
    assert found.action_items[0].assignee == other


# When


@table(
    "phrase, due",
    [
        ("today", (3, 4)),
        ("tomorrow", (3, 5)),
        ("the day after tomorrow", (3, 6)),
        ("tomorrow at 5 pm", (3, 5, 17)),
        ("at 9:15 tomorrow", (3, 5, 9, 15)),
        ("at 12 a.m. on Friday", (3, 6, 0)),
        ("tonight", (3, 4, 20)),
        ("this afternoon", (3, 4, 15)),
        ("Friday morning", (3, 6, 9)),
        ("by Friday", (3, 6)),
        ("on Wednesday", (3, 11)),
        ("next Wednesday", (3, 11)),
        ("next Tuesday", (3, 10)),
        ("next week", (3, 9)),
        ("next month", (4, 1)),
        ("by the end of the day", (3, 4)),
        ("by the end of the week", (3, 6)),
        ("by the end of next week", (3, 13)),
        ("by the end of the month", (3, 31)),
        ("in half an hour", (3, 4, 10, 30)),
        ("within the next 3 days", (3, 7)),
        ("in two weeks", (3, 18)),
        ("on March 20th", (3, 20)),
        ("on the 2nd", (4, 2)),
        ("on the 14th", (3, 14)),
        ("on March 20, 2026, or so", (3, 20)),
        ("on 2026-05-01", (5, 1)),
        ("on 1st of May 2026", (5, 1)),
        ("at 3 o'clock", (3, 4, 15)),
        ("before noon", (3, 4, 12)),
        ("at 9 am", (3, 5, 9)),  # today's is over
    ],
)
def test_a_phrase_of_time_makes_an_action_definitive(phrase: str, due: tuple[int, ...]):
    found = action(f"I will write the report {phrase}.")
    assert found is not None
    assert found.definitive
    month, day, hour, minute = (*due, 0, 0)[:4]
    assert found.due == datetime(2026, month, day, hour, minute, tzinfo=START.tzinfo)


def test_a_day_of_the_year_that_is_over_means_the_next_one():
    found = action("I will write the report on March 3.")
    assert found is not None
    assert found.due == datetime(2027, 3, 3, tzinfo=START.tzinfo)


@pytest.mark.parametrize(
    "phrase", ["we had last Friday", "of yesterday", "on February 30", "at 13 pm", "soon"]
)
def test_without_a_time_to_come_an_action_is_indefinite(phrase):
    found = action(f"I will write the report {phrase}.")
    assert found is not None
    assert (found.due, found.definitive) == (None, False)


def test_times_count_from_when_the_sentence_is_said():
    late = Utterance("I will write it down in half an hour.", PRIYA, 7200, 7203)
    (found,) = analyse([late], started_at=START).action_items
    assert found.due == START + timedelta(hours=2.5)


# Thresholds and switches


def test_only_what_is_sure_enough_is_told():
    said = ("I'll fix the login.", "Is it late?", "We need to cut the budget.")
    everything = hear(*said, confidence_threshold=0)
    assert {i.score for i in everything.action_items} == {0.9, 0.75}
    sure = hear(*said, confidence_threshold=0.9)
    assert [i.text for i in sure.action_items] == ["I'll fix the login."]
    assert len(sure.questions) == 1
    assert all(topic.score >= 0.9 for topic in sure.topics)
    assert hear(*said, confidence_threshold=1.0).questions == ()


def test_message_phrases_are_given_on_request():
    text = "I'll fix the login."
    assert hear(text).messages[0].phrases == ()
    assert hear(text, detect_phrases=True).messages[0].phrases == ("fix the login",)


# Topics


def test_topics_are_what_comes_back():
    topics = hear(
        "The marketing budget is tight.",
        "Who made the marketing budget?",
        "Our campaign was a great campaign, Priya.",
        "Older phones crash, Priya.",
    ).topics
    assert topics[0].text == "marketing budget"
    assert topics[0].messages == (0, 1)
    texts = [topic.text for topic in topics]
    assert "campaign" in texts
    assert not {"priya", "marketing", "budget"} & set(texts)
    assert all(0.5 < topic.score <= 1 for topic in topics)
    assert [t.score for t in topics] == sorted((t.score for t in topics), reverse=True)


def test_singular_and_plural_are_one_topic():
    (topic, *_) = hear("The strategy is new.", "Both strategies and the strategy fail.").topics
    assert (topic.text, topic.messages) == ("strategy", (0, 1))


def test_small_talk_has_no_topic():
    assert hear("Yes, okay.", "So what do you think about it?").topics == ()


# Entities and trackers


@table(
    "text, kind, value",
    [
        ("Write to Bob.Smith@Example.com.", "email", "bob.smith@example.com"),
        ("See https://example.com/a?b=1.", "url", "https://example.com/a?b=1"),
        ("Call +49 30 123 4567 now.", "phone_number", "+49301234567"),
        ("Call (415) 555-0100 now.", "phone_number", "4155550100"),
        ("It costs $4,500 now.", "money", "$4,500"),
        ("It costs 2.5 million dollars.", "money", "2.5 million dollars"),
        ("About 12 percent left.", "percentage", "12 percent"),
        ("About 12.5% left.", "percentage", "12.5%"),
        ("We sold 1,250 chairs.", "number", "1250"),
        ("It starts tomorrow.", "date", "2026-03-05"),
        ("It starts at 5 p.m. sharp.", "time", "17:00:00"),
        ("It starts tomorrow at 5 pm.", "datetime", "2026-03-05 17:00:00"),
        ("Tom said so.", "person", "Tom Becker"),
        ("Hello, my name is Ada Lovelace.", "person", "Ada Lovelace"),
    ],
)
def test_a_detail_is_found_with_its_place(text, kind, value):
    (entity,) = hear((PRIYA, text), (TOM, "Hm."), detect_entities=True).entities
    assert (entity.type, entity.value, entity.message) == (kind, value, 0)
    assert text[entity.offset :].startswith(entity.text)


def test_entities_are_looked_for_on_request_but_custom_ones_always():
    custom = [CustomEntity("Product", "mobile  app"), CustomEntity("Team", "core", "Core Team")]
    found = hear("The Mobile app costs $5.", "encore, Core!", custom_entities=custom)
    assert found.entities == (
        Entity("custom", "mobile  app", "Mobile app", 0, 4, "Product"),
        Entity("custom", "Core Team", "Core", 1, 8, "Team"),
    )
    assert len(hear("It costs $5.", detect_entities=True).entities) == 1


def test_insights_carry_their_entities():
    (found,) = hear("I will pay $50 tomorrow.").action_items
    assert [entity.type for entity in found.entities] == ["money", "date"]


def test_trackers_match_whole_phrases_whatever_their_case():
    launch = Tracker("Launch", ("go live", "c++", " "), id="7")
    found = hear("We GO  live in May.", "They ago lived on c++.", trackers=[launch]).trackers
    assert [(m.tracker, m.value, m.message, m.offset) for m in found] == [
        (launch, "go live", 0, 3),
        (launch, "c++", 1, 18),
    ]


# Analytics


def test_talk_silence_and_overlap_add_up():
    said = [
        Utterance("one two three four", PRIYA, 0, 10),
        Utterance("five six", TOM, 8, 20),
        Utterance("seven", None, 30, 40),
        Utterance("eight", PRIYA, 35, 36),
    ]
    found = analyse(said, started_at=START).analytics
    assert (found.total, found.talk, found.silence, found.overlap) == (40, 30, 10, 3)
    priya, tom, unknown = found.speakers
    assert (priya.speaker, priya.talk, priya.listen, priya.overlap) == (PRIYA, 11, 19, 3)
    assert [(o.speaker, o.seconds) for o in priya.overlaps] == [(TOM, 2), (None, 1)]
    assert (tom.talk, tom.pace) == (12, 10)
    assert (unknown.speaker, unknown.talk) == (None, 10)


def test_nobody_talks_in_an_empty_conversation():
    found = analyse([], started_at=START).analytics
    assert (found.total, found.talk, found.silence, found.speakers) == (0, 0, 0, ())


def test_an_utterance_without_length_has_no_pace():
    (only,) = analyse(
        [Utterance("Hi", Speaker("4", " "), 5, 5)], started_at=START
    ).analytics.speakers
    assert (only.talk, only.pace) == (0, 0)


# For any input

SPOKEN = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.sampled_from(
            "I'll we can you please send Tom Priya the report by Friday at 5 pm in 9999999 weeks "
            "on February 30 $3 12% ? . ! , budget it's what".split()
        ),
        max_size=15,
    ).map(" ".join),
)
UTTERANCES = st.lists(
    st.builds(
        lambda text, who, start, length: Utterance(text, who, start, start + length),
        SPOKEN,
        st.sampled_from([None, PRIYA, TOM]),
        st.floats(0, 1e5),
        st.floats(0, 1e3),
    ),
    max_size=6,
)


@given(UTTERANCES, st.integers(0, 6))
def test_appending_never_changes_the_messages_before(utterances, cut):
    before = analyse(utterances[:cut], started_at=START)
    after = analyse(utterances, started_at=START)
    assert after.messages[: len(before.messages)] == before.messages


@given(UTTERANCES)
def test_every_reference_and_place_is_true(utterances):
    found = analyse(utterances, started_at=START, detect_entities=True, detect_phrases=True)
    assert found == analyse(utterances, started_at=START, detect_entities=True, detect_phrases=True)
    for message in found.messages:
        assert message.text == message.text.strip() != ""
        assert message.start <= message.end
        assert -1 <= message.sentiment <= 1
    for insight in found.questions + found.action_items + found.follow_ups:
        assert insight.text == found.messages[insight.message].text
    for entity in found.entities:
        text = found.messages[entity.message].text
        assert text[entity.offset : entity.offset + len(entity.text)] == entity.text
    for topic in found.topics:
        assert list(topic.messages) == sorted(set(topic.messages))
        assert topic.messages[-1] < len(found.messages)
    times = found.analytics
    assert times.talk + times.silence == pytest.approx(times.total, abs=0.01)
    assert times.overlap <= times.talk + 0.01
