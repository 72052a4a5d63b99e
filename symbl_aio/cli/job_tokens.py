"""Job tokens in commands: base64url, which a shell takes without quotes."""

from __future__ import annotations

import base64
import binascii
from typing import Final

_BEGINS: Final = "eyJ"
"""The begin of any JSON object in base64url; no job id begins like it."""


def shortened(token: str) -> str:
    """Return a token, which is JSON, as it stands in commands."""
    return base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


def restored(text: str) -> str:
    """Return the token that a command names: in base64url, as JSON, or a plain job id."""
    if not text.startswith(_BEGINS):
        return text
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return text
