"""Find topics: repeated runs of words that carry meaning.

A run is up to three words between words that carry none. Frequency and the number of
messages count; two words score more than one.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from attrs import define, field

from symbl_aio.server.language.analysis_values import Topic
from symbl_aio.server.language.word_lists import STOP_WORDS
from symbl_aio.server.language.word_stems import singular

_MAX_TOPICS = 10
_MAX_WORDS = 3
# Messages of a conversation in which a phrase of several words is a topic even if it occurs once.
_SHORT_CONVERSATION = 20

_Key: TypeAlias = tuple[str, ...]

_TOKEN = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*|[^\w\s]|\d\S*")


@define
class _Candidate:
    count: int = 0
    forms: dict[str, int] = field(factory=dict)
    messages: list[int] = field(factory=list)
    sentiment: float = 0.0

    def add(self, form: str, message: int, sentiment: float) -> None:
        self.count += 1
        self.forms[form] = self.forms.get(form, 0) + 1
        # Messages come in order, so an equal one can only be the last.
        if self.messages[-1:] != [message]:
            self.messages.append(message)
            self.sentiment += sentiment

    @property
    def text(self) -> str:
        return max(self.forms, key=lambda form: (self.forms[form], form))

    def weight(self, length: int) -> float:
        return self.count * (1 + len(self.messages)) * (1 + 0.6 * (length - 1))


class TopicCounter:
    """Counts the phrases of a conversation that grows; the words of ``names`` are no topics."""

    def __init__(self, names: Iterable[str]) -> None:
        self._ignored = STOP_WORDS.union(*(name.lower().split() for name in names))
        self._count = 0
        self._candidates: dict[_Key, _Candidate] = {}
        self._repeated: dict[_Key, _Candidate] = {}
        # For each phrase, how often the most frequent longer phrase around it occurs.
        self._counts_in_longer: dict[_Key, int] = {}

    def add(self, text: str, sentiment: float) -> None:
        """Count the phrases of the next message."""
        for run in _phrase_runs(text, self._ignored):
            stems = [singular(word) for word in run]
            for start, end in _sub_spans(len(run)):
                key = tuple(stems[start:end])
                candidate = self._candidates.get(key)
                if candidate is None:
                    candidate = self._candidates[key] = _Candidate()
                else:
                    self._repeated[key] = candidate
                candidate.add(" ".join(run[start:end]), self._count, sentiment)
                for part in _parts(key):
                    known = self._counts_in_longer.get(part, 0)
                    self._counts_in_longer[part] = max(known, candidate.count)
        self._count += 1

    def ignore(self, names: Iterable[str]) -> bool:
        """Ignore more names from now on; return whether a word of them was counted before."""
        words = {word for name in names for word in name.lower().split()}
        self._ignored |= words
        return any((singular(word),) in self._candidates for word in words)

    def topics(self) -> tuple[Topic, ...]:
        """Return at most ten topics of the messages that were added, best first.

        A phrase that occurs only inside a longer one is not counted by itself, and a single
        word must occur twice; in a long conversation every topic must.
        """
        once_is_enough = self._count <= _SHORT_CONVERSATION
        # A longer phrase that is no topic hides none of its parts.
        least = 1 if once_is_enough else 2
        ranked = heapq.nsmallest(
            max(3, min(_MAX_TOPICS, self._count)),
            (
                (-candidate.weight(len(key)), candidate.messages[0], key)
                for key, candidate in (
                    self._candidates if once_is_enough else self._repeated
                ).items()
                if candidate.count - self._count_in_longer(key, least)
                >= (1 if len(key) > 1 and once_is_enough else 2)
            ),
        )
        texts = {key: self._candidates[key].text for _, _, key in ranked}
        return tuple(
            _topic(self._candidates[key], weight / ranked[0][0], _parents(key, texts))
            for weight, _, key in ranked
        )

    def _count_in_longer(self, key: _Key, least: int) -> int:
        count = self._counts_in_longer.get(key, 0)
        return count if count >= least else 0


def _topic(candidate: _Candidate, relative_weight: float, parents: tuple[str, ...]) -> Topic:
    where = tuple(candidate.messages)
    sentiment = candidate.sentiment / len(where)
    score = round(0.5 + 0.5 * relative_weight, 3)
    return Topic(candidate.text, score, where, round(sentiment, 3), parents)


def _parents(key: _Key, texts: Mapping[_Key, str]) -> tuple[str, ...]:
    """Return the topics contained in this one, the nearest only: "plan" for "basic plan"."""
    wider = [
        part
        for length in range(len(key) - 1, 0, -1)
        for start in range(len(key) - length + 1)
        if (part := key[start : start + length]) in texts
    ]
    nearest = [part for part in wider if len(part) == len(wider[0])]
    return tuple(texts[part] for part in dict.fromkeys(nearest))


def _parts(key: _Key) -> set[_Key]:
    """Return the shorter phrases that a phrase begins or ends with, and its words."""
    return {key[:-1], key[1:], *((word,) for word in key)} - {key, ()}


def _sub_spans(length: int) -> Iterator[tuple[int, int]]:
    """Yield the bounds of every part of a run, of at most three words."""
    for size in range(1, min(length, _MAX_WORDS) + 1):
        for start in range(length - size + 1):
            yield start, start + size


def _phrase_runs(text: str, ignored: frozenset[str]) -> Iterator[list[str]]:
    """Yield the runs of words between ignored words and punctuation."""
    run: list[str] = []
    for token in [*_TOKEN.findall(text.lower()), "."]:
        word = token.replace("\u2019", "'").removesuffix("'s")
        if len(word) > 2 and word[0].isalpha() and "'" not in word and word not in ignored:
            run.append(word)
        else:
            if run:
                yield run
            run = []
