"""Input and output values of the analysis, without ids.

A value refers to a message by its index in ``Analysis.messages``; the serializers derive
ids. All times are seconds from the start of the conversation, except due dates, which
are timezone-aware.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

from attrs import frozen

InsightKind = Literal["question", "action_item", "follow_up"]

_NON_SPACE = re.compile(r"\S+")


@frozen
class Speaker:
    """A speaker; ``id`` is the same for all utterances of a person in a conversation.

    It is empty for a person who was only named.
    """

    id: str
    name: str | None = None
    email: str | None = None


@frozen
class Utterance:
    """Speech of one speaker without interruption, perhaps several sentences.

    ``speaker`` is None if unknown.
    """

    text: str
    speaker: Speaker | None
    start: float
    end: float


@frozen
class CustomEntity:
    """A text to match literally, from the ``entities`` parameter (API section 2.0)."""

    custom_type: str
    text: str
    value: str | None = None


@frozen
class Tracker:
    """A named set of phrases, from the ``trackers`` parameter (API section 2.0).

    ``excluded``: phrases in which no phrase of the vocabulary counts.
    """

    name: str
    vocabulary: tuple[str, ...]
    id: str | None = None
    excluded: tuple[str, ...] = ()


@frozen
class Word:
    text: str
    start: float
    end: float


@frozen
class Message:
    """One sentence. ``sentiment`` is from -1 (bad) to 1 (good); ``phrases`` are on request only."""

    text: str
    speaker: Speaker | None
    start: float
    end: float
    sentiment: float
    phrases: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[Word, ...]:
        """The words; time is assumed to pass evenly with the characters.

        Punctuation stays with its word. Computed at each use: an hour of speech has ten
        thousand words, and few callers read them.
        """
        per_character = (self.end - self.start) / max(len(self.text), 1)
        return tuple(
            Word(
                match[0],
                round(self.start + match.start() * per_character, 3),
                round(self.start + match.end() * per_character, 3),
            )
            for match in _NON_SPACE.finditer(self.text)
        )


@frozen
class Entity:
    """A detail found in a message; ``offset`` counts characters of the message's text.

    ``value`` is the normal form (``2026-03-01`` for "tomorrow"), ``text`` the words used.
    """

    type: str
    value: str
    text: str
    message: int
    offset: int
    custom_type: str | None = None


@frozen
class Insight:
    """A question, action item or follow-up: the whole sentence of message ``message``.

    ``score`` ranks only; it is not a probability. The fields after ``speaker`` are empty for
    questions. ``definitive``: the sentence contains a due date.
    """

    kind: InsightKind
    text: str
    score: float
    message: int
    speaker: Speaker | None
    assignee: Speaker | None = None
    due: datetime | None = None
    definitive: bool = False
    phrases: tuple[str, ...] = ()
    entities: tuple[Entity, ...] = ()


@frozen
class Topic:
    """A topic. ``score`` is above 0.5 and at most 1, best first; it ranks only.

    ``parents``: the texts of wider topics, of which this one is a special case.
    """

    text: str
    score: float
    messages: tuple[int, ...]
    sentiment: float
    parents: tuple[str, ...] = ()


@frozen
class TrackerMatch:
    """A phrase of a tracker, found in a message at character ``offset``.

    -1 if the words of the message are other forms of those of the phrase.
    """

    tracker: Tracker
    value: str
    message: int
    offset: int


@frozen
class Overlap:
    """Seconds during which ``speaker`` spoke at the same time."""

    speaker: Speaker | None
    seconds: float


@frozen
class SpeakerTime:
    """The times of one speaker; ``speaker`` None collects all unknown speakers.

    ``pace`` is words per minute of talk, 0 if the talk has no measurable length.
    """

    speaker: Speaker | None
    talk: float
    listen: float
    pace: float
    overlap: float
    overlaps: tuple[Overlap, ...]


@frozen
class Analytics:
    """Talk, silence and overlap in seconds; ``total`` is from 0 to the end of the last word."""

    total: float
    talk: float
    silence: float
    overlap: float
    speakers: tuple[SpeakerTime, ...]


@frozen
class Analysis:
    """All results but the talk times. Tuples are in message order; topics are best first."""

    messages: tuple[Message, ...]
    questions: tuple[Insight, ...]
    action_items: tuple[Insight, ...]
    follow_ups: tuple[Insight, ...]
    topics: tuple[Topic, ...]
    entities: tuple[Entity, ...]
    trackers: tuple[TrackerMatch, ...]
