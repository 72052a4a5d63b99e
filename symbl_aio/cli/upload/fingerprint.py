"""Identity of a recording: its content's hash, its length, and why the API would refuse it."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import Final

from attrs import frozen

from symbl_aio import MediaRejectedError
from symbl_aio._media.inspect import examine, feed
from symbl_aio._threads import Threads, Watch
from symbl_aio.cli.upload.find_files import Found
from symbl_aio.media import Recording

READERS: Final = 4
"""Recordings that are read at a time."""
_STALL: Final = 3600.0
"""Seconds that a thread may take to read one recording for its hash."""


@frozen
class Stamp:
    """What a file system shows of a file; another stamp means that it may have changed."""

    size: int
    """Bytes."""
    modified_ns: int
    """Time of the last change, nanoseconds since 1970."""
    inode: int
    """Its number in the file system."""

    @classmethod
    def of(cls, result: os.stat_result) -> Stamp:
        """Return the stamp in the result of ``os.stat``."""
        return cls(result.st_size, result.st_mtime_ns, result.st_ino)


@frozen
class Fingerprint:
    """The content of a recording."""

    sha256: str
    """In hexadecimal digits; of a link, that of its text."""
    seconds: float | None
    """Its length, if its header has it."""
    stamp: Stamp | None
    """Of the file when it was read; ``None`` for a link."""


def reading_threads() -> Watch:
    """Return the threads that read recordings; none starts before it is needed."""
    return Watch(Threads("symbl-aio read", READERS), _STALL)


def stamp_of(path: str) -> Stamp | None:
    """Return the stamp of a file, ``None`` if there is none. Blocks."""
    try:
        return Stamp.of(os.stat(path))
    except OSError:
        return None


def fingerprint(found: Found, known: Fingerprint | None, *, hashed: bool = True) -> Fingerprint:
    """Read a recording, unless its stamp is the ``known`` one. Blocks.

    Without ``hashed`` its content is not read, and its hash is empty.

    Raises ``MediaRejectedError`` for a recording that the API would refuse, or that a program
    writes to, and ``OSError`` for one that cannot be read.
    """
    if found.link is not None:
        return Fingerprint(found.source.rpartition("#")[2], None, None)
    path = found.source
    # Before it is opened: opening a pipe would block until a process writes to it.
    first = os.stat(path)
    if not stat.S_ISREG(first.st_mode):
        raise MediaRejectedError(f"{found.label} is not a regular file; give a recording")
    if known is not None and known.stamp == Stamp.of(first):
        return known
    with open(path, "rb") as file:
        before = Stamp.of(os.fstat(file.fileno()))

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        prepared = feed(examine(Recording(path), before.size), read)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest() if hashed else ""
        if Stamp.of(os.fstat(file.fileno())) != before:
            raise MediaRejectedError(f"{found.label} changed while it was read; try again later")
    return Fingerprint(digest, prepared.duration, before)
