from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve

from symbl_aio.server.conversations import serializers
from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.language.analysis_values import (
    Analysis,
    Analytics,
    Entity,
    Insight,
    Message,
    Overlap,
    Speaker,
    SpeakerTime,
    Topic,
    Tracker,
    TrackerMatch,
)

ANN = Speaker("m-ann", "Ann", "ann@example.test")
STARTED_AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MESSAGES = (
    Message(
        "Please call Bob tomorrow.",
        ANN,
        1.0,
        3.5,
        0.5,
        ("call Bob",),
    ),
    Message("Why?", None, 4.0, 4.5, -0.31),
)
DATE = Entity("date", "2026-03-03", "tomorrow", 0, 16)
BOB = Entity("person", "Bob", "Bob", 0, 12)
CODE = Entity("custom", "why", "Why", 1, 0, "word")
ACTION = Insight(
    "follow_up",
    MESSAGES[0].text,
    0.8123456,
    0,
    ANN,
    Speaker("m-bob", "Bob"),
    datetime(2026, 3, 3, 9, 0, tzinfo=UTC),
    True,
    ("call Bob",),
    (DATE, BOB),
)
QUESTION = Insight("question", "Why?", 0.9, 1, None)
ANALYSIS = Analysis(
    messages=MESSAGES,
    questions=(QUESTION,),
    action_items=(evolve(ACTION, kind="action_item"),),
    follow_ups=(ACTION,),
    topics=(Topic("phone call", 0.75, (0, 1), 0.1),),
    entities=(DATE, CODE, evolve(CODE, message=0, offset=3)),
    trackers=(
        TrackerMatch(Tracker("Doubt", ("why",)), "why", 1, 0),
        TrackerMatch(Tracker("Doubt", ("why",)), "why", 0, 3),
    ),
)
ANALYTICS = Analytics(
    4.5,
    3.0,
    1.5,
    0.0,
    (
        SpeakerTime(ANN, 2.5, 0.5, 60.4, 0.25, (Overlap(None, 0.25),)),
        SpeakerTime(None, 0.5, 2.5, 0.0, 0.0, ()),
    ),
)


@pytest.fixture
def conversation() -> Conversation:
    return Conversation(
        "1234567890123456",
        "Call",
        STARTED_AT,
        members={ANN.id: ANN},
        duration=10.0,
        analysis=ANALYSIS,
        analytics=ANALYTICS,
    )


def test_a_conversation_has_its_times_and_members(conversation: Conversation) -> None:
    assert serializers.conversation_item(conversation) == {
        "id": "1234567890123456",
        "type": "meeting",
        "name": "Call",
        "startTime": "2026-03-02T09:00:00.000Z",
        "endTime": "2026-03-02T09:00:10.000Z",
        "members": [{"id": "m-ann", "name": "Ann", "email": "ann@example.test"}],
    }
    conversation.metadata["team"] = "red"
    assert serializers.conversation_item(conversation)["metadata"] == {"team": "red"}


def test_messages_have_words_and_sentiment_only_on_request(conversation: Conversation) -> None:
    first, second = serializers.messages(conversation, verbose=False, sentiment=False)
    assert first == {
        "id": conversation.message_id(0),
        "text": "Please call Bob tomorrow.",
        "from": {"id": "m-ann", "name": "Ann", "email": "ann@example.test"},
        "startTime": "2026-03-02T09:00:01.000Z",
        "endTime": "2026-03-02T09:00:03.500Z",
        "timeOffset": 1.0,
        "duration": 2.5,
        "conversationId": conversation.id,
        "phrases": [{"type": "action_phrase", "text": "call Bob"}],
    }
    assert isinstance(second, dict)
    assert second["from"] == {}

    full: Any = list(serializers.messages(conversation, verbose=True, sentiment=True))
    assert full[0]["words"][1] == {
        "word": "call",
        "startTime": "2026-03-02T09:00:01.700Z",
        "endTime": "2026-03-02T09:00:02.100Z",
        "timeOffset": 1.7,
        "duration": 0.4,
    }
    assert [m["sentiment"]["suggested"] for m in full] == ["positive", "negative"]
    assert full[0]["sentiment"]["polarity"] == {"score": 0.5}


