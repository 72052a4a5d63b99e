"""Names of submitted media, by which a person recognises them in events and log lines."""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Final
from urllib.parse import urlsplit

from symbl_aio.media import AudioURL, MediaLike, Recording, Text, VideoURL

_BREAKING_CATEGORIES: Final = ("Cc", "Cs", "Zl", "Zp")
_BIDI_CONTROLS: Final = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
_MAX_LENGTH: Final = 120
_AFTER_PATH: Final = re.compile(r"[;?#&=]|%3[bdf]|%2[36]", re.IGNORECASE)


def source_of(media: MediaLike | Recording, given: str | None) -> str | None:
    """Return the name of media for events and log lines; ``None`` for a text.

    ``given`` is the caller's own name for bytes and streams. The function holds no bytes.
    """
    if isinstance(media, Text):
        return None
    source = media.path if isinstance(media, Recording) else getattr(media, "source", media)
    if isinstance(source, str | os.PathLike | AudioURL | VideoURL):
        return source_name(source)
    return None if given is None else one_line(given)


def source_name(source: str | os.PathLike[str] | AudioURL | VideoURL) -> str:
    """Return the name of a path or link for events and logs: one line, at most 120 characters.

    A path by its last part; a link by its host and the last part of its path. Its user,
    port, query and parameters are left out, since a signed link is a secret.
    """
    if isinstance(source, AudioURL | VideoURL):
        parts = urlsplit(source.url)
        # A sign percent-encoded begins the query as well, for a server that decodes twice.
        path = _AFTER_PATH.split(parts.path, maxsplit=1)[0].rstrip("/")
        name = f"{parts.hostname}/{path.rpartition('/')[2]}"
    else:
        path = os.fspath(source)
        name = os.path.basename(path.rstrip(os.sep)) or path
    return one_line(name)


def one_line(name: str) -> str:
    """Return a name for logs, without characters that break or reverse a line or have no UTF-8."""
    if name.isprintable() and len(name) <= _MAX_LENGTH:
        return name
    shown = "".join("\ufffd" if _breaks_a_line(c) else c for c in name)
    return shown if len(shown) <= _MAX_LENGTH else f"{shown[:80]}…{shown[-39:]}"


def labelled(key: str, source: str | None) -> str:
    """Return a key with the name of its source, if that adds anything."""
    return key if source is None or source == key else f"{key} ({source})"


def _breaks_a_line(character: str) -> bool:
    return (
        unicodedata.category(character) in _BREAKING_CATEGORIES
        or unicodedata.bidirectional(character) in _BIDI_CONTROLS
    )
