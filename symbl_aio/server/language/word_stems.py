"""Reduce English words to a stem that their inflections share, such as "cancels" and "cancelled".

The first and the last step of the stemmer of M. F. Porter (1980). Endings that make another word,
such as "-er" and "-ness", stay.
"""

from __future__ import annotations

import re
from functools import lru_cache

_LONGEST = 30
_VOWELS_THEN_CONSONANTS = re.compile(r"[aeiouy]+[^aeiouy]+")
# "hop" and "fil": short words of this form lost an "e", or double their last letter.
_SHORT = re.compile(r"[^aeiouy]*[aeiouy][^aeiouwxy]")
_DOUBLE = re.compile(r"([bcdfghjkmnpqrtvwxy])\1$")
_NO_PLURALS = frozenset({"news"})
_PLURALS = (("sses", "ss"), ("ies", "y"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"))


def stem(word: str) -> str:
    """Return the stem of a word in small letters; another token stays as it is."""
    # A longer one is no word, and must neither be examined nor kept.
    if not 4 <= len(word) <= _LONGEST or not (word.isascii() and word.isalpha()):
        return word
    return _stem(word)


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    return _without_last_letter(_without_past(singular(word)))


def singular(word: str) -> str:
    """Return a word in small letters without the ending of a plural."""
    for ending, replacement in _PLURALS:
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word.removesuffix(ending) + replacement
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and word not in _NO_PLURALS:
        return word[:-1]
    return word


def _without_past(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if len(word) > 5 else word
    if word.endswith("ied") and len(word) > 4:
        return word[:-3] + "y"
    ending = next((e for e in ("ing", "ed") if word.endswith(e)), "")
    base = word.removesuffix(ending)
    if not ending or len(base) < 2 or not re.search("[aeiouy]", base):
        return word
    if base.endswith(("at", "bl", "iz")):
        return base + "e"
    if _DOUBLE.search(base):
        return base[:-1]
    return base + "e" if _SHORT.fullmatch(base) else base


def _without_last_letter(word: str) -> str:
    parts = len(_VOWELS_THEN_CONSONANTS.findall(word))
    if word.endswith("e"):
        bare = word[:-1]
        parts_of_bare = len(_VOWELS_THEN_CONSONANTS.findall(bare))
        if parts_of_bare > 1 or (parts_of_bare == 1 and not _SHORT.fullmatch(bare)):
            return bare
    return word[:-1] if word.endswith("ll") and parts > 1 else word
