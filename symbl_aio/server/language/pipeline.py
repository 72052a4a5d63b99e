"""The analysis pipeline: utterances in, messages and insights out, without I/O.

The same input always gives the same output. The messages of an utterance depend on it and
on what was before it, so an append never changes earlier messages. Insights may change: a later
speaker may have a name that an earlier sentence mentions.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from attrs import frozen

from symbl_aio.server.language.actions import Action, ActionFinder
from symbl_aio.server.language.analysis_values import (
    Analysis,
    CustomEntity,
    Entity,
    Insight,
    InsightKind,
    Message,
    Speaker,
    Topic,
    Tracker,
    TrackerMatch,
    Utterance,
)
from symbl_aio.server.language.dates import find_dates
from symbl_aio.server.language.entities import EntityFinder, TrackerFinder
from symbl_aio.server.language.phrase_index import PhraseIndex
from symbl_aio.server.language.questions import question_score
from symbl_aio.server.language.sentences import TimedText, sentences
from symbl_aio.server.language.sentiment import sentiment_score
from symbl_aio.server.language.topics import TopicCounter

# Messages of one sentence in a conversation: about a day of speech. Each needs a kilobyte, and
# a text may be nothing but ends of sentences.
MAX_SENTENCES = 20_000


@frozen
class _Findings:
    """What the rules found in one message."""

    message: Message
    insights: tuple[Insight, ...] = ()
    entities: tuple[Entity, ...] = ()
    trackers: tuple[TrackerMatch, ...] = ()


class _Results:
    """The findings of all messages, by kind; what scores below ``threshold`` is left out."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._messages: list[Message] = []
        self._insights: dict[InsightKind, list[Insight]] = {
            "question": [],
            "action_item": [],
            "follow_up": [],
        }
        self._entities: list[Entity] = []
        self._trackers: list[TrackerMatch] = []

    def add(self, findings: _Findings) -> None:
        """Add the findings of the next message."""
        self._messages.append(findings.message)
        for insight in findings.insights:
            # Ids are derived from messages, so leaving insights out shifts none.
            if insight.score >= self._threshold:
                self._insights[insight.kind].append(insight)
        self._entities += findings.entities
        self._trackers += findings.trackers

    def analysis(self, topics: Iterable[Topic]) -> Analysis:
        """Return all of them, as they are now."""
        return Analysis(
            messages=tuple(self._messages),
            questions=tuple(self._insights["question"]),
            action_items=tuple(self._insights["action_item"]),
            follow_ups=tuple(self._insights["follow_up"]),
            topics=tuple(topic for topic in topics if topic.score >= self._threshold),
            entities=tuple(self._entities),
            trackers=tuple(self._trackers),
        )


