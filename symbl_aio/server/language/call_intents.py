"""Find plain statements of a called person about the call. API section 6.20.

Only the four intents that the API names, each by unambiguous phrases.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import frozen

from symbl_aio.server.language.analysis_values import Message

SCORE = 0.9  # ranks only, like all scores here


@frozen
class Intent:
    """``kind`` is one of the API's names; ``message`` is the index of the message."""

    kind: str
    message: int


def find_intents(messages: Iterable[Message]) -> tuple[Intent, ...]:
    """Return the intents in message order; a message has at most one of each kind."""
    return tuple(
        Intent(kind, index)
        for index, message in enumerate(messages)
        for kind, patterns in _INTENT_PATTERNS
        if _any_group(patterns, message.text.replace("\u2019", "'"))
    )


_SPEAKER_IS = r"\b(?:I'm|I am|we're|we are)"


def _any_group(groups: Iterable[tuple[re.Pattern[str], ...]], text: str) -> bool:
    """Return whether all patterns of at least one group occur in the text."""
    return any(all(pattern.search(text) for pattern in group) for group in groups)


def _group(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)


# For each kind the groups of patterns; the patterns of a group may occur in any order.
_INTENT_PATTERNS = (
    (
        "answering_machine",
        (
            _group(
                r"\b(?:leave|record) (?:a|your|me a) message\b",
                r"\b(?:tone|beep)\b",
            ),
            _group(r"\byou(?:'ve| have) reached the (?:voicemail|mailbox) of\b"),
        ),
    ),
    (
        "do_not_call",
        (
            _group(r"\b(?:don't|do not|never|stop|quit) call(?:ing)? (?:me|us|here|this number)\b"),
            _group(
                r"\b(?:take|remove) (?:me|us|my number|this number) (?:off|from) "
                r"(?:your|the) (?:[\w-]+ ){0,4}lists?\b"
            ),
            _group(r"\bdo[ -]not[ -]call list\b"),
        ),
    ),
    ("not_interested", (_group(rf"{_SPEAKER_IS} (?:really |just )?not (?:at all )?interested\b"),)),
    (
        "interested",
        (_group(rf"{_SPEAKER_IS} (?:really |very |definitely |quite |so )*interested\b"),),
    ),
)
