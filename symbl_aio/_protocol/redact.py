"""Redaction of secrets in a server's texts: some repeat the request in their errors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, unquote, urlsplit

_MIN_SECRET_LENGTH: Final = 8
"""A shorter text is a placeholder, such as "secret", and would be redacted in any sentence."""

_MAX_WORD_LENGTH: Final = 15
"""A longer part of a path, if it is no file's name, may be a nonce or a signature."""


def secrets_of(url: str) -> tuple[str, ...]:
    """Return the secret parts of a URL: user, password, query, and random parts of its path."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return (url,)
    user, _, _ = parts.netloc.rpartition("@")
    values = [pair.partition("=")[2] for pair in parts.query.split("&")]
    path = [p for p in parts.path.split("/") if len(p) > _MAX_WORD_LENGTH and "." not in p]
    found = [user, *user.split(":"), parts.query, *values, *path]
    return tuple(secret for secret in found if secret)


def redact(text: str, secrets: Iterable[str]) -> str:
    """Replace every secret, in each of its encodings, by ``[secret]``."""
    found = {
        form for secret in secrets for form in _forms(secret) if len(form) >= _MIN_SECRET_LENGTH
    }
    for secret in sorted(found, key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return text


def _forms(secret: str) -> Iterator[str]:
    for plain in (secret, unquote(secret)):
        yield plain
        yield quote(plain, safe="")
        yield quote(plain)
        for ascii_only in (True, False):
            inside = json.dumps(plain, ensure_ascii=ascii_only)[1:-1]
            yield inside
            yield inside.replace("/", "\\/")
