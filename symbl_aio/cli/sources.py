"""The FILE arguments of the command line: a path, a link, or ``-`` for standard input."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from symbl_aio import AudioURL, ConfigurationError, VideoURL
from symbl_aio.cli.safe_streams import stdin

Given: TypeAlias = str | Path | AudioURL | VideoURL
Kind: TypeAlias = Literal["audio", "video"]

STDIN: Final = "-"
AUDIO: Final = frozenset("mp3 wav wave amr aac ac3 aif aiff flac ogg oga opus wma m4a".split())
VIDEO: Final = frozenset(("mp4", "m4v"))


@contextmanager
def opened(files: Sequence[str], kind: Kind | None) -> Iterator[list[Given]]:
    """Yield the media to submit. Standard input is read to its end first, to know its length.

    ``kind`` is that of links whose file extension does not show it. Raises
    ``ConfigurationError`` for a link without a known kind, and for standard input that is a
    terminal or given twice.
    """
    if files.count(STDIN) > 1:
        raise ConfigurationError("- stands for standard input, which can be read once only")
    # Before standard input is read, which may take long: a wrong link fails at once.
    links = {file: link_of(file, kind) for file in files if is_link(file)}
    with tempfile.TemporaryDirectory(prefix="symbl-aio-") as directory:
        spooled = _spool(Path(directory)) if STDIN in files else None
        yield [spooled if spooled and file == STDIN else links.get(file, file) for file in files]


def labels(sources: Sequence[str]) -> list[str]:
    """Return a unique name for each source: the second ``a.mp4`` is ``a.mp4 (2)``."""
    seen: dict[str, int] = {}
    named: dict[str, None] = {}
    taken = set(sources)
    for source in sources:
        name = source
        # A file may have the name of another one's copy.
        while name in named or (name != source and name in taken):
            seen[source] = seen.get(source, 1) + 1
            name = f"{source} ({seen[source]})"
        named[name] = None
    return list(named)


def is_link(file: str) -> bool:
    """Return whether an argument is an http(s) URL, and not a path."""
    return file.lower().startswith(("http://", "https://"))


def redacted(file: str) -> str:
    """Return a source for display; a link without user, password and query, which may be secret."""
    if not is_link(file):
        return file
    try:
        parts = urlsplit(file)
    except ValueError:
        return "a link"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}{'?…' if parts.query else ''}"


def link_of(file: str, kind: Kind | None) -> AudioURL | VideoURL:
    """Return the media of a link, by ``kind`` or else by its ending.

    Raises ``ConfigurationError`` if neither is known, or for a link that is never accepted.
    """
    link = AudioURL(file)  # raises first for a link that no kind makes usable
    if kind is None:
        extension = PurePosixPath(unquote(urlsplit(file).path)).suffix[1:].lower()
        if extension not in AUDIO | VIDEO:
            raise ConfigurationError(
                f"{redacted(file)} does not end like a recording; add --kind audio or --kind video"
            )
        kind = "video" if extension in VIDEO else "audio"
    return VideoURL(file) if kind == "video" else link


def _spool(directory: Path) -> Path:
    stream = stdin()
    if stream is None or stream.isatty():
        raise ConfigurationError("- stands for a recording on standard input; pipe one into it")
    # A copy on disk, since the API needs the length before the first byte.
    path = directory / "stdin"
    with open(path, "xb") as file:
        shutil.copyfileobj(stream, file, 2**20)
    return path
