"""Ids of sixteen digits, as the API writes them: random ones and derived ones."""

from __future__ import annotations

import hashlib
import os
import secrets

_SMALLEST = 10**15
_COUNT = 9 * 10**15  # numbers of sixteen digits


def random_id() -> str:
    """Return a new id for a conversation or a record of the account."""
    return str(_SMALLEST + secrets.randbelow(_COUNT))


def random_uuid() -> str:
    """Return a new UUID of version 4 for a job: as ``uuid4()``, in a fifth of the time."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def derived_id(*parts: object) -> str:
    """Return the id that always belongs to these parts."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return str(_SMALLEST + int.from_bytes(digest[:8]) % _COUNT)
