"""Find details in sentences by their form: addresses, numbers, dates, names that are known.

People come only from the conversation's speakers and from "my name is"; nothing is
guessed from capital letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from symbl_aio.server.language.dates import moments
from symbl_aio.server.language.models import CustomEntity, Entity, Speaker, Tracker, TrackerMatch


class Entities:
    """Finds entities; ``speakers`` are those of the conversation."""

    def __init__(self, speakers: Iterable[Speaker], custom: Sequence[CustomEntity]) -> None:
        self._people: dict[str, str] = {}
        for speaker in speakers:
            if speaker.name and (parts := speaker.name.split()):
                self._people.setdefault(parts[0], speaker.name)
                self._people[" ".join(parts)] = speaker.name
        self._person = literal(self._people, ignore_case=False)
        self._custom = [
            (entity, literal([entity.text])) for entity in custom if entity.text.strip()
        ]

    def find(self, text: str, message: int, said_at: datetime) -> tuple[Entity, ...]:
        """Give the entities of a message in order. None overlap: the first, longest wins."""
        found = [
            Entity(
                kind, _normal(kind, match["value"]), match["value"], message, match.start("value")
            )
            for kind, pattern in _FORMS
            for match in pattern.finditer(text)
        ]
        found += [
            Entity(moment.kind, moment.value, moment.text, message, moment.offset)
            for moment in moments(text, said_at)
        ]
        found += [
            Entity("person", self._people[match[0]], match[0], message, match.start())
            for match in self._person.finditer(text)
        ]
        return _longest(found)

    def find_custom(self, text: str, message: int) -> tuple[Entity, ...]:
        """Give the custom entities of a message, wherever their text stands as a whole word."""
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


def track(text: str, message: int, trackers: Sequence[Tracker]) -> tuple[TrackerMatch, ...]:
    """Give the phrases of the trackers that stand in a message, whatever their case."""
    return tuple(
        TrackerMatch(tracker, phrase, message, match.start())
        for tracker in trackers
        for phrase in tracker.vocabulary
        if phrase.strip()
        for match in literal([phrase]).finditer(text)
    )


def literal(texts: Iterable[str], *, ignore_case: bool = True) -> re.Pattern[str]:
    """Match any of the texts as whole words; spaces match any white space."""
    forms = [r"\s+".join(map(re.escape, text.split())) for text in sorted(texts, key=len)]
    either = "|".join(reversed(forms)) or r"(?!)"
    return re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE if ignore_case else 0)


def _normal(kind: str, text: str) -> str:
    match kind:
        case "phone_number":
            return re.sub(r"[^\d+]", "", text)
        case "number":
            return text.replace(",", "")
        case "email":
            return text.lower()
        case _:
            return text


def _longest(found: list[Entity]) -> tuple[Entity, ...]:
    kept: list[Entity] = []
    end = 0
    for entity in sorted(found, key=lambda entity: (entity.offset, -len(entity.text))):
        if entity.offset >= end:
            kept.append(entity)
            end = entity.offset + len(entity.text)
    return tuple(kept)


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.@/])(?P<value>{pattern})(?![\w@])", re.IGNORECASE)


_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_SCALE = r"(?: (?:hundred|thousand|million|billion))?"

_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("email", _form(r"(?<![+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("url", _form(r"(?:https?://|www\.)[^\s<>\"']*[^\s<>\"'.,;:!?)]")),
    (
        "phone_number",
        _form(r"(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,4}\)[ .-]?|\d{2,4}[ .-])\d{3}[ .-]\d{3,4}"),
    ),
    ("money", _form(rf"[$\u20ac\u00a3](?:{_NUMBER}){_SCALE}")),
    ("money", _form(rf"(?:{_NUMBER}){_SCALE} (?:dollars|euros|pounds|cents|usd|eur|gbp)")),
    ("percentage", _form(rf"(?:{_NUMBER})(?:%| percent| per cent)")),
    ("number", _form(rf"(?:{_NUMBER}){_SCALE}")),
    ("person", re.compile(r"\b[Mm]y name is (?P<value>[A-Z][\w'-]+(?: [A-Z][\w'-]+)?)")),
)
