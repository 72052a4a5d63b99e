"""Sentiment of a sentence by counting words; irony is not detected."""

from __future__ import annotations

import math
import re

from symbl_aio.server.language.word_lists import (
    BAD_WORDS,
    GOOD_WORDS,
    INTENSIFIERS,
    NEGATIONS,
    STRONG_WORDS,
)

_NEGATION_DISTANCE = 3  # number of words after "not" that it negates


def sentiment_score(text: str) -> float:
    """Return a score from -1 (bad) to 1 (good), 0 if no word counts."""
    total = 0.0
    words = re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower().replace("\u2019", "'"))
    for index, word in enumerate(words):
        weight = float((word in GOOD_WORDS) - (word in BAD_WORDS))
        if not weight:
            continue
        before = words[max(0, index - _NEGATION_DISTANCE) : index]
        weight *= 2 if word in STRONG_WORDS else 1
        weight *= 1.3 if before and before[-1] in INTENSIFIERS else 1
        if NEGATIONS.intersection(before):
            weight *= -0.7  # "not bad" is less than "good"
        total += weight
    # Grows with each word and never reaches 1.
    return round(total / math.sqrt(total * total + 4), 3)
