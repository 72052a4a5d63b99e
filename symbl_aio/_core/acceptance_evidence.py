"""Evidence that an ambiguous submission was accepted. Pure.

Only positive evidence counts, and never a guess: absence proves nothing, since the server
may be slow, and one match among several proves nothing either.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from sys import getsizeof
from typing import Final

from attrs import define, field

from symbl_aio import models

MOST_REMEMBERED: Final = 2 * 2**20
"""Bytes of memory in which one client remembers what it has written.

What is ambiguous was sent last, so the newest conversations are the ones that matter.
"""
_RECORD_BYTES: Final = 360
"""What Python needs for a conversation without texts: its id, and its places in two tables."""
_ENTRY_BYTES: Final = 40

_WORD: Final = re.compile(r"\w+")


def words(texts: Iterable[str]) -> str:
    """Reduce text to what no server changes: its words, in order, each between two spaces."""
    found = " ".join(word for text in texts for word in _WORD.findall(text.casefold()))
    return f" {found} "


def is_covered_by_concatenation(ours: str, others: Sequence[str]) -> bool:
    """Return whether ``others``, some of them in some order, contain ``ours``; all as ``words``.

    Not only as they were written: the job of one may have failed, so that its words are not
    there and those before and behind it stand together; and one that may have been written
    stands where the server took it.
    """
    if any(ours in other for other in others):
        return True
    beginning: dict[str, list[str]] = {}
    ending: dict[str, list[str]] = {}
    for other in others:
        beginning.setdefault(other.split(" ", 2)[1], []).append(other)
        ending.setdefault(other.rsplit(" ", 2)[1], []).append(other)
    at = 0
    reached: set[int] = set()
    for before, word in pairwise(ours.split()):
        # ``at`` is the space before ``word``: can all before it be the end of a row?
        at += 1 + len(before)
        if any(other.endswith(ours[: at + 1]) for other in ending.get(before, ())):
            reached.add(at)
        if at in reached:
            rest = ours[at:]
            for other in beginning.get(word, ()):
                if other.startswith(rest):
                    return True
                if rest.startswith(other):
                    reached.add(at + len(other) - 1)
    return False


@define
class _Record:
    texts: dict[str, str | None] = field(factory=dict)
    size: int = 0


class SentTexts:
    """The texts that this client sent, or may have sent, to the conversations that it opened.

    Of each submission a key that no other one ever has, and its words, ``None`` for a recording,
    whose words are not known. When the memory is full, the oldest conversation is forgotten, and
    then never proves anything.
    """

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._size = 0
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def open(self, conversation_id: str, key: str, text: str | None) -> None:
        """Record the submission that opened a conversation; only a text proves anything."""
        if conversation_id in self._records:
            self.forget(conversation_id)
        if text is not None:
            self._records[conversation_id] = _Record(size=_RECORD_BYTES)
            self._size += _RECORD_BYTES
            self.add(conversation_id, key, text)

    def add(self, conversation_id: str, key: str, text: str | None) -> None:
        """Record an append, before its first byte goes out. Idempotent."""
        record = self._records.get(conversation_id)
        if record is None or key in record.texts:
            return
        record.texts[key] = text
        self._resize(record, 1, key, text)
        self._records.move_to_end(conversation_id)
        while self._size > self._most:
            self.forget(next(iter(self._records)))

    def withdraw(self, conversation_id: str, key: str) -> None:
        """Forget an append that surely was not accepted; no-op for an unknown one."""
        record = self._records.get(conversation_id)
        if record is not None and key in record.texts:
            self._resize(record, -1, key, record.texts.pop(key))

    def forget(self, conversation_id: str) -> None:
        """Forget a conversation; no-op for an unknown one."""
        record = self._records.pop(conversation_id, None)
        if record is not None:
            self._size -= record.size

    def proves(self, conversation_id: str, key: str, text: str, found: Iterable[str]) -> bool:
        """Return whether ``found``, the conversation's messages, proves that ``text`` was accepted.

        It does if the text occurs once, and nothing else that was, or may have been,
        written there can be the reason. ``key``: of the submission itself, which is no
        such thing.
        """
        record = self._records.get(conversation_id)
        ours = words([text])
        if record is None or not ours.strip():
            return False
        others = [other for known, other in record.texts.items() if known != key]
        if None in others or is_covered_by_concatenation(ours, [words([o]) for o in others if o]):
            return False
        there = words(found)
        # Not str.count: of two that follow each other it sees one, for they share a space.
        return ours in there and there.find(ours) == there.rfind(ours)

    def _resize(self, record: _Record, sign: int, key: str, text: str | None) -> None:
        # Of a short text, most is what Python adds.
        size = _ENTRY_BYTES + getsizeof(key) + getsizeof(text)
        record.size += sign * size
        self._size += sign * size


def only_one_named(
    conversations: Iterable[models.ConversationInfo], name: str, not_before: datetime
) -> str | None:
    """Return the id of the only conversation of that name since ``not_before``, else ``None``.

    ``not_before``: when the submission was sent at the earliest, by the server's clock. A
    name is often used every day: an older conversation is not the submission's.
    """
    found = [
        info.id
        for info in conversations
        if info.name == name
        and info.start_time is not None
        and info.start_time + _cut_off(info.start_time) > not_before
    ]
    return found[0] if len(found) == 1 else None


def _cut_off(instant: datetime) -> timedelta:
    """Return the precision of a server's instant: milliseconds or seconds."""
    return timedelta(milliseconds=1) if instant.microsecond else timedelta(seconds=1)
