"""Ids of sixteen digits, as the API writes them: random ones and derived ones."""

from __future__ import annotations

import hashlib
import secrets

_SMALLEST = 10**15
_COUNT = 9 * 10**15  # numbers of sixteen digits


def random_id() -> str:
    """Return a new id for a conversation or a record of the account."""
    return str(_SMALLEST + secrets.randbelow(_COUNT))


def derived_id(*parts: object) -> str:
    """Return the id that always belongs to these parts."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return str(_SMALLEST + int.from_bytes(digest[:8]) % _COUNT)
