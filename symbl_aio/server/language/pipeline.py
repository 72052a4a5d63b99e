"""The analysis pipeline: utterances in, messages and insights out, without I/O or a clock.

The same input always gives the same output. The messages of an utterance depend on it
alone, so an append never changes earlier messages. Insights may change: a later speaker
may have a name that an earlier sentence mentions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from symbl_aio.server.language.dates import find_dates
from symbl_aio.server.language.entities import EntityFinder, find_tracker_phrases
from symbl_aio.server.language.questions_and_actions import Action, ActionFinder, question_score
from symbl_aio.server.language.sentences import TimedText, sentences, words
from symbl_aio.server.language.sentiment import sentiment_score
from symbl_aio.server.language.talk_time import measure_talk_time
from symbl_aio.server.language.topics import find_topics
from symbl_aio.server.language.values import (
    Analysis,
    CustomEntity,
    Entity,
    Insight,
    Message,
    Speaker,
    Tracker,
    TrackerMatch,
    Utterance,
)


def analyse(
    utterances: Iterable[Utterance],
    *,
    started_at: datetime,
    custom_entities: Sequence[CustomEntity] = (),
    trackers: Sequence[Tracker] = (),
    confidence_threshold: float = 0.5,
    detect_entities: bool = False,
    detect_phrases: bool = False,
) -> Analysis:
    """Find sentences, questions, action items, follow-ups, topics, entities and talk times.

    ``started_at`` is the timezone-aware time of second 0; "tomorrow" is relative to it, in
    its zone. Questions, action items, follow-ups and topics with a score below
    ``confidence_threshold`` are left out. Entities need ``detect_entities``, phrases of a
    message ``detect_phrases`` (API section 2.0); custom entities are always matched.
    """
    utterances = tuple(utterances)
    speakers = tuple(dict.fromkeys(u.speaker for u in utterances if u.speaker is not None))
    actions, entities = ActionFinder(speakers), EntityFinder(speakers, custom_entities)
    # The name of a speaker is no topic of the conversation.
    names = [speaker.name for speaker in speakers if speaker.name]
    messages: list[Message] = []
    insights: list[Insight] = []
    found: list[Entity] = []
    matches: list[TrackerMatch] = []
    for utterance in utterances:
        for piece in sentences([TimedText(utterance.text, utterance.start, utterance.end)]):
            index, text, speaker = len(messages), piece.text, utterance.speaker
            said_at = started_at + timedelta(seconds=piece.start)
            entities_here = entities.find(text, index, said_at)
            found += entities.find_custom(text, index)
            found += entities_here if detect_entities else ()
            matches += find_tracker_phrases(text, index, trackers)
            if score := question_score(text):
                insights.append(
                    Insight("question", text, score, index, speaker, entities=entities_here)
                )
            action = actions.find(text, speaker)
            if action is not None:
                insights.append(_insight(action, text, index, speaker, entities_here, said_at))
            phrases = (action.phrase,) if action is not None and detect_phrases else ()
            polarity = sentiment_score(text)
            messages.append(
                Message(text, speaker, piece.start, piece.end, words(piece), polarity, phrases)
            )
    # Ids are derived from messages, so leaving insights out shifts none.
    kept = [insight for insight in insights if insight.score >= confidence_threshold]
    return Analysis(
        messages=tuple(messages),
        questions=tuple(i for i in kept if i.kind == "question"),
        action_items=tuple(i for i in kept if i.kind == "action_item"),
        follow_ups=tuple(i for i in kept if i.kind == "follow_up"),
        topics=tuple(t for t in find_topics(messages, names) if t.score >= confidence_threshold),
        entities=tuple(found),
        trackers=tuple(matches),
        analytics=measure_talk_time(utterances),
    )


def _insight(
    action: Action,
    text: str,
    index: int,
    speaker: Speaker | None,
    entities: tuple[Entity, ...],
    said_at: datetime,
) -> Insight:
    # A day in the past is no due date: "I'll send what we had yesterday".
    due_dates = [m.at for m in find_dates(text, said_at) if m.at.date() >= said_at.date()]
    return Insight(
        "follow_up" if action.follow_up else "action_item",
        text,
        action.score,
        index,
        speaker,
        assignee=action.assignee,
        due=due_dates[0] if due_dates else None,
        definitive=bool(due_dates),
        phrases=(action.phrase,),
        entities=entities,
    )
