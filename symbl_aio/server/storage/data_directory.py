"""The data directory: its default place, its lock, its permissions, and the rest of a crash."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO, Final

from symbl_aio.server.storage.database import GONE, Database
from symbl_aio.server.storage.schema import SchemaError
from symbl_aio.server.storage.sqlite_store import SQLiteStore
from symbl_aio.server.storage.store import StorageError
from symbl_aio.server.thread_pool import run_in_thread

logger = logging.getLogger("symbl_aio.server")

DATABASE: Final = "symbl.sqlite3"
BODIES: Final = "bodies"
# The hash of a secret that was made up at the first start.
APPLICATIONS: Final = "applications"
_LOCK: Final = "lock"
# Directories in which a backup is made.
WORK_PREFIX: Final = "backup-"
_OURS: Final = frozenset(
    # tls: certificates that the server signs itself
    (DATABASE, *(f"{DATABASE}-{end}" for end in ("wal", "shm", "journal")), BODIES, _LOCK)
) | {"tls", APPLICATIONS}
# mkfs creates it in a file system, such as a volume of the directory's own.
_IGNORED: Final = frozenset(("lost+found",))

_FOR_ITS_USER: Final = "; it, and its files, have to belong to the user that runs the server"

# A service manager may start a server while the one before it still stops.
_LOCK_PATIENCE: Final = 5.0
_LOCK_PAUSE: Final = 0.05


class DataDirectoryError(StorageError):
    """The directory cannot be used: another server uses it, or it belongs to something else."""


def default_directory() -> Path:
    """Return the directory of this user, such as ``~/.local/share/symbl-aio``."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        # The specification ignores a relative path.
        given = os.environ.get("XDG_DATA_HOME", "")
        base = given if given.startswith("/") else "~/.local/share"
    return Path(base).expanduser() / "symbl-aio"


class DataDirectory:
    """A directory with the database and the bodies of one server.

    ``keeps_bodies``: recordings outlive their jobs, until they are forgotten.
    """

    def __init__(self, path: Path, *, keeps_bodies: bool) -> None:
        self.path = path
        self.bodies = path / BODIES
        self.survives = True
        self.keeps_bodies = keeps_bodies
        self._database = Database(path / DATABASE)
        self._lock: BinaryIO | None = None

    async def open(self) -> None:
        """Create or lock the directory, and open its database.

        Waits up to five seconds for a server that is stopping. Raises ``DataDirectoryError``,
        or ``StorageError`` if the disk fails.
        """
        try:
            self._lock = await run_in_thread(_prepare, self.path)
            await self._database.open()
            referenced = await self._database.submit(self._referenced)
            await run_in_thread(self._remove_orphans, referenced)
        except SchemaError as error:
            raise DataDirectoryError(f"{self.path} cannot be used: {error}") from error
        except OSError as error:
            remedy = _FOR_ITS_USER if isinstance(error, PermissionError) else ""
            raise DataDirectoryError(
                f"{self.path} cannot be used as the data directory: "
                f"{error.strerror or error}{remedy}"
            ) from error

    def store(self, application: str) -> SQLiteStore:
        """Return the store of one application."""
        return SQLiteStore(self._database, application, self)

    async def applications(self) -> Collection[str]:
        """Return the applications of which conversations or jobs are stored."""
        return await self._database.submit(_applications)

    def obstacle(self) -> str | None:
        return GONE if self._database.has_gone else None

    async def aclose(self) -> None:
        """Close the database, and unlock the directory. Closing twice is safe."""
        await self._database.aclose()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _referenced(self, connection: sqlite3.Connection) -> set[str]:
        """Return the names of the bodies that jobs refer to."""
        if not self.keeps_bodies:
            # Of a server before this one, which kept them.
            connection.execute(
                "UPDATE jobs SET body = NULL WHERE body IS NOT NULL AND ended_at IS NOT NULL"
            )
        found = connection.execute("SELECT body FROM jobs WHERE body IS NOT NULL")
        return {str(name) for (name,) in found}

    def _remove_orphans(self, referenced: set[str]) -> None:
        """Remove the bodies that no job refers to: cut off by a kill, or not kept any longer."""
        count = size = 0
        for path in self.bodies.iterdir():
            if path.name not in referenced:
                count, size = count + 1, size + path.stat().st_size
                path.unlink()
        if count:
            logger.info("removed %d recordings that no job needs (%d bytes)", count, size)


