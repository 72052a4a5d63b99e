"""The file of a ledger: an SQLite database, for one process at a time."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from symbl_aio import ConfigurationError
from symbl_aio._private_files import make_file, make_folder

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE item (
    id INTEGER PRIMARY KEY, source TEXT NOT NULL, sha256 TEXT NOT NULL, meeting TEXT,
    name TEXT NOT NULL, state TEXT NOT NULL, since REAL NOT NULL, conversation TEXT, token TEXT,
    messages INTEGER, error TEXT, seconds REAL
);
CREATE TABLE file (
    source TEXT PRIMARY KEY, size INTEGER NOT NULL, modified_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL, sha256 TEXT NOT NULL, seconds REAL
);
"""
_LATER: Final = (
    "CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS item_source ON item (source)",
    "CREATE INDEX IF NOT EXISTS item_sha256 ON item (sha256)",
    "CREATE INDEX IF NOT EXISTS item_meeting ON item (meeting) WHERE meeting IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS item_open ON item (state) WHERE state IN ('sending', 'accepted')",
)
"""Additions that an earlier release neither needs nor minds: the version stays."""


class LedgerError(ConfigurationError):
    """The ledger cannot be used: it is in use, unreadable, or its disk fails."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, or create it, for this process alone. Blocks.

    Raises ``LedgerError`` if another process uses it, or if it is no ledger.
    """
    try:
        make_folder(path.parent)
        make_file(path)
        return _connect(path)
    except (OSError, sqlite3.Error) as error:
        why: object = getattr(error, "strerror", None) or error
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            # Another ledger is no remedy: it would send what this one has sent.
            raise LedgerError(
                f"the ledger {path} is in use: wait for the end of the other upload"
            ) from None
        raise LedgerError(
            f"the ledger {path} cannot be used ({why}); give another with --ledger"
        ) from None


def _connect(path: Path) -> sqlite3.Connection:
    file = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        file.execute("PRAGMA locking_mode = EXCLUSIVE")
        tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master")}
        if tables and "item" not in tables:
            raise LedgerError(f"{path} is another program's database; give another with --ledger")
        file.execute("PRAGMA journal_mode = WAL")
        # With an fsync for each commit, unlike the journal of jobs: after a power cut, an
        # intent that is missing would send a recording twice.
        file.execute("PRAGMA synchronous = FULL")
        file.execute("BEGIN EXCLUSIVE")
        ((version,),) = file.execute("PRAGMA user_version")
        if version == 0:
            for statement in _SCHEMA.strip().split(";\n"):
                file.execute(statement)
            file.execute(f"PRAGMA user_version = {_VERSION}")
        elif version != _VERSION:
            raise LedgerError(
                f"the ledger {path} is of version {version}; this release reads version "
                f"{_VERSION}: upgrade symbl-aio, or give another with --ledger"
            )
        for statement in _LATER:
            file.execute(statement)
        file.execute("COMMIT")
    except BaseException:
        file.close()
        raise
    return file
