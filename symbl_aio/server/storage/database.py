"""One SQLite connection in one thread: reads and writes in order, committed in groups."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from attrs import define, field

from symbl_aio.server.storage.schema import migrate
from symbl_aio.server.storage.store import StorageError
from symbl_aio.server.thread_pool import run_in_thread

logger = logging.getLogger("symbl_aio.server")

T = TypeVar("T")

# Seconds until a truncation of the log is tried again while a backup reads it.
_TRUNCATE_AGAIN = 0.5
# A greater group would make its first caller wait for its last.
_MAX_GROUP = 500


GONE: Final = "the database in the data directory was removed, moved or replaced"


@define(eq=False)
class _Work(Generic[T]):
    """One savepoint of a transaction. ``then`` runs on the event loop after the commit.

    ``erases``: it deletes text, so the log, which has older copies of it, is truncated.
    """

    run: Callable[[sqlite3.Connection], T]
    future: asyncio.Future[T]
    then: Callable[[T], None] | None
    erases: bool
    value: T | None = None
    error: Exception | None = field(default=None)


class Database:
    """A database file, or one in memory (None). ``open()`` migrates it."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None
        self._queue: queue.SimpleQueue[_Work[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """Open the file and migrate its schema. Raises SchemaError, StorageError."""
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        # A daemon: a program that forgets to close its server can still end.
        self._thread = threading.Thread(
            target=self._serve, args=(self._loop, opened), name="symbl_aio database", daemon=True
        )
        self._thread.start()
        try:
            await opened
        except sqlite3.Error as error:
            raise StorageError(f"the database cannot be opened: {error}") from error

    def submit(
        self,
        run: Callable[[sqlite3.Connection], T],
        *,
        then: Callable[[T], None] | None = None,
        erases: bool = False,
    ) -> asyncio.Future[T]:
        """Run a call with the connection, after those before, and commit what it writes.

        The future has the result once it is on the disk, or StorageError. ``then`` is called
        with the result just before, even if the caller has gone. ``erases``: no earlier copy
        of deleted rows stays in the log.
        """
        if self._loop is None or self._thread is None:
            raise StorageError("the database is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Work(run, future, then, erases))
        return future

    @property
    def has_gone(self) -> bool:
        """Whether the file was removed, moved or replaced: a restart would not find its content."""
        return self._identity != _identity_of(self._path)

    async def aclose(self) -> None:
        """Commit all that was submitted, and close the file. Closing twice is safe."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None:
            return
        self._queue.put(None)
        await run_in_thread(thread.join)

    # In the thread

    def _serve(self, loop: asyncio.AbstractEventLoop, opened: asyncio.Future[None]) -> None:
        try:
            connection = _connect(self._path)
            self._identity = _identity_of(self._path)
        except BaseException as error:
            loop.call_soon_threadsafe(_set_error, opened, error)
            return
        loop.call_soon_threadsafe(opened.set_result, None)
        # A server that was killed, or whose disk was full, may have left deleted text in the log.
        truncate = True
        try:
            while (group := self._next_group(_TRUNCATE_AGAIN if truncate else None)) is not None:
                if group and self.has_gone:
                    for work in group:
                        work.error = StorageError(GONE)
                elif group:
                    _commit(connection, group)
                if truncate or any(work.erases for work in group):
                    later = not _truncate_log(connection)
                    if later and not truncate:
                        logger.warning("deleted text stays in the log of the database for now")
                    truncate = later
                if group:
                    # A loop that was closed meanwhile has no callers left.
                    with contextlib.suppress(RuntimeError):
                        loop.call_soon_threadsafe(_deliver, group)
        finally:
            connection.close()

    def _next_group(self, timeout: float | None) -> list[_Work[Any]] | None:
        """Return the work that waits, at least one unless ``timeout`` ends; None at the end."""
        group: list[_Work[Any]] = []
        try:
            work = self._queue.get(timeout=timeout)
            while work is not None:
                group.append(work)
                if len(group) == _MAX_GROUP:
                    return group
                work = self._queue.get_nowait()
        except queue.Empty:
            return group
        if group:
            self._queue.put(None)  # the end comes after this group
            return group
        return None


def _identity_of(path: Path | None) -> tuple[int, int] | None:
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _connect(path: Path | None) -> sqlite3.Connection:
    # Transactions are begun and committed here, not by the library.
    connection = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=30)
    try:
        migrate(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA foreign_keys = ON")
        # Small, because the server keeps conversations that are read often in memory itself.
        connection.execute("PRAGMA cache_size = -4096")
    except BaseException:
        connection.close()
        raise
    return connection


def _commit(connection: sqlite3.Connection, group: list[_Work[Any]]) -> None:
    """Run a group as one transaction; set a value or an error for each."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for work in group:
            _run_in_savepoint(connection, work)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        # Such as a full disk: nothing of this group was committed.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        for work in group:
            work.error = _storage_error(error)


def _storage_error(error: sqlite3.Error) -> StorageError:
    if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StorageError(
            f"the database in the data directory is damaged ({error}): restore a backup into a "
            "new directory"
        )
    return StorageError(str(error))


def _run_in_savepoint(connection: sqlite3.Connection, work: _Work[Any]) -> None:
    connection.execute("SAVEPOINT work")
    try:
        work.value = work.run(connection)
    except Exception as error:
        if not connection.in_transaction:
            raise  # some errors, such as a full disk, roll back the whole group
        work.error = _storage_error(error) if isinstance(error, sqlite3.Error) else error
        connection.execute("ROLLBACK TO work")
    connection.execute("RELEASE work")


def _truncate_log(connection: sqlite3.Connection) -> bool:
    """Move the log into the database and empty it; return False to be called again.

    That is while another process reads it, or while the disk is full.
    """
    try:
        connection.execute("PRAGMA busy_timeout = 0")
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error:
        return False
    finally:
        connection.execute("PRAGMA busy_timeout = 30000")
    return not busy


def _deliver(group: list[_Work[Any]]) -> None:
    for work in group:
        if work.error is None and work.then is not None:
            work.then(work.value)
        if work.future.cancelled():
            continue
        if work.error is None:
            work.future.set_result(work.value)
        else:
            work.future.set_exception(work.error)


def _set_error(future: asyncio.Future[None], error: BaseException) -> None:
    if not future.cancelled():
        future.set_exception(error)
