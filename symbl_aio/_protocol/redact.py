"""Strike secrets out of what a server says: some repeat the request in their refusals."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, unquote, urlsplit

_SHORTEST_SECRET: Final = 8
"""Anything shorter is a placeholder, such as "secret", and would be struck out of any sentence."""

_LONGEST_WORD: Final = 15
"""A longer part of a path, if it is no file's name, may be a nonce or a signature."""


def secrets_of(url: str) -> tuple[str, ...]:
    """Give what must not be shown of a URL: user, password, query, and random parts of its path."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return (url,)
    user, _, _ = parts.netloc.rpartition("@")
    values = [pair.partition("=")[2] for pair in parts.query.split("&")]
    path = [p for p in parts.path.split("/") if len(p) > _LONGEST_WORD and "." not in p]
    found = [user, *user.split(":"), parts.query, *values, *path]
    return tuple(secret for secret in found if secret)


def strike(text: str, secrets: Iterable[str]) -> str:
    """Put ``[secret]`` in the place of every secret, however it is encoded."""
    found = {form for secret in secrets for form in _forms(secret) if len(form) >= _SHORTEST_SECRET}
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
