"""Name what was submitted, so that a person recognises it in an event or a log line."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from symbl_aio.media import AudioURL, Media, Recording, Text, VideoURL

_NOT_IN_A_LINE: Final = ("Cc", "Cs", "Zl", "Zp")
_TURNS_A_LINE: Final = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
_LONGEST: Final = 120
_AFTER_PATH: Final = re.compile(r"[;?#&=]|%3[bdf]|%2[36]", re.IGNORECASE)


def naming(media: Media | Recording, given: str | None) -> Callable[[], str] | None:
    """Return what names media for events and log lines when asked; ``None`` for a text.

    ``given`` is the caller's own name for bytes and streams. No bytes are kept.
    """
    if isinstance(media, Text):
        return None
    source = media.path if isinstance(media, Recording) else getattr(media, "source", media)
    if isinstance(source, str | os.PathLike | AudioURL | VideoURL):
        return partial(source_name, source)
    return None if given is None else partial(one_line, given)


def source_name(source: str | os.PathLike[str] | AudioURL | VideoURL) -> str:
    """Name a path or link for events and log lines, in one line of at most 120 characters.

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
    """Make a name safe for a log: nothing that breaks or turns a line, or has no UTF-8."""
    if name.isprintable() and len(name) <= _LONGEST:
        return name
    shown = "".join("\ufffd" if _breaks_a_line(c) else c for c in name)
    return shown if len(shown) <= _LONGEST else f"{shown[:80]}…{shown[-39:]}"


def labelled(key: str, source: str | None) -> str:
    """Return a key with the name of its source, if that adds anything."""
    return key if source is None or source == key else f"{key} ({source})"


def _breaks_a_line(character: str) -> bool:
    return (
        unicodedata.category(character) in _NOT_IN_A_LINE
        or unicodedata.bidirectional(character) in _TURNS_A_LINE
    )
