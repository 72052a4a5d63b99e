"""What a FILE of the command line is: a path, a link, or ``-`` for standard input."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from symbl_aio import AudioURL, ConfigurationError, VideoURL

Given: TypeAlias = str | Path | AudioURL | VideoURL
Kind: TypeAlias = Literal["audio", "video"]

STDIN: Final = "-"
_AUDIO: Final = frozenset("mp3 wav wave amr aac ac3 aif aiff flac ogg oga opus wma m4a".split())
_VIDEO: Final = frozenset(("mp4", "m4v"))


@contextmanager
def opened(files: Sequence[str], kind: Kind | None) -> Iterator[list[Given]]:
    """Yield what to submit. Standard input is read to its end first: its length has to be known.

    ``kind``: of links whose ending does not name it. Raises ``ConfigurationError`` for a link
    without a known kind, and for standard input that is a terminal or asked for twice.
    """
    if files.count(STDIN) > 1:
        raise ConfigurationError("- stands for standard input, which can be read once only")
    links = {file: _link(file, kind) for file in files if is_link(file)}
    with tempfile.TemporaryDirectory(prefix="symbl-aio-") as directory:
        spooled = _spool(Path(directory)) if STDIN in files else None
        yield [spooled if spooled and file == STDIN else links.get(file, file) for file in files]


def labels(sources: Sequence[str]) -> list[str]:
    """Name each source once: a file given twice is told apart."""
    seen: dict[str, int] = {}
    named = []
    for source in sources:
        seen[source] = seen.get(source, 0) + 1
        named.append(source if seen[source] == 1 else f"{source} ({seen[source]})")
    return named


def is_link(file: str) -> bool:
    """Return whether it is an http(s) URL, and not the path of a file."""
    return file.lower().startswith(("http://", "https://"))


def shown(file: str) -> str:
    """Return how a source is named; a link without what may be secret in it."""
    if not is_link(file):
        return file
    try:
        parts = urlsplit(file)
    except ValueError:
        return "a link"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}{'?…' if parts.query else ''}"


def _link(file: str, kind: Kind | None) -> AudioURL | VideoURL:
    if kind is None:
        try:
            ending = PurePosixPath(unquote(urlsplit(file).path)).suffix[1:].lower()
        except ValueError:
            raise ConfigurationError("FILE is not a URL; give a direct http(s) link") from None
        if ending not in _AUDIO | _VIDEO:
            raise ConfigurationError(
                f"{shown(file)} does not end like a recording; add --kind audio or --kind video"
            )
        kind = "video" if ending in _VIDEO else "audio"
    return VideoURL(file) if kind == "video" else AudioURL(file)


def _spool(directory: Path) -> Path:
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigurationError("- stands for a recording on standard input; pipe one into it")
    path = directory / "stdin"
    with open(path, "xb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, 2**20)
    return path
