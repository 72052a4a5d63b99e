"""Find any of many phrases in a text, as whole words, in one pass.

The time depends on the text and on the number of matches, not on the number of phrases: the
phrases form a tree of tokens, and a phrase that breaks off continues as the longest other
one that its end begins (Aho and Corasick, 1975).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from attrs import define, field, frozen

T = TypeVar("T")

# Characters that a shorter phrase counts for.
_LEAST_SIZE = 20

_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")


@frozen
class PhraseMatch(Generic[T]):
    """A phrase at the characters ``start`` to ``end`` of a text, and the value stored for it."""

    value: T
    start: int
    end: int


@define(eq=False)
class _Node(Generic[T]):
    """The tokens from the root to here. ``shorter``: the node of the longest proper end."""

    depth: int
    children: dict[str, _Node[T]] = field(factory=dict)
    values: list[tuple[int, T]] = field(factory=list)
    shorter: _Node[T] | None = None
    # The nearest node along ``shorter`` that ends a phrase.
    next_phrase: _Node[T] | None = None


def size_of_phrases(phrases: Iterable[str]) -> int:
    """Return the characters of phrases, short ones rounded up: an index has 120 bytes for each."""
    return sum(max(len(phrase), _LEAST_SIZE) for phrase in phrases)


class PhraseIndex(Generic[T]):
    """Phrases and a value for each; a space in a phrase matches any white space.

    ``stem``: words with the same stem match each other.
    """

    def __init__(
        self,
        phrases: Iterable[tuple[str, T]],
        *,
        ignore_case: bool = True,
        stem: Callable[[str], str] | None = None,
    ) -> None:
        self._ignore_case = ignore_case
        self._stem = stem
        self._root: _Node[T] = _Node(0)
        for number, (phrase, value) in enumerate(phrases):
            node = self._root
            for token in self._tokens(" ".join(phrase.split())):
                node = node.children.setdefault(token, _Node(node.depth + 1))
            if node is not self._root:
                node.values.append((number, value))
        self._link()

    def find(self, text: str) -> Iterator[PhraseMatch[T]]:
        """Yield the matches in order of their ends; matches of one phrase do not overlap."""
        if not self._root.children:
            return
        starts: list[int] = []
        last_ends: dict[int, int] = {}
        node = self._root
        for match in _TOKEN.finditer(text):
            starts.append(match.start())
            token = self._normalise(match[0])
            while token not in node.children and node.shorter is not None:
                node = node.shorter
            node = node.children.get(token, self._root)
            ending: _Node[T] | None = node if node.values else node.next_phrase
            while ending is not None:
                start, end = starts[-ending.depth], match.end()
                if _is_whole(text, start, end):
                    for number, value in ending.values:
                        if start >= last_ends.get(number, 0):
                            last_ends[number] = end
                            yield PhraseMatch(value, start, end)
                ending = ending.next_phrase

    def _link(self) -> None:
        waiting = deque([self._root])
        while waiting:
            node = waiting.popleft()
            for token, child in node.children.items():
                waiting.append(child)
                shorter = node.shorter
                while shorter is not None and token not in shorter.children:
                    shorter = shorter.shorter
                child.shorter = shorter.children[token] if shorter is not None else self._root
                child.next_phrase = (
                    child.shorter if child.shorter.values else child.shorter.next_phrase
                )

    def _tokens(self, text: str) -> list[str]:
        return [self._normalise(token) for token in _TOKEN.findall(text)]

    def _normalise(self, token: str) -> str:
        if token.isspace():
            return " "
        if token == "\u2019":  # as keyboards of telephones write it: don't
            return "'"
        if self._ignore_case:
            token = token.casefold()
        return token if self._stem is None else self._stem(token)


def _is_whole(text: str, start: int, end: int) -> bool:
    """Return whether no letter, digit or underscore touches the match."""
    return not (
        (start > 0 and _is_word_character(text[start - 1]))
        or (end < len(text) and _is_word_character(text[end]))
    )


def _is_word_character(character: str) -> bool:
    return character.isalnum() or character == "_"
