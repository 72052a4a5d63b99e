"""Cut speech into sentences and words, with times. Knows no meaning, only marks and spaces."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from attrs import frozen

from symbl_aio.server.analysis import Word
from symbl_aio.server.lexicon import word_set

# A pause this long ends a sentence even where the recogniser set no full stop; shorter
# ones are rhetoric.
LONGEST_PAUSE = 5.0

_OPENING = "\"'(\u201c\u2018"
_CLOSING = "\"')]\u201d\u2019"
_END = re.compile(rf"[.!?…]+[{re.escape(_CLOSING)}]*(?=\s)")
_SPOKEN = re.compile(r"\S+")

# What may follow a full stop without a new sentence having begun.
_TITLES = word_set("mr mrs ms dr prof sr jr st mt no vs fig approx e.g i.e cf al")
_MAY_END = word_set("a.m p.m etc inc ltd co corp u.s u.k")


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
    cuts = [match.end() for match in _END.finditer(text) if _ends_sentence(text, match)]
    spans: list[tuple[int, int]] = []
    start = 0
    for cut in [*cuts, len(text)]:
        part = text[start:cut]
        if part.strip():
            left = start + len(part) - len(part.lstrip())
            spans.append((left, left + len(part.strip())))
        start = cut
    return spans


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    mark = match[0].rstrip(_CLOSING)
    following = text[match.end() :].lstrip()
    if not following:
        return True
    if mark[0] in "!?" or mark[-1] in "!?":
        return True
    if mark in ("..", "...", "…"):
        return not following[0].islower()
    before = re.search(r"\S*$", text[: match.start()])
    word = before[0].lower().lstrip(_OPENING) if before else ""
    if word in _TITLES or (len(word) == 1 and word.isalpha() and word != "i"):
        return False
    return not (word in _MAY_END and following[0].islower())
