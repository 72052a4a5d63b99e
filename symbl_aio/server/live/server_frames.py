"""The JSON frames of the server. API section 10.2.

Ids of messages, insights and topics are those of the Conversation API.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import evolve

from symbl_aio.server.conversations import serializers
from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.http_json import JSON, format_instant, format_offset
from symbl_aio.server.language.analysis_values import (
    Entity,
    Insight,
    InsightKind,
    Message,
    Speaker,
    Topic,
    TrackerMatch,
    Word,
)
from symbl_aio.server.language.call_intents import find_intents

if TYPE_CHECKING:  # given by the handlers, which come with the first live request
    from symbl_aio.server.live.speech_stream import Heard

Frame = dict[str, JSON]
User = dict[str, JSON]


def envelope(kind: str, **fields: JSON) -> Frame:
    """Return a frame about the connection itself."""
    return {"type": "message", "message": {"type": kind, **fields}}


def conversation_created(conversation_id: str) -> Frame:
    return envelope("conversation_created", data={"conversationId": conversation_id})


def recognition_started(conversation_id: str) -> Frame:
    return envelope("recognition_started", data={"conversationId": conversation_id})


def conversation_completed(conversation_id: str, summary_url: str) -> Frame:
    """Return the last frame; clients read the id in one of two places."""
    return envelope(
        "conversation_completed",
        conversationId=conversation_id,
        data={"conversationId": conversation_id},
        summaryUrl=summary_url,
    )


def error(text: str) -> Frame:
    return envelope("error", details=text, message=text)


def recognition_result(conversation: Conversation, heard: Heard, user: User) -> Frame:
    """Return words, complete or on the way. Time is assumed to pass evenly with the characters."""
    message = Message(heard.text, None, heard.start, heard.end, 0.0)
    words: list[JSON] = [
        {"word": w.text, "startTime": _seconds(w.start), "endTime": _seconds(w.end)}
        for w in message.words
    ]
    return envelope(
        "recognition_result",
        isFinal=heard.is_final,
        payload={
            "raw": {
                "alternatives": [
                    {
                        "words": words,
                        "transcript": heard.text,
                        "confidence": round(heard.confidence, 3),
                    }
                ]
            }
        },
        punctuated={"transcript": heard.text},
        user=user,
        duration=_duration(conversation, heard.start, heard.end),
    )


def transcript_response(heard: Heard, user: User) -> Frame:
    """Return words of a call."""
    return {
        "type": "transcript_response",
        "isFinal": heard.is_final,
        "payload": {"content": heard.text, "contentType": "text/plain"},
        "from": user,
    }


def message_item(conversation: Conversation, index: int, sender: User, *, sentiment: bool) -> Frame:
    """Return a message, as ``message_response`` has it."""
    message = conversation.analysis.messages[index]
    message_id = conversation.message_id(index)
    item: Frame = {
        "from": sender,
        "payload": {"content": message.text, "contentType": "text/plain"},
        "id": message_id,
        "channel": {"id": "realtime-api"},
        "metadata": {
            "disablePunctuation": True,
            "originalContent": message.text,
            # JSON text in a string, as the API has it.
            "words": json.dumps([_timed_word(conversation, word) for word in message.words]),
            "originalMessageId": message_id,
        },
        "dismissed": False,
        "duration": _duration(conversation, message.start, message.end),
    }
    if sentiment:
        item["sentiment"] = serializers.sentiment_item(message.sentiment)
    entities = [e for e in conversation.analysis.entities if e.message == index]
    if entities:
        item["entities"] = _entities(conversation, entities)
    return item


def insight_item(conversation: Conversation, insight: Insight) -> Frame:
    """Return an insight, as ``insight_response`` has it."""
    item: Frame = {
        "id": serializers.insight_id(conversation, insight),
        "confidence": round(insight.score, 3),
        "type": insight.kind,
        "payload": {"content": insight.text, "contentType": "text/plain"},
        "text": insight.text,
        "hints": [{"key": "confidenceScore", "value": f"{insight.score:.3f}"}],
        "tags": [_tag(entity) for entity in insight.entities],
        "assignee": person(insight.assignee),
        "from": person(insight.speaker),
        "dismissed": False,
        "entities": None,
        "messageReference": {"id": conversation.message_id(insight.message)},
    }
    if insight.due is not None:
        item["dueBy"] = {"value": format_instant(insight.due)}
    return item


def topic_item(conversation: Conversation, topic: Topic, added: Container[int]) -> Frame:
    """Return a topic, as ``topic_response`` has it, with those of its messages that are new."""
    return {
        "id": conversation.item_id("topic", topic.text),
        "messageReferences": [
            {"id": conversation.message_id(index), "relation": "text instance"}
            for index in topic.messages
            if index in added
        ],
        "phrases": topic.text,
        "rootWords": [{"text": topic.text.rpartition(" ")[2]}],
        "score": round(topic.score, 3),
        "type": "topic",
    }


def results(
    conversation: Conversation,
    first: int,
    senders: Sequence[User],
    *,
    insight_types: Iterable[str],
    sentiment: bool,
    intents: bool,
) -> list[Frame]:
    """Return the frames about the messages from ``first`` on, which have these senders."""
    analysis = conversation.analysis
    added = range(first, len(analysis.messages))
    kinds: Mapping[InsightKind, tuple[Insight, ...]] = {
        "question": analysis.questions,
        "action_item": analysis.action_items,
        "follow_up": analysis.follow_ups,
    }
    insights = [i for kind in insight_types for i in _of(kinds, kind) if i.message in added]
    insights.sort(key=lambda insight: insight.message)
    topics = [t for t in analysis.topics if t.messages[-1] >= first]
    matches = tuple(match for match in analysis.trackers if match.message in added)
    entities = [entity for entity in analysis.entities if entity.message in added]
    frames: list[Frame] = []
    items: list[JSON] = [
        message_item(conversation, index, sender, sentiment=sentiment)
        for index, sender in zip(added, senders, strict=True)
    ]
    if items:
        frames.append({"type": "message_response", "messages": items})
    if insights:
        found: list[JSON] = [insight_item(conversation, insight) for insight in insights]
        frames.append({"type": "insight_response", "insights": found})
    if topics:
        named: list[JSON] = [topic_item(conversation, topic, added) for topic in topics]
        frames.append({"type": "topic_response", "topics": named})
    if matches:
        tracked = _trackers(conversation, matches)
        frames.append({"type": "tracker_response", "isFinal": True, "trackers": tracked})
    if entities:
        frames.append({"type": "entity_response", "entities": _entities(conversation, entities)})
    if intents:
        frames += [
            {"type": "intent_response", "intent": {"intent": intent.kind, "type": "intent"}}
            for intent in find_intents(analysis.messages[first:])
        ]
    return frames


def person(speaker: Speaker | None) -> User:
    """Return a member of the conversation; ``{}`` for an unknown one."""
    return serializers.person(speaker, "userId")


def _of(kinds: Mapping[InsightKind, tuple[Insight, ...]], kind: str) -> tuple[Insight, ...]:
    return next((found for name, found in kinds.items() if name == kind), ())


def _trackers(conversation: Conversation, matches: tuple[TrackerMatch, ...]) -> list[JSON]:
    restricted = evolve(conversation.analysis, trackers=matches)
    return serializers.trackers(evolve(conversation, analysis=restricted))


def _entities(conversation: Conversation, entities: Iterable[Entity]) -> list[JSON]:
    """Return entities in groups, with the words that were detected."""
    grouped: dict[tuple[str, str], dict[str, list[JSON]]] = {}
    for entity in entities:
        message = conversation.analysis.messages[entity.message]
        kind = (entity.type, entity.custom_type or entity.type)
        grouped.setdefault(kind, {}).setdefault(entity.text, []).append(
            {
                **serializers.message_ref(conversation, entity.message, entity.offset),
                "startTime": format_offset(conversation.started_at, message.start),
                "endTime": format_offset(conversation.started_at, message.end),
            }
        )
    return [
        {
            "type": kind,
            "subType": sub_type,
            "category": "Custom" if kind == "custom" else "Managed",
            "matches": [
                {"detectedValue": text, "messageRefs": references}
                for text, references in found.items()
            ],
        }
        for (kind, sub_type), found in grouped.items()
    ]


def _tag(entity: Entity) -> JSON:
    value: Frame
    match entity.type:
        case "person":
            value = {"name": entity.value}
        case "date" | "datetime":
            value = {"datetime": entity.value}
        case _:
            value = {"value": entity.value}
    return {
        "type": entity.type,
        "text": entity.text,
        "beginOffset": entity.offset,
        "value": {"value": value},
    }


def _timed_word(conversation: Conversation, word: Word) -> Frame:
    return {"word": word.text, **_duration(conversation, word.start, word.end)}


def _duration(conversation: Conversation, start: float, end: float) -> Frame:
    return {
        "startTime": format_offset(conversation.started_at, start),
        "endTime": format_offset(conversation.started_at, end),
    }


def _seconds(offset: float) -> Frame:
    """Return a time in the form of a protobuf: clients parse both parts as text."""
    seconds, nanos = divmod(round(offset * 1e9), 10**9)
    return {"seconds": str(seconds), "nanos": str(nanos)}
