"""Secrets of applications: hashed at rest and in memory, verified in constant time.

A file of applications has one line for each, ``ID:HASH``, or ``ID:SECRET`` for a secret that was
written by hand. The hash is that of scrypt, which makes a guess cost 16 MiB and some 50 ms.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from base64 import b64decode, b64encode
from pathlib import Path

from attrs import define, field

_PREFIX = "scrypt:"
_COST, _BLOCK, _PARALLEL = 2**14, 8, 1

# For comparisons in this process only: a copy of its memory does not contain the secrets.
_PROCESS_KEY = secrets.token_bytes(32)


class SecretsFileError(ValueError):
    """A line of the file cannot be read. The message has its number, and no part of it."""


def hash_secret(secret: str) -> str:
    """Return the hash of a secret as text for a file, with a salt of its own."""
    salt = secrets.token_bytes(16)
    return f"{_PREFIX}{b64encode(salt).decode()}:{b64encode(_scrypt(secret, salt)).decode()}"


@define(eq=False)
class AppSecret:
    """The secret of one application.

    ``slow``: it is known by its scrypt hash, so the first right verification takes time. Later
    ones compare a keyed digest.
    """

    _salt: bytes | None = field(repr=False)
    _hash: bytes | None = field(repr=False)
    _digest: bytes | None = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> AppSecret:
        """Return the secret of a text, or of the hash in it. Raises ValueError for a bad hash."""
        if not text.startswith(_PREFIX):
            return cls(None, None, _digest(text))
        salt, _, value = text.removeprefix(_PREFIX).partition(":")
        return cls(b64decode(salt, validate=True), b64decode(value, validate=True), None)

    @property
    def slow(self) -> bool:
        return self._digest is None

    def matches(self, secret: str) -> bool:
        """Return whether this is the secret. While ``slow``, call it in a thread."""
        if self._digest is not None:
            return hmac.compare_digest(_digest(secret), self._digest)
        assert self._salt is not None
        assert self._hash is not None
        right = hmac.compare_digest(_scrypt(secret, self._salt), self._hash)
        if right:
            self._digest = _digest(secret)
        return right


def read_secrets(path: Path) -> dict[str, str]:
    """Return the secrets, or their hashes, by application. Raises OSError, SecretsFileError."""
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        app_id, colon, secret = text.partition(":")
        try:
            AppSecret.parse(secret)
        except ValueError:
            colon = ""
        if not colon or not app_id or not secret or app_id in found:
            raise SecretsFileError(
                f"line {number} of {path} is not ID:SECRET or ID:HASH, or its ID is there twice"
            )
        found[app_id] = secret
    return found


def made_up_secret() -> str:
    """Return a new secret, of 32 random bytes."""
    return secrets.token_urlsafe(32)


def add_secret(path: Path, app_id: str, secret: str) -> None:
    """Append the hash of an application's secret to the file. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{app_id}:{hash_secret(secret)}\n")


def _digest(secret: str) -> bytes:
    return hmac.digest(_PROCESS_KEY, secret.encode(), "sha256")


def _scrypt(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        secret.encode(), salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, maxmem=64 * 1024**2, dklen=32
    )