def _applications(connection: sqlite3.Connection) -> set[str]:
    found = connection.execute(
        "SELECT application FROM conversations UNION SELECT application FROM jobs"
    )
    return {str(name) for (name,) in found}


def lock_directory(path: Path, patience: float) -> BinaryIO:
    """Lock a directory until the file is closed or the process ends.

    Blocks for ``patience`` seconds while another process has the lock, then raises
    DataDirectoryError.
    """
    file = open_private(path / _LOCK)
    deadline = time.monotonic() + patience
    while not _try_lock(file):
        if time.monotonic() >= deadline:
            owner = file.read().decode(errors="replace").strip() or "unknown"
            file.close()
            raise DataDirectoryError(
                f"{path} is in use by another server (process {owner}); "
                "stop it, or choose another data directory"
            )
        time.sleep(_LOCK_PAUSE)
    # For the message above only: the lock itself ends with the process.
    file.truncate(0)
    file.write(f"{os.getpid()}\n".encode())
    return file


def open_private(path: Path) -> BinaryIO:
    """Open a file of this user alone, unbuffered, and create it if there is none."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    return os.fdopen(descriptor, "r+b", buffering=0)


def create_private(path: Path) -> None:
    """Create a directory of this user alone, with its parents, or make an existing one private."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.stat().st_mode & 0o077 and sys.platform != "win32":
        path.chmod(0o700)


def check_directory(path: Path) -> None:
    """Raise DataDirectoryError for a directory with other files than those of a server."""
    if path.is_dir():
        others = {entry.name for entry in path.iterdir()} - _OURS - _IGNORED
        others = {name for name in others if not name.startswith(WORK_PREFIX)}
        if others:
            # Its permissions are about to change, and it may be a home directory.
            raise DataDirectoryError(
                f"{path} is no data directory: it contains {sorted(others)[0]}; "
                "choose another one, or a new one"
            )


def claim(path: Path, patience: float = _LOCK_PATIENCE) -> BinaryIO:
    """Create a data directory, or check an existing one, and lock it; the file is the lock.

    Blocks for ``patience`` seconds while another process has the lock. Raises OSError and
    DataDirectoryError.
    """
    check_directory(path)
    create_private(path)
    return lock_directory(path, patience)


def _remove_rest(path: Path) -> None:
    """Remove the directory of a backup that was killed. One of another user is logged."""
    try:
        shutil.rmtree(path)
    except OSError as error:
        logger.warning("%s cannot be removed (%s)", path, error.strerror or error)


def _check_database(path: Path) -> None:
    """Raise DataDirectoryError if the database has gone and other files of it are there.

    A new one in its place would know none of the recordings, and their files would be removed.
    """
    if (path / DATABASE).exists() and (path / DATABASE).stat().st_size:
        return
    log = path / f"{DATABASE}-wal"
    found = "recordings" if any((path / BODIES).iterdir()) else ""
    if not found and log.exists() and log.stat().st_size:
        found = "the log of a database"
    if found:
        raise DataDirectoryError(
            f"{path} has {found}, but no database: put {DATABASE} back, or restore a backup into "
            "a new directory"
        )


def _prepare(path: Path) -> BinaryIO:
    lock = claim(path)
    try:
        for entry in path.iterdir():
            if entry.name.startswith(WORK_PREFIX):
                _remove_rest(entry)
        create_private(path / BODIES)
        _check_database(path)
        # SQLite gives its other files the permissions of this one.
        open_private(path / DATABASE).close()
    except BaseException:
        lock.close()
        raise
    return lock


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: BinaryIO) -> bool:
        # Far behind the text, which others may read meanwhile.
        file.seek(1 << 30)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            file.seek(0)
        return True

else:
    import fcntl

    def _try_lock(file: BinaryIO) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
