"""Sentiment of a sentence by counting good and bad words.

No model is behind it: irony, comparisons and what happened are not understood. What follows
"but" counts more than what it restricts.
"""

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

_BEFORE_BUT = 0.5
# Bad words that are not meant badly.
_SET_PHRASES = re.compile(
    r"\b(?:no (?:problem|issue|worries|trouble)|not a problem|can't wait|can't complain"
    r"|not bad|never mind|don't worry)\b"
)
# Words that are meant neither well nor badly.
_FORMS = re.compile(
    r"\b(?:kinds? of|(?:best|kind|warm) regards|good (?:morning|afternoon|evening|night))\b"
)
_BAD_PHRASES = re.compile(
    r"\b(?:could (?:be|have been) better|(?:do|does|did)(?:n't| not) (?:really )?(?:like|work))\b"
)
_OPINIONS = frozenset({"think", "believe", "feel", "find", "consider"})
_NEGATION_DISTANCE = 3  # number of words after "not" that it negates
_OPINION_DISTANCE = 8  # the same after "I do not think"


def sentiment_score(text: str) -> float:
    """Return a score from -1 (bad) to 1 (good), 0 if no word counts."""
    total = 0.0
    plain = _SET_PHRASES.sub(" fine ", text.lower().replace("\u2019", "'"))
    plain = _BAD_PHRASES.sub(" poor ", _FORMS.sub(" ", plain))
    words = re.findall(r"[a-z]+(?:'[a-z]+)?", plain)
    for index, word in enumerate(words):
        if word == "but":
            total *= _BEFORE_BUT
        weight = float((word in GOOD_WORDS) - (word in BAD_WORDS))
        if not weight:
            continue
        before = words[max(0, index - _NEGATION_DISTANCE) : index]
        opinion = words[max(0, index - _OPINION_DISTANCE) : index]
        weight *= 2 if word in STRONG_WORDS else 1
        weight *= 1.3 if before and before[-1] in INTENSIFIERS else 1
        if NEGATIONS.intersection(before) or _is_denied(opinion):
            weight *= -0.7  # "not bad" is less than "good"
        total += weight
    # Grows with each word and never reaches 1.
    return round(total / math.sqrt(total * total + 4), 3)


def _is_denied(words: list[str]) -> bool:
    """Return whether the words are those of "I do not think that ..."."""
    return any(
        word in _OPINIONS and words[index - 1] in NEGATIONS
        for index, word in enumerate(words[1:], 1)
    )
