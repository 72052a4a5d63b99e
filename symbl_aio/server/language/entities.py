"""Find entities by their form: addresses, numbers, dates, names; and phrases of trackers.

Persons come only from the speakers of the conversation and from "my name is"; a capital
letter proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from weakref import WeakValueDictionary

from attrs import frozen

from symbl_aio.server.language.analysis_values import (
    CustomEntity,
    Entity,
    Speaker,
    Tracker,
    TrackerMatch,
)
from symbl_aio.server.language.dates import find_dates
from symbl_aio.server.language.phrase_index import PhraseIndex
from symbl_aio.server.language.word_stems import stem

# Each entity and match repeats the text of its message in an answer: without a limit, a
# message of nothing but numbers would make answers many times its own size.
MAX_IN_MESSAGE = 50


class EntityFinder:
    """Finds entities; ``speakers`` are those of the conversation."""

    def __init__(self, speakers: Iterable[Speaker], custom: Sequence[CustomEntity]) -> None:
        people: dict[str, str] = {}
        for speaker in speakers:
            if speaker.name and (parts := speaker.name.split()):
                # First names too; of two speakers with the same one, the first.
                people.setdefault(parts[0], speaker.name)
                people[" ".join(parts)] = speaker.name
        self._people = PhraseIndex(people.items(), ignore_case=False)
        self._custom = _custom_entity_index(tuple(custom))

    def find(self, text: str, message: int, said_at: datetime) -> tuple[Entity, ...]:
        """Return the entities of a message in order. Of overlapping ones, the first and longest."""
        found = [*_find_forms(text, message)]
        found += [
            Entity(moment.kind, moment.value, moment.text, message, moment.offset)
            for moment in find_dates(text, said_at)
        ]
        found += [
            Entity("person", person.value, text[person.start : person.end], message, person.start)
            for person in self._people.find(text)
        ]
        return _without_overlaps(found)[:MAX_IN_MESSAGE]

    def find_custom(self, text: str, message: int) -> tuple[Entity, ...]:
        """Return the custom entities of a message that match as whole words."""
        found = [
            Entity(
                "custom",
                match.value.value or match.value.text,
                text[match.start : match.end],
                message,
                match.start,
                match.value.custom_type,
            )
            for match in islice(self._custom.find(text), MAX_IN_MESSAGE)
        ]
        return tuple(sorted(found, key=lambda entity: entity.offset))


class TrackerFinder:
    """Finds the phrases of trackers, in any case and with any inflection of their words."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._phrases = _tracker_index(tuple(trackers))

    def find(self, text: str, message: int) -> tuple[TrackerMatch, ...]:
        """Return the phrases in a message, in the order of the trackers and their vocabulary."""
        matches = list(self._phrases.find(text))
        excluded: dict[Tracker, list[tuple[int, int]]] = {}
        for match in matches:
            if match.value.excluded:
                excluded.setdefault(match.value.tracker, []).append((match.start, match.end))
        found = [
            match
            for match in matches
            if not match.value.excluded
            and not any(
                start <= match.start and match.end <= end
                for start, end in excluded.get(match.value.tracker, ())
            )
        ]
        found.sort(key=lambda match: (match.value.number, match.start))
        return tuple(
            TrackerMatch(
                match.value.tracker,
                match.value.phrase,
                message,
                match.start if match.value.is_exactly(text[match.start : match.end]) else _SIMILAR,
            )
            for match in found[:MAX_IN_MESSAGE]
        )


@frozen
class _TrackedPhrase:
    """A phrase of a tracker, the ``number``-th of all. ``excluded``: nothing counts in it."""

    number: int
    tracker: Tracker
    phrase: str
    excluded: bool

    def is_exactly(self, text: str) -> bool:
        return _plain(text) == _plain(self.phrase)


def _plain(text: str) -> str:
    return " ".join(text.replace("\u2019", "'").casefold().split())


# The offset of words that are similar to those of a phrase, and not the same (API section 6.17).
_SIMILAR = -1


