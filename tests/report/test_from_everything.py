"""Content of the client's models: what the local server answers, and what other hosts may."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from symbl_aio import Everything, Text, TextOptions, Utterance
from symbl_aio.report import content_of, to_html
from symbl_aio.testing import LocalSymbl

START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
SAID = (
    ("Ann", "Good morning, the new plan is wonderful."),
    ("Ann", "Who writes the report?"),
    ("Bob", "I will write the report by Friday."),
    ("Ann", "Bob and I will meet again on Monday."),
)


async def read(*said: tuple[str, str]) -> Everything:
    at = START
    utterances = []
    for speaker, text in said:
        utterances.append(Utterance(text, speaker, start=at, end=at + timedelta(seconds=4)))
        at += timedelta(seconds=5)
    async with LocalSymbl() as server, server.client() as symbl:
        conversation = await symbl.process(Text(utterances), TextOptions(name="Monday"))
        return await conversation.everything(sentiment=True)


async def test_the_parts_of_a_conversation_are_found_in_its_report():
    content = content_of(await read(*SAID))

    assert content.title == "Monday"
    assert content.started == START
    assert [speaker.name for speaker in content.speakers] == ["Ann", "Bob"]
    assert all(speaker.id for speaker in content.speakers)
    assert [(s.speaker, s.start, s.end) for s in content.sentences] == [
        (0, 0.0, 4.0),
        (0, 5.0, 9.0),
        (1, 10.0, 14.0),
        (0, 15.0, 19.0),
    ]
    assert content.sentences[0].sentiment is not None
    (task,) = content.action_items
    assert (task.sentences, task.person) == ((2,), "Bob")
    assert task.due is not None
    assert [question.sentences for question in content.questions] == [(1,)]
    assert [follow_up.sentences for follow_up in content.follow_ups] == [(3,)]
    assert {"report"} <= {word for topic in content.topics for word in topic.text.split()}


async def test_one_page_is_made_of_several_conversations():
    everything = await read(*SAID)

    page = to_html(everything, Everything.from_json(everything.to_json()), title="Week 9")

    assert page.count("<article") == 2
    assert "<title>Week 9</title>" in page


def stored(messages: list[object], **parts: object) -> Everything:
    return Everything.from_json(
        json.dumps(
            {
                "symbl_aio": 1,
                "info": {"id": "7"},
                "parts": {"messages": {"messages": messages}, **parts},
                "missing": [],
            }
        )
    )


def test_a_host_that_sends_hardly_anything_has_a_report_too():
    content = content_of(stored([{"id": "1", "text": "Hello."}, {"id": "2"}]))

    assert content.title == "7"
    assert content.speakers == ()
    assert [(s.text, s.speaker, s.start) for s in content.sentences] == [
        ("Hello.", None, None),
        ("", None, None),
    ]
    assert "Hello." in to_html(stored([{"id": "1", "text": "Hello."}]))


def test_a_finding_from_a_message_that_is_not_there_leads_nowhere():
    content = content_of(
        stored(
            [{"id": "1", "text": "Who?"}],
            questions={"questions": [{"id": "q", "text": "Who?", "messageIds": ["1", "9"]}]},
            topics={"topics": [{"text": "it", "messageIds": ["9"]}]},
        )
    )

    assert content.questions[0].sentences == (0,)
    assert content.topics[0].sentences == ()


def test_a_speaker_without_a_name_has_one_to_show():
    content = content_of(stored([{"id": "1", "text": "Yes.", "from": {"id": "u1"}}]))

    assert [speaker.name for speaker in content.speakers] == ["Unnamed speaker"]
