"""JSON bodies of the responses about conversations. API section 6.

They contain published results only: nothing of a job that has not completed.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import evolve

from symbl_aio.server.conversations.conversation import Bookmark, Conversation, ConversationHead
from symbl_aio.server.http_json import JSON, LongList, format_instant, format_offset
from symbl_aio.server.language.analysis_values import Entity, Insight, Message, Speaker, Topic
from symbl_aio.server.language.call_intents import SCORE, find_intents
from symbl_aio.server.language.redaction import Redactor

logger = logging.getLogger("symbl_aio.server")


def conversation_item(conversation: ConversationHead) -> dict[str, JSON]:
    """Return a conversation as the list and section 6.2 show it."""
    body: dict[str, JSON] = {
        "id": conversation.id,
        "type": "meeting",
        "name": conversation.name,
        "startTime": format_instant(conversation.started_at),
        "endTime": format_instant(conversation.ended_at),
        "members": members(conversation),
    }
    if conversation.metadata:
        body["metadata"] = dict(conversation.metadata)
    return body


def conversation_items(conversations: Iterable[ConversationHead]) -> Iterator[JSON]:
    """Yield conversations as the list shows them; one that cannot be shown is left out."""
    for conversation in conversations:
        # The callers of all others must not pay for one record.
        try:
            item = conversation_item(conversation)
        except (ValueError, OverflowError, TypeError) as error:
            logger.error("conversation %s is not listed: %s", conversation.id, type(error).__name__)
        else:
            yield item


def members(conversation: ConversationHead) -> list[JSON]:
    """Return the members (6.13)."""
    return [person(member, "email") for member in list(conversation.members.values())]


def messages(
    conversation: Conversation,
    *,
    verbose: bool,
    sentiment: bool,
    redactor: Redactor | None = None,
) -> Iterator[JSON]:
    """Yield the messages (6.5) by time; ``verbose`` adds words, ``sentiment`` adds sentiment.

    ``redactor`` masks the texts, and what repeats a part of them.
    """
    for index in conversation.message_order:
        message = conversation.analysis.messages[index]
        if redactor is not None:
            message = _redacted(message, redactor)
        item: dict[str, JSON] = {
            "id": conversation.message_id(index),
            "text": message.text,
            "from": person(message.speaker, "email"),
            "startTime": format_offset(conversation.started_at, message.start),
            "endTime": format_offset(conversation.started_at, message.end),
            "timeOffset": round(message.start, 3),
            "duration": round(message.end - message.start, 3),
            "conversationId": conversation.id,
            "phrases": _phrases(message.phrases),
        }
        if sentiment:
            item["sentiment"] = sentiment_item(message.sentiment)
        if verbose:
            item["words"] = _words(conversation, message)
        yield item


def topics(conversation: Conversation, *, sentiment: bool, parents: bool) -> list[JSON]:
    """Return the topics (6.6); ``parents`` adds the wider topics of each."""

    def item(topic: Topic) -> dict[str, JSON]:
        body: dict[str, JSON] = {
            "id": conversation.item_id("topic", topic.text),
            "text": topic.text,
            "type": "topic",
            "score": round(topic.score, 3),
            "messageIds": [conversation.message_id(index) for index in topic.messages],
        }
        if sentiment:
            body["sentiment"] = sentiment_item(topic.sentiment)
        if parents or sentiment:
            wider = topic.parents if parents else ()
            body["parentRefs"] = [{"type": "topic", "text": text} for text in wider]
        return body

    return [item(topic) for topic in conversation.analysis.topics]


def abstract_topics(conversation: Conversation) -> list[JSON]:
    """Return the topics that are parents of others (6.21); no new wording is generated."""
    found = conversation.analysis.topics
    wider = {text for topic in found for text in topic.parents}
    return [
        {
            "id": conversation.item_id("abstract_topic", topic.text),
            "text": topic.text,
            "type": "abstract_topic",
            "score": round(topic.score, 3),
            "messageIds": [conversation.message_id(index) for index in topic.messages],
        }
        for topic in found
        if topic.text in wider
    ]


def intents(conversation: Conversation) -> list[JSON]:
    """Return the intents (6.20)."""
    messages = conversation.analysis.messages
    return [
        {
            "id": conversation.item_id("intent", intent.kind, intent.message),
            "text": messages[intent.message].text,
            "type": "intent",
            "score": SCORE,
            "messageIds": [conversation.message_id(intent.message)],
            "intent": intent.kind,
            "alternatives": [],
            "entities": [],
        }
        for intent in find_intents(messages)
        if messages[intent.message].text not in conversation.notices
    ]


def summary(conversation: Conversation, chosen: Iterable[int]) -> list[JSON]:
    """Return the chosen messages, unchanged and by time, as a summary (6.18)."""
    messages = conversation.analysis.messages
    return [
        {
            "id": conversation.item_id("summary", index),
            "text": messages[index].text,
            "messageRefs": [{"id": conversation.message_id(index)}],
            "startTime": format_offset(conversation.started_at, messages[index].start),
            "endTime": format_offset(conversation.started_at, messages[index].end),
        }
        for index in sorted(chosen, key=lambda index: messages[index].start)
    ]


def bookmark_item(
    conversation: Conversation, bookmark: Bookmark, message_indexes: Sequence[int]
) -> dict[str, JSON]:
    """Return a bookmark (6.20) in whole seconds, with the messages at ``message_indexes``."""
    messages = conversation.analysis.messages
    body: dict[str, JSON] = {
        "id": bookmark.id,
        "label": bookmark.label,
        "description": bookmark.description,
        "user": bookmark.user,
        # Rounded outwards, so that whole seconds cover the range.
        "beginTimeOffset": math.floor(bookmark.begin),
        "duration": math.ceil(bookmark.begin + bookmark.duration) - math.floor(bookmark.begin),
        "messageRefs": [
            {
                "id": conversation.message_id(index),
                "text": messages[index].text,
                "startTime": format_offset(conversation.started_at, messages[index].start),
                "endTime": format_offset(conversation.started_at, messages[index].end),
            }
            for index in message_indexes
        ],
    }
    return {key: value for key, value in body.items() if value is not None}


def insights(conversation: Conversation, found: Iterable[Insight]) -> Iterator[JSON]:
    """Yield questions, action items and follow-ups (6.7, 6.8, 6.10), or all of them (6.11)."""
    return (_insight(conversation, insight) for insight in found)


def comprehensive_action_items(conversation: Conversation) -> Iterator[JSON]:
    """Yield action items with ``messageRefs`` (6.9)."""
    for insight in conversation.analysis.action_items:
        body = _insight(conversation, insight)
        # This call refers to messages by messageRefs only.
        del body["messageIds"]
        yield {**body, "messageRefs": [{"id": conversation.message_id(insight.message)}]}


def _insight(conversation: Conversation, insight: Insight) -> dict[str, JSON]:
    body: dict[str, JSON] = {
        "id": insight_id(conversation, insight),
        "text": insight.text,
        "type": insight.kind,
        "score": round(insight.score, 3),
        "messageIds": [conversation.message_id(insight.message)],
        "from": person(insight.speaker, "userId"),
    }
    # A question has none of the fields below.
    if insight.kind == "question":
        return body
    assignee = insight.assignee.name if insight.assignee is not None else None
    body["entities"] = [_insight_entity(entity, assignee) for entity in insight.entities]
    body["phrases"] = _phrases(insight.phrases)
    body["definitive"] = insight.definitive
    body["assignee"] = person(insight.assignee, "email")
    if insight.due is not None:
        body["dueBy"] = format_instant(insight.due)
    return body


def insight_id(conversation: Conversation, insight: Insight) -> str:
    return conversation.item_id(insight.kind, insight.message)


def entities(conversation: Conversation) -> Iterator[JSON]:
    """Yield entities in the documented flat shape (6.12); equal ones are merged."""
    merged: dict[tuple[str | None, ...], list[Entity]] = {}
    for entity in conversation.analysis.entities:
        # The words too, but for capitals: the text of an entity stands at each of its offsets.
        key = (entity.type, entity.custom_type, entity.value, entity.text.casefold())
        merged.setdefault(key, []).append(entity)
    return (_entity(conversation, same) for same in merged.values())


def _entity(conversation: Conversation, same: list[Entity]) -> dict[str, JSON]:
    first = same[0]
    body: dict[str, JSON] = {"type": first.type}
    if first.custom_type is not None:
        body["customType"] = first.custom_type
    body["value"] = first.value
    body["text"] = first.text
    body["messageRefs"] = LongList(message_ref(conversation, e.message, e.offset) for e in same)
    return body


def message_ref(conversation: Conversation, index: int, offset: int) -> dict[str, JSON]:
    """Return a reference to a message and to a character in it."""
    text = conversation.analysis.messages[index].text
    return {"id": conversation.message_id(index), "text": text, "offset": offset}


def trackers(conversation: Conversation) -> list[JSON]:
    """Return a bare list of the trackers that matched (6.17)."""
    grouped: dict[str, dict[str, LongList]] = {}
    insights_of: dict[int, list[Insight]] = {}
    analysis = conversation.analysis
    for insight in (*analysis.questions, *analysis.action_items, *analysis.follow_ups):
        insights_of.setdefault(insight.message, []).append(insight)
    insight_refs: dict[tuple[str, str], LongList] = {}
    ids: dict[str, str | None] = {}
    for match in analysis.trackers:
        name = match.tracker.name
        ids.setdefault(name, match.tracker.id)
        refs = grouped.setdefault(name, {}).setdefault(match.value, LongList())
        refs.append(message_ref(conversation, match.message, match.offset))
        insight_refs.setdefault((name, match.value), LongList()).extend(
            {
                "id": insight_id(conversation, insight),
                "type": insight.kind,
                "text": insight.text,
                "offset": match.offset,
            }
            for insight in insights_of.get(match.message, ())
        )
    return [
        {
            # A tracker sent with the submission has no stored id.
            "id": ids[name] or conversation.item_id("tracker", name),
            "name": name,
            "matches": LongList(
                {
                    "type": "vocabulary",
                    "value": value,
                    "messageRefs": refs,
                    "insightRefs": insight_refs[name, value],
                }
                for value, refs in matches.items()
            ),
        }
        for name, matches in grouped.items()
    ]


def analytics(conversation: Conversation) -> dict[str, JSON]:
    """Return talk time and silence (6.16); unidentified speech belongs to "Unknown"."""
    found = conversation.analytics
    # A recording may continue after its last word.
    total = max(conversation.duration, found.total)
    silence = total - found.talk
    metrics: list[JSON] = [
        {"type": kind, "percent": _percent(seconds, total), "seconds": round(seconds, 3)}
        for kind, seconds in (
            ("total_silence", silence),
            ("total_talk_time", found.talk),
            ("total_overlap", found.overlap),
        )
    ]
    people: list[JSON] = []
    for times in found.speakers:
        spoken = times.talk + times.listen
        overlap: dict[str, JSON] = {}
        if times.overlaps:
            overlap["overlapDuration"] = round(times.overlap, 3)
            overlap["overlappingMembers"] = [
                {
                    **_member(conversation, overlapped.speaker),
                    "percent": _percent(overlapped.seconds, times.talk),
                    "seconds": round(overlapped.seconds, 3),
                }
                for overlapped in times.overlaps
            ]
        people.append(
            {
                **_member(conversation, times.speaker),
                "pace": {"wpm": round(times.pace)},
                "talkTime": {
                    "percentage": _percent(times.talk, spoken),
                    "seconds": round(times.talk, 3),
                },
                "listenTime": {
                    "percentage": _percent(times.listen, spoken),
                    "seconds": round(times.listen, 3),
                },
                "overlap": overlap,
            }
        )
    return {"metrics": metrics, "members": people}


def _member(conversation: Conversation, speaker: Speaker | None) -> dict[str, JSON]:
    if speaker is None:
        return {"id": conversation.item_id("member", "unknown"), "name": "Unknown"}
    return person(speaker, "userId")


def person(speaker: Speaker | None, address: str) -> dict[str, JSON]:
    """Return a member, with the email under the key ``address``; ``{}`` for an unknown one.

    A person who was only named has no id.
    """
    if speaker is None:
        return {}
    fields: Mapping[str, JSON] = {
        "id": speaker.id or None,
        "name": speaker.name,
        address: speaker.email,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _redacted(message: Message, redactor: Redactor) -> Message:
    """Return the message without personal data; its words are those of its text."""
    redact = redactor.redact
    return evolve(message, text=redact(message.text), phrases=tuple(map(redact, message.phrases)))


def _phrases(phrases: Iterable[str]) -> list[JSON]:
    return [{"type": "action_phrase", "text": phrase} for phrase in phrases]


def sentiment_item(score: float) -> dict[str, JSON]:
    """Return a sentiment from -1 to 1 with its word."""
    suggested = "negative" if score < -0.3 else "positive" if score > 0.3 else "neutral"
    return {"polarity": {"score": round(score, 3)}, "suggested": suggested}


def _words(conversation: Conversation, message: Message) -> list[JSON]:
    return [
        {
            "word": word.text,
            "startTime": format_offset(conversation.started_at, word.start),
            "endTime": format_offset(conversation.started_at, word.end),
            "timeOffset": round(word.start, 3),
            "duration": round(word.end - word.start, 3),
        }
        for word in message.words
    ]


def _insight_entity(entity: Entity, assignee: str | None) -> dict[str, JSON]:
    value: JSON = entity.value
    # Inside an insight a person is an object, unlike in the list of entities.
    if entity.type == "person":
        is_assignee: dict[str, JSON] = {"assignee": True} if entity.value == assignee else {}
        value = {"name": entity.value, **is_assignee}
    return {"type": entity.type, "text": entity.text, "offset": entity.offset, "value": value}


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 3) if whole > 0 else 0.0