# Conversations of one account share their trackers and entities: an index is built once, and
# leaves memory with the last conversation in it.
_TRACKER_INDEXES: WeakValueDictionary[tuple[Tracker, ...], PhraseIndex[_TrackedPhrase]] = (
    WeakValueDictionary()
)
_ENTITY_INDEXES: WeakValueDictionary[tuple[CustomEntity, ...], PhraseIndex[CustomEntity]] = (
    WeakValueDictionary()
)


def _tracker_index(trackers: tuple[Tracker, ...]) -> PhraseIndex[_TrackedPhrase]:
    if (known := _TRACKER_INDEXES.get(trackers)) is not None:
        return known
    phrases = (
        (tracker, phrase, excluded)
        for tracker in trackers
        for phrases, excluded in ((tracker.vocabulary, False), (tracker.excluded, True))
        for phrase in phrases
    )
    index = _TRACKER_INDEXES[trackers] = PhraseIndex(
        (
            (phrase, _TrackedPhrase(number, tracker, phrase, excluded))
            for number, (tracker, phrase, excluded) in enumerate(phrases)
        ),
        stem=stem,
    )
    return index


def _custom_entity_index(entities: tuple[CustomEntity, ...]) -> PhraseIndex[CustomEntity]:
    if (known := _ENTITY_INDEXES.get(entities)) is not None:
        return known
    index = _ENTITY_INDEXES[entities] = PhraseIndex((entity.text, entity) for entity in entities)
    return index


def _find_forms(text: str, message: int) -> Iterator[Entity]:
    for kind, pattern in _ENTITY_PATTERNS:
        for match in pattern.finditer(text):
            value = match["value"]
            yield Entity(kind, _normal_form(kind, value), value, message, match.start("value"))
    for match in _AMOUNT.finditer(text):
        kind = "percentage" if match["percent"] else "number"
        kind = "money" if match["sign"] or match["unit"] else kind
        yield Entity(kind, _normal_form(kind, match[0]), match[0], message, match.start())


def _normal_form(kind: str, text: str) -> str:
    match kind:
        case "phone_number":
            return re.sub(r"[^\d+]", "", text)
        case "number":
            return text.replace(",", "")
        case "email":
            return text.lower()
        case _:
            return text


def _without_overlaps(found: list[Entity]) -> tuple[Entity, ...]:
    kept: list[Entity] = []
    end = 0
    # Of entities at the same offset, the longest comes first.
    for entity in sorted(found, key=lambda entity: (entity.offset, -len(entity.text))):
        if entity.offset >= end:
            kept.append(entity)
            end = entity.offset + len(entity.text)
    return tuple(kept)


def _entity_pattern(pattern: str) -> re.Pattern[str]:
    # Not inside a longer word, number or address.
    return re.compile(rf"(?<![\w.@/])(?P<value>{pattern})(?![\w@])", re.IGNORECASE)


_SCALE = r"hundred|thousand|million|billion"
# One pattern for all amounts: with one each, a failing one would read a long number again
# from each of its digits.
_AMOUNT = re.compile(
    r"(?<![\w.@/])(?P<sign>[$\u20ac\u00a3])?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d++(?:\.\d+)?)"
    rf"(?: (?:{_SCALE})\b)?"
    r"(?P<percent>%| percent| per cent)?"
    r"(?P<unit> (?:dollars|euros|pounds|cents|usd|eur|gbp))?(?![\w@])",
    re.IGNORECASE,
)

_ENTITY_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("email", _entity_pattern(r"(?<![+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("url", _entity_pattern(r"(?:https?://|www\.)[^\s<>\"']*[^\s<>\"'.,;:!?)]")),
    (
        "phone_number",
        _entity_pattern(r"(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,4}\)[ .-]?|\d{2,4}[ .-])\d{3}[ .-]\d{3,4}"),
    ),
    ("person", re.compile(r"\b[Mm]y name is (?P<value>[A-Z][\w'-]+(?: [A-Z][\w'-]+)?)")),
)
