"""Cut a sentence into clauses of plain words, so that rules can be written as phrases.

``I'll, uh, send the the report`` and ``I will send the report`` are the same words: short
forms are written out, hesitations and repetitions are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from attrs import frozen

from symbl_aio.server.language.word_lists import (
    CLAUSE_OPENERS,
    CONDITIONS,
    FILLER_PHRASES,
    FILLER_WORDS,
    HESITATIONS,
    PRONOUNS,
    SHORT_FORMS,
    word_set,
)

# Words of a clause that are examined. A longer one is no sentence but a list.
_MAX_WORDS = 60

_TOKEN = re.compile(r"@?[^\W_]+(?:['\u2019-][^\W_]+)*|[^\w\s]")
_CUTTING_MARKS = frozenset(",;:.?!()\u2026\u2013\u2014")
# "and" and "or" begin a clause only before a subject or a request: "check and send it" is one.
_JOINTS = word_set("and or")
_AFTER_JOINT = PRONOUNS | word_set(
    "then please can could would will let let's somebody someone anyone maybe if when don't"
)


@frozen
class Clause:
    """Words without marks. ``opener``: the conjunction before them, empty without one.

    ``text``: the plain words with one space between them. ``starts`` and ``ends``: the
    offsets of each plain word in the sentence.
    """

    text: str
    opener: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    capital: tuple[bool, ...]

    def word_at(self, offset: int) -> int:
        """Return the index of the word that begins at an offset of ``text``."""
        return self.text.count(" ", 0, offset)

    def source(self, sentence: str, offset: int) -> str:
        """Return the words of the sentence from an offset of ``text`` to the end of the clause."""
        return sentence[self.starts[self.word_at(offset)] : self.ends[-1]]


@frozen
class _Word:
    text: str
    start: int
    end: int
    capital: bool


def clauses(sentence: str) -> Iterator[Clause]:
    """Yield the clauses of a sentence that have words, without fillers at their start."""
    opener = ""
    words: list[_Word] = []
    tokens = [*_tokens(sentence)]
    for index, word in enumerate(tokens):
        following = tokens[index + 1].text if index + 1 < len(tokens) else ""
        if word.text in _CUTTING_MARKS:
            yield from _clause(words, opener)
            words, opener = [], ""
        elif (
            word.text in CLAUSE_OPENERS
            or (word.text in CONDITIONS and following in PRONOUNS)
            or (word.text in _JOINTS and following in _AFTER_JOINT)
        ):
            yield from _clause(words, opener)
            words, opener = [], word.text
        elif word.text in HESITATIONS or not word.text[-1].isalnum():
            continue
        elif not _is_repetition(words, word.text):
            words.append(word)
    yield from _clause(words, opener)


def _tokens(sentence: str) -> Iterator[_Word]:
    for match in _TOKEN.finditer(sentence):
        text = match[0].replace("\u2019", "'").lstrip("@")
        lower = text.lower()
        plain = SHORT_FORMS.get(lower) or _split_apostrophe(lower)
        for part in plain.split():
            yield _Word(part, match.start(), match.end(), text[:1].isupper())


def _split_apostrophe(word: str) -> str:
    """Split "they'll" into "they will"; "tom's" stays "tom's", which may be an owner."""
    stem, apostrophe, ending = word.partition("'")
    if not apostrophe:
        return word
    if ending == "t" and stem.endswith("n"):
        return f"{stem[:-1]} not"
    full = {"ll": "will", "m": "am", "re": "are", "ve": "have", "d": "would"}.get(ending)
    return f"{stem} {full}" if full else word


def _is_repetition(words: Sequence[_Word], text: str) -> bool:
    return bool(words) and words[-1].text == text and not text.isdigit()


def _clause(words: list[_Word], opener: str) -> Iterator[Clause]:
    start = _after_fillers([word.text for word in words])
    kept = words[start : start + _MAX_WORDS]
    if kept:
        yield Clause(
            " ".join(word.text for word in kept),
            opener,
            tuple(word.start for word in kept),
            tuple(word.end for word in kept),
            tuple(word.capital for word in kept),
        )


def _after_fillers(words: Sequence[str]) -> int:
    start = 0
    while start < len(words):
        pair = " ".join(words[start : start + 2])
        if pair in FILLER_PHRASES:
            start += 2
        elif words[start] in FILLER_WORDS:
            start += 1
        else:
            break
    return start
