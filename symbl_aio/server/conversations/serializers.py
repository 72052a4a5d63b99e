"""The answers about conversations, in the shapes of API section 6.

They tell what was published so far: nothing of a job that has not completed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from symbl_aio.server.conversations.conversation import Bookmark, Conversation
from symbl_aio.server.http_json import JSON, after, instant_text
from symbl_aio.server.language.intents import SCORE, find_intents
from symbl_aio.server.language.models import Entity, Insight, Message, Speaker, Topic


def conversation(about: Conversation) -> dict[str, JSON]:
    """A conversation as the list and section 6.2 show it."""
    body: dict[str, JSON] = {
        "id": about.id,
        "type": "meeting",
        "name": about.name,
        "startTime": instant_text(about.started_at),
        "endTime": instant_text(about.ended_at),
        "members": members(about),
    }
    if about.metadata:
        body["metadata"] = dict(about.metadata)
    return body


def members(about: Conversation) -> list[JSON]:
    """Section 6.13."""
    return [_person(member, "email") for member in about.members.values()]


def messages(about: Conversation, *, verbose: bool, sentiment: bool) -> list[JSON]:
    """Section 6.5; ``verbose`` adds the words, ``sentiment`` the sentiment."""
    found: list[JSON] = []
    for index, message in enumerate(about.analysis.messages):
        item: dict[str, JSON] = {
            "id": about.message_id(index),
            "text": message.text,
            "from": _person(message.speaker, "email"),
            "startTime": after(about.started_at, message.start),
            "endTime": after(about.started_at, message.end),
            "timeOffset": round(message.start, 3),
            "duration": round(message.end - message.start, 3),
            "conversationId": about.id,
            "phrases": _phrases(message.phrases),
        }
        if sentiment:
            item["sentiment"] = _sentiment(message.sentiment)
        if verbose:
            item["words"] = _words(about, message)
        found.append(item)
    return found


def topics(about: Conversation, *, sentiment: bool, parents: bool) -> list[JSON]:
    """Section 6.6. With ``parents``, the wider topics that each is a case of."""

    def item(topic: Topic) -> dict[str, JSON]:
        body: dict[str, JSON] = {
            "id": about.item_id("topic", topic.text),
            "text": topic.text,
            "type": "topic",
            "score": round(topic.score, 3),
            "messageIds": [about.message_id(index) for index in topic.messages],
        }
        if sentiment:
            body["sentiment"] = _sentiment(topic.sentiment)
        if parents or sentiment:
            wider = topic.parents if parents else ()
            body["parentRefs"] = [{"type": "topic", "text": text} for text in wider]
        return body

    return [item(topic) for topic in about.analysis.topics]


def abstract_topics(about: Conversation) -> list[JSON]:
    """Section 6.21: the topics that others are cases of. No word that was not said."""
    found = about.analysis.topics
    wider = {text for topic in found for text in topic.parents}
    return [
        {
            "id": about.item_id("abstract_topic", topic.text),
            "text": topic.text,
            "type": "abstract_topic",
            "score": round(topic.score, 3),
            "messageIds": [about.message_id(index) for index in topic.messages],
        }
        for topic in found
        if topic.text in wider
    ]


def intents(about: Conversation) -> list[JSON]:
    """Section 6.20."""
    messages = about.analysis.messages
    return [
        {
            "id": about.item_id("intent", intent.kind, intent.message),
            "text": messages[intent.message].text,
            "type": "intent",
            "score": SCORE,
            "messageIds": [about.message_id(intent.message)],
            "intent": intent.kind,
            "alternatives": [],
            "entities": [],
        }
        for intent in find_intents(messages)
        if messages[intent.message].text not in about.notices
    ]


def summary(about: Conversation, chosen: Iterable[int]) -> list[JSON]:
    """Section 6.18: the chosen messages, in their own words."""
    return [
        {
            "id": about.item_id("summary", index),
            "text": about.analysis.messages[index].text,
            "messageRefs": [{"id": about.message_id(index)}],
            "startTime": after(about.started_at, about.analysis.messages[index].start),
            "endTime": after(about.started_at, about.analysis.messages[index].end),
        }
        for index in chosen
    ]


def bookmark(about: Conversation, mark: Bookmark, inside: Sequence[int]) -> dict[str, JSON]:
    """Section 6.20; ``inside`` are the indexes of the messages it marks. Whole seconds."""
    messages = about.analysis.messages
    body: dict[str, JSON] = {
        "id": mark.id,
        "label": mark.label,
        "description": mark.description,
        "user": mark.user,
        "beginTimeOffset": math.floor(mark.begin),
        "duration": math.ceil(mark.begin + mark.duration) - math.floor(mark.begin),
        "messageRefs": [
            {
                "id": about.message_id(index),
                "text": messages[index].text,
                "startTime": after(about.started_at, messages[index].start),
                "endTime": after(about.started_at, messages[index].end),
            }
            for index in inside
        ],
    }
    return {key: value for key, value in body.items() if value is not None}


def insights(about: Conversation, found: Iterable[Insight]) -> list[JSON]:
    """Questions, action items and follow-ups: sections 6.7, 6.8, 6.10, and mixed 6.11."""
    return [_insight(about, insight) for insight in found]


def comprehensive(about: Conversation) -> list[JSON]:
    """Section 6.9: action items with ``messageRefs``."""
    found: list[JSON] = []
    for insight in about.analysis.action_items:
        body = _insight(about, insight)
        del body["messageIds"]
        found.append({**body, "messageRefs": [{"id": about.message_id(insight.message)}]})
    return found


def _insight(about: Conversation, insight: Insight) -> dict[str, JSON]:
    body: dict[str, JSON] = {
        "id": insight_id(about, insight),
        "text": insight.text,
        "type": insight.kind,
        "score": round(insight.score, 3),
        "messageIds": [about.message_id(insight.message)],
        "from": _person(insight.speaker, "userId"),
    }
    if insight.kind == "question":
        return body
    body["entities"] = [_insight_entity(entity) for entity in insight.entities]
    body["phrases"] = _phrases(insight.phrases)
    body["definitive"] = insight.definitive
    body["assignee"] = _person(insight.assignee, "email")
    if insight.due is not None:
        body["dueBy"] = instant_text(insight.due)
    return body


def insight_id(about: Conversation, insight: Insight) -> str:
    return about.item_id(insight.kind, insight.message)


def entities(about: Conversation) -> list[JSON]:
    """Section 6.12, in the flat shape of the documentation; equal ones are one with many refs."""
    merged: dict[tuple[str | None, ...], list[Entity]] = {}
    for entity in about.analysis.entities:
        key = (entity.type, entity.custom_type, entity.value)
        merged.setdefault(key, []).append(entity)
    return [_entity(about, same) for same in merged.values()]


def _entity(about: Conversation, same: list[Entity]) -> dict[str, JSON]:
    first = same[0]
    body: dict[str, JSON] = {"type": first.type}
    if first.custom_type is not None:
        body["customType"] = first.custom_type
    body["value"] = first.value
    body["text"] = first.text
    body["messageRefs"] = [message_ref(about, e.message, e.offset) for e in same]
    return body


def message_ref(about: Conversation, index: int, offset: int) -> dict[str, JSON]:
    """Where something was said: the message and the character in it."""
    text = about.analysis.messages[index].text
    return {"id": about.message_id(index), "text": text, "offset": offset}


def trackers(about: Conversation) -> list[JSON]:
    """Section 6.17: a bare list of the trackers that matched."""
    grouped: dict[str, dict[str, list[JSON]]] = {}
    insights_of: dict[int, list[Insight]] = {}
    analysis = about.analysis
    for insight in (*analysis.questions, *analysis.action_items, *analysis.follow_ups):
        insights_of.setdefault(insight.message, []).append(insight)
    insight_refs: dict[tuple[str, str], list[JSON]] = {}
    ids: dict[str, str | None] = {}
    for match in analysis.trackers:
        name = match.tracker.name
        ids.setdefault(name, match.tracker.id)
        refs = grouped.setdefault(name, {}).setdefault(match.value, [])
        refs.append(message_ref(about, match.message, match.offset))
        insight_refs.setdefault((name, match.value), []).extend(
            {
                "id": insight_id(about, insight),
                "type": insight.kind,
                "text": insight.text,
                "offset": match.offset,
            }
            for insight in insights_of.get(match.message, ())
        )
    return [
        {
            "id": ids[name] or about.item_id("tracker", name),
            "name": name,
            "matches": [
                {
                    "type": "vocabulary",
                    "value": value,
                    "messageRefs": refs,
                    "insightRefs": insight_refs[name, value],
                }
                for value, refs in matches.items()
            ],
        }
        for name, matches in grouped.items()
    ]


def analytics(about: Conversation) -> dict[str, JSON]:
    """Section 6.16. Unidentified speech is booked under a speaker called "Unknown"."""
    found = about.analysis.analytics
    total = max(about.duration, found.total)
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
    for one in found.speakers:
        spoken = one.talk + one.listen
        overlap: dict[str, JSON] = {}
        if one.overlaps:
            overlap["overlapDuration"] = round(one.overlap, 3)
            overlap["overlappingMembers"] = [
                {
                    **_member(about, other.speaker),
                    "percent": _percent(other.seconds, one.talk),
                    "seconds": round(other.seconds, 3),
                }
                for other in one.overlaps
            ]
        people.append(
            {
                **_member(about, one.speaker),
                "pace": {"wpm": round(one.pace)},
                "talkTime": {
                    "percentage": _percent(one.talk, spoken),
                    "seconds": round(one.talk, 3),
                },
                "listenTime": {
                    "percentage": _percent(one.listen, spoken),
                    "seconds": round(one.listen, 3),
                },
                "overlap": overlap,
            }
        )
    return {"metrics": metrics, "members": people}


def _member(about: Conversation, speaker: Speaker | None) -> dict[str, JSON]:
    if speaker is None:
        return {"id": about.item_id("member", "unknown"), "name": "Unknown"}
    return _person(speaker, "userId")


def _person(speaker: Speaker | None, address: str) -> dict[str, JSON]:
    if speaker is None:
        return {}
    fields: Mapping[str, JSON] = {
        "id": speaker.id,
        "name": speaker.name,
        address: speaker.email,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _phrases(phrases: Iterable[str]) -> list[JSON]:
    return [{"type": "action_phrase", "text": phrase} for phrase in phrases]


def _sentiment(score: float) -> dict[str, JSON]:
    suggested = "negative" if score < -0.3 else "positive" if score > 0.3 else "neutral"
    return {"polarity": {"score": round(score, 3)}, "suggested": suggested}


def _words(about: Conversation, message: Message) -> list[JSON]:
    return [
        {
            "word": word.text,
            "startTime": after(about.started_at, word.start),
            "endTime": after(about.started_at, word.end),
            "timeOffset": round(word.start, 3),
            "duration": round(word.end - word.start, 3),
        }
        for word in message.words
    ]


def _insight_entity(entity: Entity) -> dict[str, JSON]:
    value: JSON = entity.value
    if entity.type == "person":
        value = {"name": entity.value}
    return {"type": entity.type, "text": entity.text, "offset": entity.offset, "value": value}


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 3) if whole > 0 else 0.0
