"""Mask personal data in a text: addresses, links, numbers, and the names of the speakers.

That is a part of the personal data that a text may have: another person's name, or a place,
is not found by its form. A response says that its redaction is partial.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from symbl_aio.server.language.analysis_values import Speaker
from symbl_aio.server.language.phrase_index import PhraseIndex

# In this order: a number in an address is a part of the address.
_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("EMAIL_ADDRESS", re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)*+")),
    ("URL", re.compile(r"(?:https?://|www\.)[^\s<>\"']++", re.IGNORECASE)),
    (
        "DATE",
        re.compile(r"(?<!\d)(?:\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4})(?!\d)"),
    ),
    (
        "PHONE_NUMBER",
        re.compile(r"(?<![\d.,])(?:\+|\()?\d(?:[ ./()-]{0,2}\d){6,14}(?![\d.,]\d|\d)"),
    ),
    ("NUMBER", re.compile(r"\d++(?:[.,:/-]\d++)*+")),
)
_PERSON = "PERSON_NAME"
# Stands for the caller's mask meanwhile: a mask may have digits, which would be masked again.
_PLACEHOLDER = "\ue000"

CATEGORIES = (_PERSON, *(name for name, _ in _FORMS))


class Redactor:
    """Replaces personal data by its category, such as ``[PERSON_NAME]``.

    ``speakers``: those of the conversation; each part of a name is masked, a whole name also in
    small letters. ``exclude``: categories that stay. ``mask``: stands for every category.
    """

    def __init__(
        self,
        speakers: Iterable[Speaker],
        exclude: Collection[str] = (),
        *,
        mask: str | None = None,
    ) -> None:
        self._mask = mask
        names = [speaker.name for speaker in speakers if speaker.name]
        parts = {part for name in names for part in (name, *name.split()) if len(part) > 1}
        # "will" in small letters is a word, "will smith" is not.
        parts |= {part.upper() for part in parts} | {part.lower() for part in parts if " " in part}
        hidden = () if _PERSON in exclude else sorted(parts)
        self._names = PhraseIndex(((part, None) for part in hidden), ignore_case=False)
        self._forms = [(name, pattern) for name, pattern in _FORMS if name not in exclude]

    def redact(self, text: str) -> str:
        """Return the text with masks. Its other characters stay as they are."""
        for category, pattern in self._forms:
            text = pattern.sub(self._mask_of(category), text)
        pieces, end = [], 0
        for match in sorted(self._names.find(text), key=lambda m: (m.start, -m.end)):
            if match.start >= end:
                pieces += [text[end : match.start], self._mask_of(_PERSON)]
                end = match.end
        redacted = "".join([*pieces, text[end:]])
        return redacted if self._mask is None else redacted.replace(_PLACEHOLDER, self._mask)

    def _mask_of(self, category: str) -> str:
        return f"[{category}]" if self._mask is None else _PLACEHOLDER
