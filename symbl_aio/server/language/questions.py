"""Recognise questions: by their mark, and without one by the order of their words."""

from __future__ import annotations

import re

from symbl_aio.server.language.word_lists import FILLER_WORDS, HESITATIONS, word_set

# Words of "Right?", "You know?" and "Huh?", which ask for no answer.
_ECHOES = FILLER_WORDS | HESITATIONS | word_set("huh eh you know see yeah indeed")
_ECHOES -= word_set("because wait")


def question_score(text: str) -> float:
    """Return the score of a question, 0.0 for any other sentence."""
    sentence = " ".join(text.replace("\u2019", "'").lower().split())
    if sentence.startswith(">"):
        return 0.0  # quoted from another mail
    words = _WORD.findall(sentence)
    if sentence.rstrip("\"')\u201d!").endswith("?"):
        return 0.95 if any(word not in _ECHOES for word in words) else 0.0
    start = 0
    while start < len(words) and (words[start] in FILLER_WORDS or words[start] in HESITATIONS):
        start += 1
    # Only the first words decide.
    beginning = " ".join(words[start : start + 8])
    if sentence.endswith((".", "!", "\u2026")):
        return 0.7 if _CERTAIN_START.match(beginning) else 0.0
    return 0.7 if _START.match(beginning) else 0.0


_WORD = re.compile(r"[\w'-]+")

_ASKED = r"(?:i|you|we|they|he|she|it|there|this|that|these|those|the|your|our|my|their)"
_OTHERS = r"(?:anyone|anybody|someone|somebody|everyone|everybody|any|people|all)"
_WH = r"(?:what|who|where|when|why|how|which|whose)"
_AUXILIARY = (
    r"(?:is|are|was|were|do|does|did|can|could|will|would|should|have|has|had|am|isn't|aren't"
    r"|wasn't|weren't|don't|doesn't|didn't|can't|couldn't|won't|wouldn't|shouldn't|haven't|hasn't)"
)
# The order of words that only questions have, also where a full stop ends them.
_CERTAIN_START = re.compile(
    rf"{_WH}(?: [\w-]+){{0,2}}? (?:do|does|did|is|are|was|were|can|could|will|would|should) "
    r"(?:i|you|we|they|he|she)\b(?! (?:is|are|was|were)\b)"
    r"|(?:do|does|did|are|is|was|were|have|has|can|could|will|would) (?:i|you|we|they|he|she) [\w']"
    rf"|(?:{_WH}|what time|how (?:many|much|long|often)) (?:do|does|did) (?!not\b)\w"
)
_START = re.compile(
    rf"{_WH}(?:'s|'re|'d| {_AUXILIARY}| (?:many|much|long|often|about|come|kind|time|one|if|not))\b"
    rf"|{_AUXILIARY} (?:{_ASKED}|{_OTHERS}) [\w']"
    rf"|(?:who|what|which) \w+(?:s|ed)?\b(?! {_AUXILIARY})(?!.*\b(?:is|was)\b).{{0,60}}$"
    r"|(?:shall|should|may|might) (?:i|we|you) \w"
    r"|any(?:one|body)\b|any (?:idea|chance|news|update|questions|other)\b"
    r"|(?:which|what) \w+$"
)
