"""Split text into sentences with times, by punctuation and white space."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from attrs import frozen

from symbl_aio.server.language.word_lists import (
    CLAUSE_OPENERS,
    FILLER_WORDS,
    PRONOUNS,
    word_set,
)

# A pause longer than this ends a sentence even without a full stop; shorter pauses are
# rhetoric.
LONGEST_PAUSE = 5.0

# Characters of a message. Speech without punctuation has no other end, and each answer
# about an insight or an entity repeats the text of its message.
LONGEST_SENTENCE = 1000

_END_MARKS = ".!?\u2026"
_OPENING = "\"'(\u201c\u2018"
_CLOSING = "\"')]\u201d\u2019"
_NON_SPACE = re.compile(r"\S+")
_SPACE = re.compile(r"\s+")
_BREAK = re.compile(r"[,;:]\s+")

# Words whose full stop ends no sentence: always, before a number, and unless the next word
# is one that begins sentences: "the U.S. market", but "in the U.S. We grew".
_NEVER_ENDS = word_set("mr mrs ms dr prof sr jr mt vs approx e.g i.e cf")
_BEFORE_NUMBER = word_set("no fig p pp vol")
_SELDOM_ENDS = word_set("a.m p.m etc inc ltd co corp u.s u.k e.u u.n st al")
_SENTENCE_OPENERS = (
    PRONOUNS
    | FILLER_WORDS
    | CLAUSE_OPENERS
    | word_set("""
    a an the my your our his her their these those some any all both each every many most please
    let's let can could would will shall do does did is are was were have has had in on at by for
    from with after before during since until another one two three not however therefore meanwhile
    finally first second third last next thank hi dear welcome otherwise everyone everybody nobody
""")
)

# A line shorter than this was ended by its writer; a longer one may have been wrapped.
_WRAPPED_LINE = 50
_LIST_MARK = re.compile(r"(?:[-*\u2022\u2013>]+|\d{1,2}[.)]|\[[ x]?\])(?=\s|$)|>")


@frozen
class TimedText:
    """Text with its start and end, in seconds."""

    text: str
    start: float
    end: float


def sentences(pieces: Sequence[TimedText], *, most: float = math.inf) -> list[TimedText]:
    """Join consecutive pieces and split them into whole sentences.

    Inside a piece, time is assumed to pass evenly with the characters. The text behind ``most``
    sentences is cut into parts as long as the longest sentence.
    """
    found: list[TimedText] = []
    for group in _split_at_pauses(pieces):
        text = " ".join(piece.text.strip() for piece in group)
        times = _TimeInterpolator(group)
        spans = _sentence_spans(text, most - len(found))
        for start, end in (part for span in spans for part in _cut(text, *span)):
            found.append(TimedText(text[start:end], times.at(start), times.at(end, ending=True)))
    return found


class _TimeInterpolator:
    """Maps a character of the joined text to its time."""

    def __init__(self, pieces: Sequence[TimedText]) -> None:
        self._pieces = pieces
        # Measured once: a piece may have a million characters, and as many sentences.
        self._lengths = [len(piece.text.strip()) for piece in pieces]
        self._starts: list[int] = []
        position = 0
        for length in self._lengths:
            self._starts.append(position)
            position += length + 1

    def at(self, position: int, *, ending: bool = False) -> float:
        """Return the time of a position; ``ending`` means the end of the character before it."""
        index = max(bisect_right(self._starts, position - ending) - 1, 0)
        piece = self._pieces[index]
        share = min((position - self._starts[index]) / max(self._lengths[index], 1), 1.0)
        return round(piece.start + share * (piece.end - piece.start), 3)


def _split_at_pauses(pieces: Iterable[TimedText]) -> list[list[TimedText]]:
    """Group pieces; a pause longer than ``LONGEST_PAUSE`` starts a new group."""
    groups: list[list[TimedText]] = []
    for piece in pieces:
        if not piece.text.strip():
            continue
        if groups and piece.start - groups[-1][-1].end <= LONGEST_PAUSE:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups


def _sentence_spans(text: str, most: float) -> list[tuple[int, int]]:
    """Return the ranges of the sentences; every word is in one of them.

    What follows ``most`` sentences is one range.
    """
    spans: list[tuple[int, int]] = []
    start = begin = end = line_start = -1
    for word in _NON_SPACE.finditer(text):
        if len(spans) >= most:
            return [*spans, (word.start() if start < 0 else start, len(text))]
        if start >= 0:
            between = text[end : word.start()]
            line_ends = "\n" in between and _is_line_end(
                text[line_start:end], between, word[0], text[word.start() : word.start() + 4]
            )
            # The mark of a list is no sentence: "1." belongs to the text after it.
            marked = begin == start and _LIST_MARK.fullmatch(text[begin:end]) is not None
            if line_ends or (not marked and _is_sentence_end(text[begin:end], word[0])):
                spans.append((start, end))
                start = -1
            line_start = word.start() if "\n" in between else line_start
        else:
            line_start = word.start()
        begin, end = word.span()
        start = begin if start < 0 else start
    return [*spans, (start, end)] if start >= 0 else spans


def _is_line_end(line: str, between: str, word: str, following: str) -> bool:
    """Return whether a line break ends a sentence: in lists, quotes, greetings, after blanks."""
    if between.count("\n") > 1 or _LIST_MARK.match(following):
        return True
    return len(line) < _WRAPPED_LINE and not word[0].islower()


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a span: one, or several if it is longer than ``LONGEST_SENTENCE``."""
    while end - start > LONGEST_SENTENCE:
        window = text[start : start + LONGEST_SENTENCE]
        # After the last comma of the second half, else before the last word, else anywhere.
        breaks = [match.end() for match in _BREAK.finditer(window, LONGEST_SENTENCE // 2)]
        spaces = breaks or [match.end() for match in _SPACE.finditer(window)]
        middle = start + (spaces[-1] if spaces else LONGEST_SENTENCE)
        part_end = start + len(text[start:middle].rstrip())
        if part_end > start:
            yield start, part_end
        start = middle
    if start < end:
        yield start, end


def _is_sentence_end(word: str, following: str) -> bool:
    """Return whether a sentence ends between two words."""
    unquoted = word.rstrip(_CLOSING)
    core = unquoted.rstrip(_END_MARKS)
    end_mark = unquoted[len(core) :]
    if not end_mark or "!" in end_mark or "?" in end_mark:
        return bool(end_mark)
    if end_mark != ".":
        return not following[0].islower()
    core = core.lstrip(_OPENING).lower()
    opens = following[0].isupper() and following.lower().rstrip(",") in _SENTENCE_OPENERS
    if core in _NEVER_ENDS or (core in _BEFORE_NUMBER and following[0].isdigit()):
        return False
    # "F." is an initial; "I." may end a sentence.
    initial = len(core) == 1 and core.isalpha() and core != "i"
    return opens if initial or core in _SELDOM_ENDS else True
