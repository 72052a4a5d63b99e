"""Find plain statements of a called person about the call. API section 6.20.

Only the four intents that the API names, each by unambiguous phrases.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import frozen

from symbl_aio.server.language.values import Message

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
        for kind, pattern in _INTENT_PATTERNS
        if pattern.search(message.text.replace("\u2019", "'"))
    )


_SPEAKER_IS = r"\b(?:I'm|I am|we're|we are)"

_INTENT_PATTERNS = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (
            "answering_machine",
            r"\b(?:leave|record) (?:a|your|me a) message\b.*\b(?:tone|beep)\b"
            r"|\b(?:tone|beep)\b.*\b(?:leave|record) (?:a|your|me a) message\b"
            r"|\byou(?:'ve| have) reached the (?:voicemail|mailbox) of\b",
        ),
        (
            "do_not_call",
            r"\b(?:don't|do not|never|stop|quit) call(?:ing)? (?:me|us|here|this number)\b"
            r"|\b(?:take|remove) (?:me|us|my number|this number) (?:off|from) (?:your|the) .*list\b"
            r"|\bdo[ -]not[ -]call list\b",
        ),
        ("not_interested", rf"{_SPEAKER_IS} (?:really |just )?not (?:at all )?interested\b"),
        ("interested", rf"{_SPEAKER_IS} (?:really |very |definitely |quite |so )*interested\b"),
    )
)
