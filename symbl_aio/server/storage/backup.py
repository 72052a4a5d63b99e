"""A backup of a data directory in one file, while its server runs or not, and its restoration.

The file is a tar: the database, as SQLite copies its rows at one moment, the bodies that it refers
to, and the hash of a made-up secret. A server removes a body when its job has ended. So each body
gets a second name before the database is copied, which keeps its bytes.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from symbl_aio.server.storage.data_directory import (
    APPLICATIONS,
    BODIES,
    DATABASE,
    WORK_PREFIX,
    DataDirectoryError,
    claim,
    create_private,
)
from symbl_aio.server.storage.schema import SchemaError, schema_version

# A job may be accepted, and end, between two looks at the directory: then all is done again.
_ATTEMPTS: Final = 20


def write_backup(data: Path, file: Path) -> int:
    """Write a backup of a data directory to a new file, and return its size in bytes.

    The file appears whole or not at all, for its owner alone. Raises DataDirectoryError, and
    OSError with the name of a file, such as FileExistsError.
    """
    if not (data / DATABASE).is_file():
        raise DataDirectoryError(f"{data} has no data to back up")
    if file.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    try:
        # In the directory itself, since a second name is possible on the same file system only.
        with (
            _explained(f"{data} cannot be backed up to {file}"),
            _work_directory(data) as work,
            _create(part) as stream,
        ):
            names = _snapshot(data, work)
            with tarfile.open(fileobj=stream, mode="w") as tar:
                tar.add(work / DATABASE, DATABASE)
                if (data / APPLICATIONS).exists():
                    tar.add(data / APPLICATIONS, APPLICATIONS)
                for name in sorted(names):
                    tar.add(work / BODIES / name, f"{BODIES}/{name}")
            _sync(stream)
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)
    return file.stat().st_size


def restore_backup(file: Path, data: Path) -> None:
    """Restore a backup into a data directory that is empty, or does not exist.

    Raises DataDirectoryError, and OSError with the name of a file; then the directory stays as
    it was.
    """
    with (
        _explained(f"{file} cannot be restored into {data}"),
        file.open("rb") as stream,
        closing(claim(data, patience=0)),
    ):
        # A log of another database would be read into the restored one.
        logs = (data / f"{DATABASE}-{end}" for end in ("wal", "journal"))
        if any(file.exists() and file.stat().st_size for file in (data / DATABASE, *logs)):
            raise DataDirectoryError(f"{data} has data already; restore into another directory")
        with _work_directory(data) as work:
            try:
                with tarfile.open(fileobj=stream, mode="r:") as tar:
                    for member in tar:
                        _extract(tar, member, work)
                with closing(sqlite3.connect(work / DATABASE)) as connection:
                    schema_version(connection)
                    missing = _names(connection) - _files(work / BODIES)
            except (tarfile.TarError, SchemaError, sqlite3.Error) as error:
                raise DataDirectoryError(f"{file} is no backup: {error}") from error
            if missing:
                raise DataDirectoryError(
                    f"{file} is no whole backup: it lacks {len(missing)} bodies"
                )
            shutil.rmtree(data / BODIES, ignore_errors=True)
            (work / BODIES).rename(data / BODIES)
            if (work / APPLICATIONS).exists():
                (work / APPLICATIONS).rename(data / APPLICATIONS)
            # Last: a directory with a database was restored whole.
            (work / DATABASE).rename(data / DATABASE)


def _snapshot(data: Path, work: Path) -> set[str]:
    """Copy the database, with all bodies that it refers to; return their names."""
    for _ in range(_ATTEMPTS):
        _keep(data / BODIES, work / BODIES)
        (work / DATABASE).unlink(missing_ok=True)
        _create(work / DATABASE).close()
        with (
            closing(sqlite3.connect(data / DATABASE, timeout=30)) as source,
            closing(sqlite3.connect(work / DATABASE)) as copy,
        ):
            schema_version(source)
            # Row by row: pages have unused bytes, with remains of text that was deleted.
            source.execute("VACUUM INTO ?", (str(work / DATABASE),))
            # One file, without a log beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
            names = _names(copy)
        # Those that arrived while the database was copied.
        _keep(data / BODIES, work / BODIES)
        if names <= _files(work / BODIES):
            return names
    raise DataDirectoryError(f"{data} changes too quickly for a backup; try again")


def _keep(source: Path, target: Path) -> None:
    for name in _files(source) - _files(target):
        with suppress(FileNotFoundError):  # its job has ended
            (target / name).hardlink_to(source / name)


def _files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def _names(connection: sqlite3.Connection) -> set[str]:
    """Return the names of the bodies that a database refers to."""
    found = connection.execute("SELECT body FROM jobs WHERE body IS NOT NULL")
    return {str(name) for (name,) in found}


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Write one file of a backup; nothing else that a tar may contain is taken."""
    folder, _, name = member.name.rpartition("/")
    is_body = folder == BODIES and name not in ("", ".", "..")
    content = tar.extractfile(member) if member.isfile() else None
    if content is None or not (is_body or member.name in (DATABASE, APPLICATIONS)):
        raise tarfile.TarError(f"it contains {member.name!r}")
    with content, _create(target / member.name) as stream:
        shutil.copyfileobj(content, stream, 1 << 20)
        _sync(stream)


@contextmanager
def _explained(failure: str) -> Iterator[None]:
    """Raise an error of the database, or of a disk, as DataDirectoryError with what it prevents.

    An OSError that names its file is explained already.
    """
    try:
        yield
    except (SchemaError, sqlite3.Error) as error:
        raise DataDirectoryError(f"{failure}: {error}") from error
    except OSError as error:
        if error.filename is not None:
            raise
        raise DataDirectoryError(f"{failure}: {error.strerror or error}") from error


@contextmanager
def _work_directory(data: Path) -> Iterator[Path]:
    """Yield a new directory in ``data``, with a place for bodies, and remove it at the end.

    After a kill, the next start of the server removes it.
    """
    work = data / f"{WORK_PREFIX}{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    try:
        create_private(work / BODIES)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _sync(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())
