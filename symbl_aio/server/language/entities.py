"""Find entities by their form: addresses, numbers, dates, names; and phrases of trackers.

Persons come only from the speakers of the conversation and from "my name is"; a capital
letter proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from symbl_aio.server.language.dates import find_dates
from symbl_aio.server.language.values import CustomEntity, Entity, Speaker, Tracker, TrackerMatch


class EntityFinder:
    """Finds entities; ``speakers`` are those of the conversation."""

    def __init__(self, speakers: Iterable[Speaker], custom: Sequence[CustomEntity]) -> None:
        self._people: dict[str, str] = {}
        for speaker in speakers:
            if speaker.name and (parts := speaker.name.split()):
                # First names too; of two speakers with the same one, the first.
                self._people.setdefault(parts[0], speaker.name)
                self._people[" ".join(parts)] = speaker.name
        self._person = literal_pattern(self._people, ignore_case=False)
        self._custom = [
            (entity, literal_pattern([entity.text])) for entity in custom if entity.text.strip()
        ]

    def find(self, text: str, message: int, said_at: datetime) -> tuple[Entity, ...]:
        """Return the entities of a message in order. Of overlapping ones, the first and longest."""
        found = [
            Entity(
                kind,
                _normal_form(kind, match["value"]),
                match["value"],
                message,
                match.start("value"),
            )
            for kind, pattern in _ENTITY_PATTERNS
            for match in pattern.finditer(text)
        ]
        found += [
            Entity(moment.kind, moment.value, moment.text, message, moment.offset)
            for moment in find_dates(text, said_at)
        ]
        found += [
            Entity("person", self._people[match[0]], match[0], message, match.start())
            for match in self._person.finditer(text)
        ]
        return _without_overlaps(found)

    def find_custom(self, text: str, message: int) -> tuple[Entity, ...]:
        """Return the custom entities of a message that match as whole words."""
        found = [
            Entity(
                "custom",
                entity.value or entity.text,
                match[0],
                message,
                match.start(),
                entity.custom_type,
            )
            for entity, pattern in self._custom
            for match in pattern.finditer(text)
        ]
        return tuple(sorted(found, key=lambda entity: entity.offset))


def find_tracker_phrases(
    text: str, message: int, trackers: Sequence[Tracker]
) -> tuple[TrackerMatch, ...]:
    """Return the phrases of trackers in a message, without regard to case."""
    return tuple(
        TrackerMatch(tracker, phrase, message, match.start())
        for tracker in trackers
        for phrase in tracker.vocabulary
        if phrase.strip()
        for match in literal_pattern([phrase]).finditer(text)
    )


def literal_pattern(texts: Iterable[str], *, ignore_case: bool = True) -> re.Pattern[str]:
    """Return a pattern for any of the texts as whole words; a space matches any white space."""
    patterns = [r"\s+".join(map(re.escape, text.split())) for text in sorted(texts, key=len)]
    alternatives = "|".join(reversed(patterns)) or r"(?!)"
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE if ignore_case else 0)


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


_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_SCALE = r"(?: (?:hundred|thousand|million|billion))?"

_ENTITY_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("email", _entity_pattern(r"(?<![+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("url", _entity_pattern(r"(?:https?://|www\.)[^\s<>\"']*[^\s<>\"'.,;:!?)]")),
    (
        "phone_number",
        _entity_pattern(r"(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,4}\)[ .-]?|\d{2,4}[ .-])\d{3}[ .-]\d{3,4}"),
    ),
    ("money", _entity_pattern(rf"[$\u20ac\u00a3](?:{_NUMBER}){_SCALE}")),
    (
        "money",
        _entity_pattern(rf"(?:{_NUMBER}){_SCALE} (?:dollars|euros|pounds|cents|usd|eur|gbp)"),
    ),
    ("percentage", _entity_pattern(rf"(?:{_NUMBER})(?:%| percent| per cent)")),
    ("number", _entity_pattern(rf"(?:{_NUMBER}){_SCALE}")),
    ("person", re.compile(r"\b[Mm]y name is (?P<value>[A-Z][\w'-]+(?: [A-Z][\w'-]+)?)")),
)
