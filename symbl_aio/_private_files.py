"""Folders and files that this user alone can read and write, whatever the umask allows."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_FOLDER: Final = 0o700
_FILE: Final = 0o600


def make_folder(path: Path) -> None:
    """Create a folder, and those above it that are missing. Existing ones stay as they are."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(_FOLDER, exist_ok=True)


def make_file(path: Path) -> None:
    """Create an empty file. An existing one stays as it is.

    SQLite gives the files that it puts beside a database (``-wal``, ``-shm``) its mode.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _FILE))