def test_insights_have_assignee_text_and_due_date(conversation: Conversation) -> None:
    item: Any
    (item,) = serializers.insights(conversation, ANALYSIS.follow_ups)
    assert item == {
        "id": item["id"],
        "text": "Please call Bob tomorrow.",
        "type": "follow_up",
        "score": 0.812,
        "messageIds": [conversation.message_id(0)],
        "from": {"id": "m-ann", "name": "Ann", "userId": "ann@example.test"},
        "entities": [
            {"type": "date", "text": "tomorrow", "offset": 16, "value": "2026-03-03"},
            {
                "type": "person",
                "text": "Bob",
                "offset": 12,
                "value": {"name": "Bob", "assignee": True},
            },
        ],
        "phrases": [{"type": "action_phrase", "text": "call Bob"}],
        "definitive": True,
        "assignee": {"id": "m-bob", "name": "Bob"},
        "dueBy": "2026-03-03T09:00:00.000Z",
    }
    assert item["id"].isdigit()

    (question,) = serializers.insights(conversation, ANALYSIS.questions)
    assert set(question) == {"id", "text", "type", "score", "messageIds", "from"}  # type: ignore[arg-type]


def test_comprehensive_action_items_have_message_refs(conversation: Conversation) -> None:
    item: Any
    (item,) = serializers.comprehensive_action_items(conversation)

    assert item["messageRefs"] == [{"id": conversation.message_id(0)}]
    assert "messageIds" not in item


def test_topics_have_parents_and_sentiment_on_request(conversation: Conversation) -> None:
    plain: Any
    full: Any
    (plain,) = serializers.topics(conversation, sentiment=False, parents=False)
    (full,) = serializers.topics(conversation, sentiment=True, parents=False)

    assert plain["type"] == "topic"
    assert plain["messageIds"] == [conversation.message_id(0), conversation.message_id(1)]
    assert not plain.keys() & {"parentRefs", "sentiment"}
    assert full["parentRefs"] == []
    assert full["sentiment"] == {"polarity": {"score": 0.1}, "suggested": "neutral"}


def test_equal_entities_are_merged_with_several_references(conversation: Conversation) -> None:
    date, custom = serializers.entities(conversation)

    assert date == {
        "type": "date",
        "value": "2026-03-03",
        "text": "tomorrow",
        "messageRefs": [
            {"id": conversation.message_id(0), "text": "Please call Bob tomorrow.", "offset": 16}
        ],
    }
    assert isinstance(custom, dict)
    assert custom["customType"] == "word"
    assert [ref["offset"] for ref in custom["messageRefs"]] == [0, 3]  # type: ignore[union-attr,call-overload,index]


def test_trackers_refer_to_messages_and_insights(conversation: Conversation) -> None:
    tracker: Any
    (tracker,) = serializers.trackers(conversation)

    assert tracker["name"] == "Doubt"
    (match,) = tracker["matches"]
    assert (match["type"], match["value"]) == ("vocabulary", "why")
    assert [ref["offset"] for ref in match["messageRefs"]] == [0, 3]
    assert [ref["type"] for ref in match["insightRefs"]] == ["question", "action_item", "follow_up"]


def test_analytics_count_the_whole_recording(conversation: Conversation) -> None:
    found: Any = serializers.analytics(conversation)

    assert found["metrics"] == [
        {"type": "total_silence", "percent": 70.0, "seconds": 7.0},
        {"type": "total_talk_time", "percent": 30.0, "seconds": 3.0},
        {"type": "total_overlap", "percent": 0.0, "seconds": 0.0},
    ]
    ann, unknown = found["members"]
    assert ann["userId"] == "ann@example.test"
    assert ann["pace"] == {"wpm": 60}
    assert ann["talkTime"] == {"percentage": 83.333, "seconds": 2.5}
    assert ann["listenTime"] == {"percentage": 16.667, "seconds": 0.5}
    assert ann["overlap"]["overlapDuration"] == 0.25
    assert ann["overlap"]["overlappingMembers"][0]["percent"] == 10.0
    assert unknown["name"] == "Unknown"
    assert unknown["overlap"] == {}


def test_an_empty_conversation_has_no_percentages() -> None:
    empty = Conversation("1", "1", STARTED_AT)

    found: Any = serializers.analytics(empty)

    assert [metric["percent"] for metric in found["metrics"]] == [0.0, 0.0, 0.0]
