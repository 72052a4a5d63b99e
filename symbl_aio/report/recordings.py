"""The recording of a report: within the page if it is small, else as a link beside it."""

from __future__ import annotations

import mimetypes
import os
from base64 import b64encode
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote, urlsplit

from symbl_aio.report.content import Recording

__all__ = ["EMBEDDED_BYTES", "recording"]

EMBEDDED_BYTES: Final = 8_000_000
"""Size up to which a recording is put into the page, in bytes."""

_VIDEO: Final = (".mp4", ".m4v", ".mov", ".webm", ".mkv")
_PLAYED_AS: Final = {".m4a": "audio/mp4", ".wav": "audio/wav", ".aac": "audio/aac"}
"""Types for which systems keep names that browsers do not play."""


def recording(
    source: str | os.PathLike[str],
    *,
    page: str | os.PathLike[str] = "report.html",
    embed: int = EMBEDDED_BYTES,
    kind: Literal["audio", "video"] | None = None,
) -> Recording:
    """Return the recording for a report that is written to ``page``.

    ``source`` is an http(s) link or a file. A file of at most ``embed`` bytes is put into the
    page; a larger one is linked by its path from the directory of ``page``, so both must move
    together. A link is fetched only when the reader plays it. ``kind`` is guessed from the
    name if it is not given. Reads the file: call it in a thread where an event loop runs.
    Raises ``OSError`` if the file cannot be read, ``ValueError`` for a link of another kind.
    """
    text = os.fspath(source)
    parts = urlsplit(text)
    if "://" in text:
        if parts.scheme not in ("http", "https"):
            raise ValueError("a recording is a file, or an http or https link")
        return Recording(url=text, kind=kind or _kind_of(parts.path))
    path = Path(text)
    kind = kind or _kind_of(path.name)
    if path.stat().st_size <= embed:
        data = b64encode(path.read_bytes()).decode()
        return Recording(url=f"data:{_type_of(path, kind)};base64,{data}", kind=kind)
    beside = os.path.relpath(path.resolve(), Path(page).resolve().parent)
    # "./" so that a name with a colon is not taken for a URL with a scheme.
    return Recording(url="./" + quote(Path(beside).as_posix()), kind=kind)


def _kind_of(name: str) -> Literal["audio", "video"]:
    return "video" if name.lower().endswith(_VIDEO) else "audio"


def _type_of(path: Path, kind: str) -> str:
    named = _PLAYED_AS.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0] or ""
    return named if named.startswith(("audio/", "video/")) else f"{kind}/mp4"
