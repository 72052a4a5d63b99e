"""Find topics: repeated runs of words that carry meaning.

A run is up to three words between words that carry none. Frequency and the number of
messages count; two words score more than one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import define, field

from symbl_aio.server.language.values import Message, Topic
from symbl_aio.server.language.word_lists import STOP_WORDS

_MAX_TOPICS = 10
_MAX_WORDS = 3
_TOKEN = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*|[^\w\s]|\d\S*")


@define
class _Candidate:
    forms: Counter[str] = field(factory=Counter)
    messages: list[int] = field(factory=list)

    @property
    def text(self) -> str:
        return max(self.forms, key=lambda form: (self.forms[form], form))

    def weight(self, length: int) -> float:
        spread = len(set(self.messages))
        return len(self.messages) * (1 + spread) * (1 + 0.6 * (length - 1))


def find_topics(messages: Sequence[Message], names: Iterable[str] = ()) -> tuple[Topic, ...]:
    """Return at most ten topics, best first; the ``names`` of speakers are no topics.

    A phrase that occurs only inside a longer one is not counted by itself, and a single word
    must occur twice.
    """
    ignored = STOP_WORDS.union(*(name.lower().split() for name in names))
    candidates: dict[tuple[str, ...], _Candidate] = {}
    counts_in_longer: Counter[tuple[str, ...]] = Counter()
    for index, message in enumerate(messages):
        for run in _phrase_runs(message.text, ignored):
            for words in _sub_phrases(run):
                key = tuple(map(_stem, words))
                candidate = candidates.setdefault(key, _Candidate())
                candidate.forms[" ".join(words)] += 1
                candidate.messages.append(index)
    for key, candidate in candidates.items():
        # Each part remembers the most frequent phrase that contains it.
        for part in {key[:-1], key[1:], *((word,) for word in key)} - {key}:
            counts_in_longer[part] = max(counts_in_longer[part], len(candidate.messages))
    ranked = sorted(
        (
            (candidate.weight(len(key)), key, candidate)
            for key, candidate in candidates.items()
            if len(candidate.messages) - counts_in_longer[key] >= (2 if len(key) == 1 else 1)
        ),
        key=lambda item: (-item[0], item[2].messages[0], item[1]),
    )[: max(3, min(_MAX_TOPICS, len(messages)))]
    best = ranked[0][0] if ranked else 1.0
    texts = {key: candidate.text for _, key, candidate in ranked}
    return tuple(
        _topic(candidate, weight / best, messages, _parents(key, texts))
        for weight, key, candidate in ranked
    )


def _topic(
    candidate: _Candidate,
    relative_weight: float,
    messages: Sequence[Message],
    parents: tuple[str, ...],
) -> Topic:
    where = tuple(dict.fromkeys(candidate.messages))
    sentiment = sum(messages[index].sentiment for index in where) / len(where)
    score = round(0.5 + 0.5 * relative_weight, 3)
    return Topic(candidate.text, score, where, round(sentiment, 3), parents)


def _parents(key: tuple[str, ...], texts: Mapping[tuple[str, ...], str]) -> tuple[str, ...]:
    """Return the topics contained in this one, the nearest only: "plan" for "basic plan"."""
    wider = [
        part
        for length in range(len(key) - 1, 0, -1)
        for start in range(len(key) - length + 1)
        if (part := key[start : start + length]) in texts
    ]
    nearest = [part for part in wider if len(part) == len(wider[0])]
    return tuple(texts[part] for part in dict.fromkeys(nearest))


def _sub_phrases(run: list[str]) -> Iterator[list[str]]:
    """Yield every part of a run, of at most three words."""
    for length in range(1, min(len(run), _MAX_WORDS) + 1):
        for start in range(len(run) - length + 1):
            yield run[start : start + length]


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


def _stem(word: str) -> str:
    """Reduce a plural to its singular, well enough to count both together."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word
