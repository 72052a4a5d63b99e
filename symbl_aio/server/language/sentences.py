"""Cut speech into sentences and words, with times. Knows no meaning, only marks and spaces."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from attrs import frozen

from symbl_aio.server.language.models import Word
from symbl_aio.server.language.word_lists import word_set

# A pause this long ends a sentence even where the recogniser set no full stop; shorter
# ones are rhetoric.
LONGEST_PAUSE = 5.0

_MARKS = ".!?\u2026"
_OPENING = "\"'(\u201c\u2018"
_CLOSING = "\"')]\u201d\u2019"
_SPOKEN = re.compile(r"\S+")

# What may stand before a full stop without a sentence having ended: always, before a
# number, and before a small letter.
_TITLES = word_set("mr mrs ms dr prof sr jr mt vs approx e.g i.e cf")
_NUMBERED = word_set("no fig p pp vol")
_MAY_END = word_set("a.m p.m etc inc ltd co corp u.s u.k st al")


@frozen
class Piece:
    """Some text and when it was said, in seconds."""

    text: str
    start: float
    end: float


def sentences(pieces: Sequence[Piece]) -> list[Piece]:
    """Join pieces that follow one another and cut them anew into whole sentences.

    Inside a piece, time is taken to pass evenly with the characters.
    """
    found: list[Piece] = []
    for group in _without_long_pauses(pieces):
        text = " ".join(piece.text.strip() for piece in group)
        clock = _Clock(group)
        for start, end in _spans(text):
            found.append(Piece(text[start:end], clock.at(start), clock.at(end, ending=True)))
    return found


def words(sentence: Piece) -> tuple[Word, ...]:
    """Give the words of a sentence with interpolated times; punctuation stays on its word."""
    clock = _Clock([sentence])
    return tuple(
        Word(match[0], clock.at(match.start()), clock.at(match.end()))
        for match in _SPOKEN.finditer(sentence.text)
    )


class _Clock:
    """Tells when a character of the joined text was said."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._starts: list[int] = []
        position = 0
        for piece in pieces:
            self._starts.append(position)
            position += len(piece.text.strip()) + 1

    def at(self, position: int, *, ending: bool = False) -> float:
        """Time of a position; ``ending`` means the end of the character before it."""
        index = max(bisect_right(self._starts, position - ending) - 1, 0)
        piece = self._pieces[index]
        length = max(len(piece.text.strip()), 1)
        share = min((position - self._starts[index]) / length, 1.0)
        return round(piece.start + share * (piece.end - piece.start), 3)


def _without_long_pauses(pieces: Iterable[Piece]) -> list[list[Piece]]:
    groups: list[list[Piece]] = []
    for piece in pieces:
        if not piece.text.strip():
            continue
        if groups and piece.start - groups[-1][-1].end <= LONGEST_PAUSE:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups


def _spans(text: str) -> list[tuple[int, int]]:
    """Give the places of the sentences; every word is in one of them."""
    spans: list[tuple[int, int]] = []
    start = begin = end = -1
    for word in _SPOKEN.finditer(text):
        if start >= 0 and _ends(text[begin:end], word[0]):
            spans.append((start, end))
            start = -1
        begin, end = word.span()
        start = begin if start < 0 else start
    return [*spans, (start, end)] if start >= 0 else spans


def _ends(word: str, following: str) -> bool:
    """Tell whether a sentence ends between two words."""
    body = word.rstrip(_CLOSING)
    core = body.rstrip(_MARKS)
    mark = body[len(core) :]
    if not mark or "!" in mark or "?" in mark:
        return bool(mark)
    small = following[0].islower()
    if mark != ".":
        return not small
    core = core.lstrip(_OPENING).lower()
    initial = len(core) == 1 and core.isalpha() and core != "i"
    if core in _TITLES or initial or (core in _NUMBERED and following[0].isdigit()):
        return False
    return not (core in _MAY_END and small)
