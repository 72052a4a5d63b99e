"""Text from bytes whose charset another program names: a server's answer, a field of a form."""

from __future__ import annotations

import codecs
import json
from typing import Final

_KNOWN: Final = frozenset({"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252"})
"""What text on the web comes in, by Python's names. Of the others that Python knows, some are no
charsets (hex), and decoding one (punycode) takes the square of the time."""


def known_charset(label: str) -> str | None:
    """Return Python's name of a charset; ``None`` for one that text on the web does not have."""
    try:
        name = codecs.lookup(label).name
    except (LookupError, ValueError):
        return None
    return name if name in _KNOWN else None


def answer_text(raw: bytes, label: str | None) -> str:
    """Return the text of an answer, whose header names the charset ``label``, if any.

    Never raises: what no charset fits is decoded with replacement characters.
    """
    # A byte order mark, and the zeros of UTF-16 and UTF-32, prove more than a header does.
    # Nothing but zeros proves nothing.
    charsets: list[str] = [json.detect_encoding(raw) if any(raw[:4]) else "utf-8"]
    if charsets == ["utf-8"] and (named := known_charset(label or "utf-8")) is not None:
        charsets.insert(0, named)
    for charset in charsets:
        try:
            return raw.decode(charset)
        except UnicodeDecodeError:
            continue
    return raw.decode(charsets[0], errors="replace")
