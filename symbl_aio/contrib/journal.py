"""A journal of the unfinished jobs of a process, which the next process follows.

It survives ``kill -9`` at any moment: a job is inserted when it is accepted, and deleted when
it ends. Each process has its own SQLite file and holds an exclusive lock on it; so a process
that starts takes over the unlocked files, whose processes are dead, and no others.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from symbl_aio import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    Event,
    Job,
    JobEnded,
    JobTimeoutError,
    SubmissionAccepted,
    SymblClient,
)
from symbl_aio._core.passing_faults import passes
from symbl_aio._fields import require
from symbl_aio._log import Log
from symbl_aio._private_files import make_file, make_folder
from symbl_aio._threads import in_a_thread

_LOG = Log("symbl_aio.contrib")
_SUFFIX: Final = ".jobs"
_BROKEN: Final = ".broken"


class JobJournal:
    """The unfinished jobs of one client, in a file below ``directory``. Creating it makes no I/O.

    Give it to the client as an observer, and call ``resume`` once the client has started::

        journal = JobJournal("/var/lib/myservice")
        async with SymblClient(observers=[journal]) as symbl:
            jobs = await journal.resume(symbl)
            ...
        journal.close()

    (``Symbl`` of ``contrib.fastapi`` and ``contrib.aiohttp`` does all of it.) Any number of
    processes may share the directory, which must be on a local disk: locks on network file
    systems are not reliable. The journal survives any crash of the process; a crash of the
    whole machine may lose the last seconds. The file holds ids and times, but no secret and
    no content. It is readable by this user alone, as is a directory that had to be made.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        require("directory", directory, (str, os.PathLike), "a path")
        self._directory = Path(directory)
        self._file: sqlite3.Connection | None = None
        self._path: Path | None = None

    async def resume(self, client: SymblClient) -> list[Job]:
        """Open the journal, take over the files of dead processes, and follow their jobs.

        Returns those jobs. A damaged file is renamed, one that cannot be taken over now is left
        for the next process, and a job of another host is skipped, each with a warning. Raises
        ``ConfigurationError`` if the directory cannot be written to.
        """
        require("client", client, SymblClient, "the started SymblClient")
        if self._file is not None:
            raise ConfigurationError("the journal is in use; make one for each client")
        tokens = await in_a_thread(self._open)
        jobs = []
        for token in tokens:
            try:
                job = client.job(token)
            except ConfigurationError as error:
                _LOG.warning("a job of the journal is left alone: %s", error)
                continue
            await _follow(job)
            jobs.append(job)
        return jobs

    def __call__(self, event: Event) -> None:
        """Record an event of the client, in well under a millisecond. Called by the client.

        A job that cannot be stored now, as on a full disk, is named in a warning.
        """
        if isinstance(event, SubmissionAccepted):
            if self._file is None:
                raise ConfigurationError(
                    "the journal is not open, so the job is not in it; call resume(client) first"
                )
            saved = (event.job_id, event.token)
            try:
                self._file.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?)", saved)
            except sqlite3.Error as error:
                _LOG.warning(
                    "job %s is not in the journal (%s): if this process dies, no other follows it",
                    event.job_id,
                    error,
                )
        elif isinstance(event, JobEnded) and _is_over(event.error) and self._file is not None:
            # One that stays in it is followed once more by the next process, and deleted.
            with suppress(sqlite3.Error):
                self._file.execute("DELETE FROM jobs WHERE id = ?", (event.job_id,))

    def close(self) -> None:
        """Close the file. The next ``resume``, in any process, takes over the jobs still in it."""
        file, self._file = self._file, None
        if file is None or self._path is None:
            return
        try:
            empty = not file.execute("SELECT count(*) FROM jobs").fetchone()[0]
        except sqlite3.Error as error:
            _LOG.warning("the journal %s cannot be read (%s)", self._path.name, error)
            empty = False
        if empty:  # while it is locked, so that no other process has it open
            _remove(self._path)
        file.close()
        if empty:
            _remove(self._path)  # closing may write the -wal file again

    def _open(self) -> list[str]:
        path = self._directory / f"{os.getpid()}-{secrets.token_hex(6)}{_SUFFIX}"
        try:
            make_folder(self._directory)
            make_file(path)
            file = _locked(path)
            try:
                file.execute("CREATE TABLE jobs (id TEXT PRIMARY KEY, token TEXT NOT NULL)")
            except BaseException:
                file.close()
                raise
        except (OSError, sqlite3.Error) as error:
            with suppress(OSError):  # or each start on a full disk would leave a file
                _remove(path)
            raise ConfigurationError(
                f"the journal's directory {os.fspath(self._directory)!r} cannot be written to "
                f"({error}); give one on a disk of this machine"
            ) from error
        for other in sorted(self._directory.glob(f"*{_SUFFIX}")):
            if other != path:
                _take_over(other, file)
        self._file, self._path = file, path
        return [token for (token,) in file.execute("SELECT token FROM jobs")]