class ConversationAnalyser:
    """Analyses a conversation that grows: an append costs what it adds.

    ``started_at`` is the timezone-aware time of second 0; "tomorrow" is relative to it, in
    its zone. Questions, action items, follow-ups and topics with a score below
    ``confidence_threshold`` are left out. Entities need ``detect_entities``, phrases of a
    message ``detect_phrases`` (API section 2.0); custom entities are always matched.
    """

    def __init__(
        self,
        *,
        started_at: datetime,
        custom_entities: Sequence[CustomEntity] = (),
        trackers: Sequence[Tracker] = (),
        confidence_threshold: float = 0.5,
        detect_entities: bool = False,
        detect_phrases: bool = False,
    ) -> None:
        self._started_at = started_at
        self._custom_entities = tuple(custom_entities)
        self._trackers = TrackerFinder(trackers)
        self._threshold = confidence_threshold
        self._detect_entities = detect_entities
        self._detect_phrases = detect_phrases
        # Two readers may ask at the same time, each in its thread.
        self._lock = threading.Lock()
        self._reset()

    def update(
        self, utterances: Sequence[Utterance], *, stop: Callable[[], bool] = lambda: False
    ) -> Analysis:
        """Return the analysis of all ``utterances``.

        Those of earlier calls are examined again only if they have the name of a new speaker.
        ``stop`` is called before each message: from the first True on, messages are returned
        without findings, and earlier ones with those that they have.
        """
        with self._lock:
            if not self._begin(utterances):
                self._reset()
            added = utterances[len(self._utterances) :]
            self._add_speakers(_speakers(added), stop)
            for utterance in added:
                self._utterances.append(utterance)
                spoken = TimedText(utterance.text, utterance.start, utterance.end)
                for piece in sentences([spoken], most=MAX_SENTENCES - len(self._found)):
                    stopped = stop()
                    message = Message(piece.text, utterance.speaker, piece.start, piece.end, 0.0)
                    findings = (
                        _Findings(message) if stopped else self._examine(message, len(self._found))
                    )
                    self._found.append(findings)
                    self._results.add(findings)
                    self._topics.add("" if stopped else piece.text, findings.message.sentiment)
            return self._results.analysis(self._topics.topics())

    def characters_to_examine(self, utterances: Sequence[Utterance]) -> int:
        """Return the most characters that ``update()`` would examine."""
        known = len(self._utterances) if self._begin(utterances) else 0
        # The name of a new speaker may be in every earlier message.
        if not self._speakers.keys() >= set(_speakers(utterances[known:])):
            known = 0
        return sum(len(utterance.text) for utterance in utterances[known:])

    def _begin(self, utterances: Sequence[Utterance]) -> bool:
        """Return whether the utterances begin with those of earlier calls."""
        return len(utterances) >= len(self._utterances) and all(
            map(operator.is_, self._utterances, utterances)
        )

    def _reset(self) -> None:
        self._speakers: dict[Speaker, None] = {}
        self._utterances: list[Utterance] = []
        self._found: list[_Findings] = []
        self._results = _Results(self._threshold)
        self._topics = TopicCounter(())
        self._set_speakers()

    def _add_speakers(self, speakers: Iterable[Speaker], stop: Callable[[], bool]) -> None:
        """Add speakers, and analyse again the earlier messages that mention a new name."""
        new = [speaker for speaker in dict.fromkeys(speakers) if speaker not in self._speakers]
        if not new:
            return
        self._speakers |= dict.fromkeys(new)
        self._set_speakers()
        names = [part for speaker in new for part in (speaker.name or "").split()]
        mentioned = PhraseIndex((name, None) for name in names)
        for index, findings in enumerate(self._found):
            if stop():
                break
            if any(mentioned.find(findings.message.text)):
                self._found[index] = self._examine(findings.message, index)
        self._results = _Results(self._threshold)
        for findings in self._found:
            self._results.add(findings)
        # The name of a speaker is no topic of the conversation.
        if self._topics.ignore(names) and not stop():
            self._topics = TopicCounter(s.name for s in self._speakers if s.name)
            for findings in self._found:
                message = findings.message
                self._topics.add("" if stop() else message.text, message.sentiment)

    def _set_speakers(self) -> None:
        self._actions = ActionFinder(self._speakers)
        self._entities = EntityFinder(self._speakers, self._custom_entities)

    def _examine(self, message: Message, index: int) -> _Findings:
        """Apply the rules for single messages."""
        text, speaker = message.text, message.speaker
        said_at = self._started_at + timedelta(seconds=message.start)
        score = question_score(text)
        action = self._actions.find(text, speaker)
        entities: tuple[Entity, ...] = ()
        if score or action is not None or self._detect_entities:
            entities = self._entities.find(text, index, said_at)
        insights = []
        if score:
            insights.append(Insight("question", text, score, index, speaker, entities=entities))
        if action is not None:
            insights.append(_insight(action, text, index, speaker, entities, said_at))
        phrases = (action.phrase,) if action is not None and self._detect_phrases else ()
        return _Findings(
            Message(text, speaker, message.start, message.end, sentiment_score(text), phrases),
            tuple(insights),
            self._entities.find_custom(text, index) + (entities if self._detect_entities else ()),
            self._trackers.find(text, index),
        )


def _speakers(utterances: Iterable[Utterance]) -> Iterator[Speaker]:
    return (utterance.speaker for utterance in utterances if utterance.speaker is not None)


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
