from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.conversations.transcript_formats import TranscriptFormat, markdown, srt
from symbl_aio.server.language.analysis_values import Analysis, Insight, Message, Speaker

ANN, BOB = Speaker("a", "Ann"), Speaker("b", "Bob")


@pytest.fixture
def conversation() -> Conversation:
    lines = [
        (ANN, "I will send it.", 0.0, 1.5, ("send it",)),
        (ANN, "Then we talk.", 2.0, 3.0, ("talk",)),
        (ANN, "Later.", 60.0, 61.0, ()),
        (BOB, "Fine.", 3661.0, 3661.25, ()),
    ]
    messages = tuple(Message(t, speaker, a, b, 0.0, p) for speaker, t, a, b, p in lines)
    action = Insight("action_item", messages[0].text, 0.9, 0, ANN, phrases=("will send it",))
    analysis = Analysis(messages, (), (action,), (), (), (), ())
    return Conversation("1", "1", datetime(2026, 1, 1, tzinfo=UTC), analysis=analysis)


def test_markdown_has_one_message_a_line(conversation: Conversation) -> None:
    text = markdown(conversation, TranscriptFormat())

    assert text == "I will send it.<br/><br/>Then we talk.<br/><br/>Later.<br/><br/>Fine."


def test_paragraphs_end_with_the_speaker_or_a_pause(conversation: Conversation) -> None:
    text = markdown(conversation, TranscriptFormat(paragraphs=True, speakers=True))

    assert text.split("<br/><br/>") == [
        "Ann: I will send it. Then we talk.",
        "Ann: Later.",
        "Bob: Fine.",
    ]


def test_a_paragraph_of_many_messages_costs_what_its_length_costs() -> None:
    messages = tuple(Message("We go on. " * 10, ANN, n, n + 1, 0.0) for n in range(40_000))
    analysis = Analysis(messages, (), (), (), (), (), ())
    long = Conversation("1", "1", datetime(2026, 1, 1, tzinfo=UTC), analysis=analysis)
    began = time.thread_time()

    assert len(markdown(long, TranscriptFormat(paragraphs=True))) > 4_000_000
    assert time.thread_time() - began < 1


def test_phrases_are_marked_once(conversation: Conversation) -> None:
    insights = markdown(conversation, TranscriptFormat(insight_phrases=True))
    everything = markdown(conversation, TranscriptFormat(all_phrases=True))

    assert insights.startswith("I <mark>will send it</mark>.<br/><br/>Then we talk.")
    assert everything.startswith("I <mark>will send it</mark>.<br/><br/>Then we <mark>talk</mark>.")


def test_srt_numbers_the_messages_and_has_their_times(conversation: Conversation) -> None:
    blocks = srt(conversation, TranscriptFormat(speakers=True)).split("\n\n")

    assert blocks[0] == "1\n00:00:00,000 --> 00:00:01,500\nAnn: I will send it."
    assert blocks[3] == "4\n01:01:01,000 --> 01:01:01,250\nBob: Fine."
