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
_COST, _BLOCK, _PARALLEL, _LENGTH = 2**14, 8, 1, 32

# For comparisons in this process only: a copy of its memory does not contain the secrets.
_PROCESS_KEY = secrets.token_bytes(32)


class SecretsFileError(ValueError):
    """The file, or a line of it, cannot be read. The message has its number, and no part of it."""


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
        known = cls(b64decode(salt, validate=True), b64decode(value, validate=True), None)
        if known._hash is None or len(known._hash) != _LENGTH:
            raise ValueError("the hash was cut off")
        return known

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
    try:
        lines = path.read_text("utf-8-sig").splitlines()  # some editors begin a file with a mark
    except UnicodeDecodeError:
        raise SecretsFileError(f"{path} is no text in UTF-8") from None
    for number, line in enumerate(lines, 1):
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


def check_app_id(app_id: str) -> None:
    """Raise ValueError for an id that a line of the file would not give back."""
    # Neither half a character, of an argument that is not UTF-8, nor a line break is printable.
    if (
        not app_id.isprintable()
        or ":" in app_id
        or app_id != app_id.strip().lstrip("#")
        or not app_id
    ):
        raise ValueError(
            "the id of an application is printable text, without a colon, without a # at its "
            "beginning and without spaces at its ends"
        )


def add_secret(path: Path, app_id: str, secret: str) -> None:
    """Append the hash of an application's secret to the file.

    Raises OSError, and ValueError for an id that ``read_secrets`` would not return.
    """
    check_app_id(app_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with open(descriptor, "r+b", buffering=0) as file:
        # Editors leave the last line without its end.
        content = file.read()
        start = "" if not content or content.endswith(b"\n") else "\n"
        file.write(f"{start}{app_id}:{hash_secret(secret)}\n".encode())


def _digest(secret: str) -> bytes:
    return hmac.digest(_PROCESS_KEY, secret.encode(), "sha256")


def _scrypt(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        secret.encode(),
        salt=salt,
        n=_COST,
        r=_BLOCK,
        p=_PARALLEL,
        maxmem=64 * 1024**2,
        dklen=_LENGTH,
    )