def _is_over(error: BaseException | None) -> bool:
    """Return whether a job that ended so need not be followed by another process."""
    # Refused credentials (401) end only this process's knowledge of a job. Once they are
    # corrected, the process that starts with them follows it.
    return not isinstance(error, ClientClosedError) and not (
        error is not None and isinstance(error.__cause__, AuthenticationError)
    )


def _take_over(path: Path, to: sqlite3.Connection) -> None:
    """Move the jobs of a dead process to another file; skip the file of a running process."""
    try:
        if not path.stat().st_size:
            return  # its process has created it, and locks it next
        with closing(_locked(path)) as file:
            # Without a table its process died before it could write anything.
            if file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                rows = file.execute("SELECT id, token FROM jobs").fetchall()
                with to:
                    to.execute("BEGIN")
                    to.executemany("INSERT OR REPLACE INTO jobs VALUES (?, ?)", rows)
                # In this order: a crash in between leaves a job in two files, never in none.
                file.execute("DELETE FROM jobs")
            _remove(path)
        _remove(path)  # closing may write the -wal file again
    except (OSError, sqlite3.Error) as error:
        if _is_locked(error) or not path.exists():
            return  # its process runs, or another one has taken it over
        if passes(error) or isinstance(error, sqlite3.OperationalError):
            # Among others a full disk, and a file of another release, which can still use it.
            _LOG.warning("the journal %s cannot be taken over now (%s)", path.name, error)
            return
        _LOG.warning("the journal %s cannot be read (%s) and is put aside", path.name, error)
        for part in _parts(path):
            with suppress(OSError):
                part.rename(part.with_name(part.name + _BROKEN))


def _is_locked(error: BaseException) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the reason in the upper bits
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _locked(path: Path) -> sqlite3.Connection:
    """Open a file with an exclusive lock, which lasts until it is closed or the process ends.

    Raises ``sqlite3.OperationalError`` for a file that is locked or does not exist.
    """
    file = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=rw",
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,  # opened in a worker thread, so as not to block the event loop
    )
    try:
        file.execute("PRAGMA locking_mode = EXCLUSIVE")
        # WAL, since a rollback journal in memory does not survive a kill. No fsync, which takes
        # milliseconds: the journal has to survive a crash of the process, not of the machine.
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = OFF")
        file.execute("PRAGMA wal_autocheckpoint = 64")
        file.execute("BEGIN EXCLUSIVE")
        file.execute("COMMIT")
    except BaseException:
        file.close()
        raise
    return file


def _parts(path: Path) -> list[Path]:
    return [path, path.with_name(path.name + "-wal")]


def _remove(path: Path) -> None:
    for part in _parts(path):
        part.unlink(missing_ok=True)


async def _follow(job: Job) -> None:
    with suppress(JobTimeoutError):
        await job.wait(timeout=0)
