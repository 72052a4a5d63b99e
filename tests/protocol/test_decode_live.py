"""Frames of live connections become typed events, enveloped or bare; none raises."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from symbl_aio import (
    ActionItem,
    EntityEvent,
    ErrorEvent,
    FollowUp,
    Insight,
    InsightEvent,
    MessageEvent,
    Question,
    Recognition,
    SpokenWord,
    StateEvent,
    TopicEvent,
    TrackerEvent,
    UnknownEvent,
)
from symbl_aio._protocol.decode_live import decode_frame
from symbl_aio.models import as_json
from tests.tables import table


def decoded(frame: Any) -> Any:
    (event,) = decode_frame(json.dumps(frame))
    return event


RECOGNITION = {
    "type": "recognition_result",
    "isFinal": True,
    "payload": {
        "raw": {
            "alternatives": [
                {
                    "words": [
                        {
                            "word": "Ferry",
                            "startTime": {"seconds": "3", "nanos": "800000000"},
                            "endTime": {"seconds": 4, "nanos": 200000000},
                        },
                        {"word": "four"},
                    ],
                    "transcript": "ferry four",
                    "confidence": 0.91,
                }
            ]
        }
    },
    "punctuated": {"transcript": "Ferry four."},
    "user": {"userId": "i@example.com", "name": "Ines", "id": "u-1", "berth": 12},
}


def test_a_recognition_has_its_words_with_their_times_enveloped_or_bare():
    event = decoded(RECOGNITION)
    assert event == decoded({"type": "message", "message": RECOGNITION})
    assert isinstance(event, Recognition)
    assert (event.text, event.is_final, event.confidence) == ("Ferry four.", True, 0.91)
    assert event.words == (SpokenWord("Ferry", 3.8, 4.2), SpokenWord("four"))
    assert (event.speaker.name, event.speaker.id) == ("Ines", "u-1")
    assert event.speaker.raw["berth"] == 12
    assert event.raw == RECOGNITION


def test_a_recognition_may_lack_almost_everything():
    event = decoded({"type": "recognition_result"})
    assert (event.text, event.is_final, event.words) == ("", False, ())


def test_each_message_is_an_event_with_the_model_of_the_conversation_api():
    words = [{"word": "Yes.", "startTime": "2024-03-05T10:00:00Z"}]
    first = {
        "id": "m-1",
        "from": {"id": "u-1", "name": "Ines"},
        "payload": {"content": "Yes.", "contentType": "text/plain"},
        "duration": {
            "startTime": "2024-03-05T10:00:00Z", "endTime": "2024-03-05T10:00:01Z",
        },
        "metadata": {"words": json.dumps(words)},
        "sentiment": {"polarity": {"score": 0.5}, "suggested": "positive"},
    }  # fmt: skip
    bare = {"from": {}, "payload": {"content": "No."}}
    one, two = decode_frame(json.dumps({"type": "message_response", "messages": [first, bare]}))
    assert isinstance(one, MessageEvent)
    assert isinstance(two, MessageEvent)
    message = one.message
    assert (message.id, message.text, message.sender.name) == ("m-1", "Yes.", "Ines")
    assert message.start_time == datetime(2024, 3, 5, 10, tzinfo=UTC)
    assert [word.text for word in message.words] == ["Yes."]
    assert message.sentiment is not None
    assert message.sentiment.score == 0.5
    assert message.raw == first == one.raw
    assert (two.message.id, two.message.text) == ("", "No.")


@table(
    "kind,model",
    [
        ("question", Question),
        ("action_item", ActionItem),
        ("follow_up", FollowUp),
        ("new", Insight),
    ],
)
def test_an_insight_has_the_class_of_its_kind(kind, model):
    item = {
        "id": "i-1",
        "confidence": 0.9,
        "type": kind,
        "payload": {"content": "Send the report today."},
        "assignee": {"name": "Ben"},
        "dueBy": {"value": "2024-03-05T00:00:00-07:00"},
        "entities": None,
        "messageReference": {"id": "m-1"},
    }
    event = decoded({"type": "insight_response", "insights": [item]})
    assert isinstance(event, InsightEvent)
    insight = event.insight
    assert type(insight) is model
    assert (insight.text, insight.score) == ("Send the report today.", 0.9)
    assert insight.message_ids == ("m-1",)
    assert insight.raw == item
    if isinstance(insight, ActionItem | FollowUp):
        assert insight.due_by == datetime(2024, 3, 5, 7, tzinfo=UTC)
        assert insight.assignee is not None
        assert insight.assignee.name == "Ben"


def test_topics_trackers_and_entities_have_the_models_of_the_conversation_api():
    topic = decoded(
        {
            "type": "topic_response",
            "topics": [
                {
                    "id": "t",
                    "phrases": "night boat",
                    "score": 0.9,
                    "messageReferences": [{"id": "m"}],
                }
            ],
        }
    )
    assert isinstance(topic, TopicEvent)
    assert (topic.topic.text, topic.topic.message_ids) == ("night boat", ("m",))

    match = {"type": "vocabulary", "value": "late", "messageRefs": [{"id": "m", "offset": 3}]}
    tracker = decoded(
        {
            "type": "tracker_response",
            "isFinal": True,
            "trackers": [{"name": "Delay", "matches": [match]}],
        }
    )
    assert isinstance(tracker, TrackerEvent)
    assert tracker.is_final
    assert tracker.tracker.matches[0].message_refs[0].offset == 3

    entity = decoded(
        {
            "type": "entity_response",
            "entities": [
                {"type": "vessel", "subType": "ferry", "matches": [{"detectedValue": "Aurora"}]}
            ],
        }
    )
    assert isinstance(entity, EntityEvent)
    assert entity.entity.matches[0].value == "Aurora"


@table(
    "frame,message,details",
    [
        ({"type": "error", "details": "x"}, "x", "x"),
        ({"type": "error", "detail": {"a": 1}}, '{"a": 1}', '{"a": 1}'),
        (
            {"type": "message", "message": {"type": "error", "message": "m", "details": "d"}},
            "m",
            "d",
        ),
    ],
)
def test_an_error_has_the_words_of_the_server_wherever_they_stand(frame, message, details):
    event = decoded(frame)
    assert isinstance(event, ErrorEvent)
    assert (event.message, event.details) == (message, details)


@table(
    "frame",
    [
        {"type": "conversation_created", "data": {"conversationId": "7"}},
        {"type": "conversation_completed", "conversationId": 7, "summaryUrl": "https://x"},
        {
            "type": "message",
            "message": {"type": "recognition_started", "data": {"conversationId": "7"}},
        },
    ],
)
def test_a_state_names_its_conversation_wherever_it_stands(frame):
    event = decoded(frame)
    assert isinstance(event, StateEvent)
    assert event.conversation_id == "7"


def test_a_frame_of_an_unknown_kind_is_kept_as_it_came():
    frame = {"type": "hologram_response", "x": [1]}
    assert decoded(frame) == UnknownEvent(type="hologram_response")
    assert decoded(frame).raw == frame
    assert decode_frame("{not json")[0].raw == {"text": "{not json"}  # type: ignore[union-attr]
    assert decode_frame("__PONG__") == ()


KINDS = (
    "recognition_result transcript_response message_response insight_response topic_response "
    "tracker_response entity_response error conversation_created message unknown"
).split()
KEYS = (
    "type message messages insights topics trackers entities payload raw alternatives words word "
    "startTime endTime seconds nanos transcript confidence isFinal user from duration metadata id "
    "text data conversationId details dueBy value messageReference phrases messageReferences"
).split()
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=25,
)


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(KEYS), JSONS, max_size=6))
def test_any_frame_becomes_events_that_can_be_encoded_again(kind, rest):
    for frame in ({**rest, "type": kind}, {"type": "message", "message": {**rest, "type": kind}}):
        for event in decode_frame(json.dumps(frame)):
            json.dumps(as_json(event))
            repr(event)


@given(st.text())
def test_any_text_becomes_events(text):
    decode_frame(text)


def test_a_number_that_json_does_not_have_is_none_and_the_words_are_kept():
    raw = {"alternatives": [{"transcript": "Ferry four", "confidence": float("nan")}]}
    event = decoded({"type": "recognition_result", "payload": {"raw": raw}})
    assert isinstance(event, Recognition)
    assert (event.text, event.confidence) == ("Ferry four", None)


def test_every_event_is_json_that_can_be_sent():
    (event,) = decode_frame(r'{"type": "error", "message": "half of a pair: \ud83d"}')
    assert isinstance(event, ErrorEvent)
    assert json.loads(event.to_json().encode())["message"] == "half of a pair: \ufffd"
