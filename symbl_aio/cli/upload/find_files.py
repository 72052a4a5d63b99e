"""Recordings below folders, in the natural order of their names: ``part 2`` before ``part 10``."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Final
from urllib.parse import urlsplit

from attrs import frozen

from symbl_aio import ConfigurationError
from symbl_aio.cli.sources import AUDIO, STDIN, VIDEO, is_link, redacted

_OTHER_MEDIA: Final = frozenset(
    "3gp asf avi caf flv m2ts m4b mka mkv mov mpeg mpg mts ts webm wmv".split()
)
"""Formats that the API refuses: named with the reason, and not passed over in silence."""

NOT_FOLLOWED: Final = "a symbolic link to a folder is not followed; give it as a FOLDER, too"

_SUFFIXES: Final = AUDIO | VIDEO | _OTHER_MEDIA
_DIGITS: Final = re.compile(r"(\d+)")

NaturalKey = tuple[tuple[tuple[int, int, str], ...], str]


@frozen
class Found:
    """A recording that was found, or that the user named."""

    source: str
    """Its identity in the ledger: a path in the real folder; of a link, its host, path and hash."""
    label: str
    """Its name for people: the path as given, or the link without its secrets."""
    relative: str
    """Its path below the folder that was given, with ``/``."""
    root: str
    """The absolute path of that folder; of a file, its own folder; of a link, its origin."""
    link: str | None = None
    """The link itself, which may be a secret."""

    @property
    def folder(self) -> str:
        """The folder part of ``relative``, empty at the top."""
        return self.relative.rpartition("/")[0]

    @property
    def stem(self) -> str:
        """The file's name without its extension."""
        return PurePath(self.relative).stem


@frozen
class Listing:
    """The recordings below the given paths, and the other files and folders that were met."""

    found: tuple[Found, ...]
    """Each once, in the order of the paths and by natural order below each."""
    left_out: int
    """Files that are no recordings, by their ending; hidden ones are not counted."""
    unreadable: tuple[tuple[str, str], ...]
    """Folders that could not be read, each with the reason."""
    links: tuple[str, ...] = ()
    """Symbolic links to folders, which are not followed."""


def natural(path: str) -> NaturalKey:
    """Return a key that sorts paths as people do: by folder, numbers by their value."""
    # Numbers sort before letters; the path itself decides between 'a1' and 'a01'.
    parts = tuple(
        (0, int(piece), "") if piece.isdecimal() else (1, 0, piece.casefold())
        for folder in path.split("/")
        for piece in (*filter(None, _DIGITS.split(folder)), "\0")
    )
    return parts, path


def find(paths: Sequence[str]) -> Listing:
    """List the recordings of folders, files and links. Blocks while it reads the folders.

    A file that is named is listed whatever its ending, also if it does not exist: its upload
    reports the reason. Hidden files and folders below a folder are passed over, and symbolic
    links to folders are not followed: what they lead to may be below the folder as well.
    """
    found: dict[str, Found] = {}
    left_out = 0
    unreadable: list[tuple[str, str]] = []
    links: list[str] = []

    def note(error: OSError) -> None:
        unreadable.append((str(error.filename), error.strerror or type(error).__name__))

    many = len(paths) > 1
    for path in paths:
        if is_link(path):
            link = _link(path)
            found.setdefault(link.source, link)
        elif not os.path.isdir(path):
            root, name = os.path.split(os.path.abspath(path))
            # By whichever symbolic link a folder is reached, its recordings are the same.
            root = os.path.realpath(root)
            source = os.path.join(root, name)
            found.setdefault(source, Found(source, path, name, root))
        else:
            root = os.path.realpath(path)
            # Several folders keep their names, so that their files do not meet under one name.
            prefix = f"{os.path.basename(os.path.abspath(path))}/" if many else ""
            below: list[Found] = []
            for folder, folders, names in os.walk(root, onerror=note):
                folders[:] = [name for name in folders if not name.startswith(".")]
                inner = (os.path.join(folder, name) for name in folders)
                links.extend(filter(os.path.islink, inner))
                inside = os.path.relpath(folder, root)
                for name in names:
                    if name.startswith("."):
                        continue
                    if os.path.splitext(name)[1][1:].lower() not in _SUFFIXES:
                        left_out += 1
                        continue
                    relative = name if inside == "." else os.path.join(inside, name)
                    source, label = os.path.join(root, relative), os.path.join(path, relative)
                    below.append(Found(source, label, prefix + relative.replace(os.sep, "/"), root))
            for one in sorted(below, key=lambda one: natural(one.relative)):
                found.setdefault(one.source, one)
    return Listing(tuple(found.values()), left_out, tuple(unreadable), tuple(links))


def one_named(name: str) -> Found | None:
    """Return the recording at a path or a link, ``None`` for a folder."""
    return None if not is_link(name) and os.path.isdir(name) else find([name]).found[0]


def named_on(stdin: str) -> list[str]:
    """Return the paths and links of a list: one on each line, or separated by NUL."""
    return [name for name in re.split("\0" if "\0" in stdin else "\r?\n", stdin) if name.strip()]


def expanded(paths: Sequence[str], read: Iterator[str]) -> list[str]:
    """Return the paths, with the names that ``read`` yields in the place of ``-``.

    Raises ``ConfigurationError`` for a second ``-``.
    """
    if paths.count(STDIN) > 1:
        raise ConfigurationError("- stands for names on standard input, which can be read once")
    return [name for path in paths for name in (read if path == STDIN else (path,))]


def _link(url: str) -> Found:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise ConfigurationError(
            f"{redacted(url)} is not a URL; give a direct http(s) link"
        ) from None
    digest = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
    # A signed link is a secret, and the ledger is a file: the hash alone identifies it.
    source = f"{parts.scheme.lower()}://{host}{parts.path}#{digest[:32]}"
    return Found(source, redacted(url), f"{host}{parts.path}", f"{parts.scheme}://{host}", url)
