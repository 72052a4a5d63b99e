"""One database, which all processes of an application share: connections, threads, errors."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc

from symbl_aio import ConfigurationError, OutboxUnavailableError
from symbl_aio._log import Log
from symbl_aio._threads import Threads, in_a_thread
from symbl_aio.durable._database import sqlite
from symbl_aio.durable._database.faults import (
    is_forbidden,
    is_missing_object,
    is_refusal,
    passes,
)
from symbl_aio.durable._database.postgresql_connections import THREADS, Connections
from symbl_aio.durable._database.tables import QUEUE_NAME, Tables

T = TypeVar("T")

_LOG = Log("symbl_aio.durable")

SCHEMA: Final = "symbl_aio"
"""Default schema of the tables in PostgreSQL."""
_PLAIN_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")
SILENCE: Final = 5.0
"""Seconds without an answer of PostgreSQL after which a new connection is tried."""
_CLOSE_TIMEOUT: Final = 5.0
"""Seconds that running calls have when the database is closed."""
_REPORT_EVERY: Final = 30.0
"""Seconds between two log lines of one outage."""
_START_PAUSE: Final = 0.5
_DEADLOCK: Final = "40P01"
"""SQLSTATE of a transaction that PostgreSQL ended to break a deadlock."""
_OF_ANOTHER_ROLE: Final = (
    "; a role that has the right gives it to this one with symbl-aio db migrate --role"
)
_SHORT: Final = 5
"""Passwords of at most so many characters are not replaced in messages."""


class Database(Tables):
    """One database: its tables, its connections, and the threads in which its calls run.

    ``url``: ``sqlite:///path`` for one machine, ``postgresql://…`` for many. ``schema``
    (PostgreSQL) separates two applications; our tables and those of DBOS live in it. ``queue``
    (PostgreSQL) separates two accounts of one application, each with a limit of its own.
    Connects when it is first used. All of its work blocks; ``call`` runs it in a thread.

    ``connections``: maximum number of open connections. ``silence`` (PostgreSQL): seconds
    without an answer after which a statement is checked against a new connection; it fails if
    that has no answer either.
    """

    def __init__(
        self,
        url: str,
        schema: str = SCHEMA,
        *,
        queue: str = QUEUE_NAME,
        connections: int = 5,
        silence: float = SILENCE,
    ) -> None:
        found = _parse_url(url)
        for name, given in (("schema", schema), ("queue", queue)):
            if not _is_plain(given):
                raise ConfigurationError(
                    f"{name} is {given!r}; give a name of small letters, digits and _, "
                    "at most 41 characters"
                )
        super().__init__(schema, queue, is_sqlite=found.drivername == "sqlite")
        if self.is_sqlite and queue != QUEUE_NAME:
            raise ConfigurationError(
                f"queue is {queue!r}, and an SQLite file has one; give each account a file of "
                "its own, or use postgresql://"
            )
        if self.is_sqlite:
            sqlite.check_version()
            found = sqlite.with_clock(found)
        self._connections = None if self.is_sqlite else Connections(found, silence)
        self._file_id: tuple[int, int] | None = None
        """Device and inode of the SQLite file that the connections are to."""
        self._keeps_file = False
        self._path = found.database or ""
        self.engine = self._make_engine(found, connections)
        if self._connections is not None:
            found = self._connections.url.set(drivername="postgresql")
        self.url = found.render_as_string(hide_password=False)
        # As many threads as connections: a call waits in the threads' queue, in order.
        self._threads = Threads(THREADS, connections)
        self._calls: set[Future[Any]] = set()
        self._reported_at: float | None = None

    @property
    def name(self) -> str:
        """The address without user, password or parameters, for messages."""
        url = self.engine.url
        if self.is_sqlite:
            return str(url.database)
        port = "" if url.port is None else f":{url.port}"
        return f"postgresql://{url.host or ''}{port}/{url.database}"

    @property
    def channel(self) -> str:
        """The channel of PostgreSQL's notifications."""
        return f"{self.schema}.notices"

    def __repr__(self) -> str:
        return f"<Database {self.name!r}, schema {self.schema!r}>"

    def _make_engine(self, url: sa.URL, connections: int) -> sa.Engine:
        if self._connections is not None:
            return self._connections.make_engine(connections)
        engine = sa.create_engine(url, pool_size=connections, max_overflow=0, hide_parameters=True)
        event.listen(engine, "connect", sqlite.prepare)
        return engine

    def retry_connecting(self) -> None:
        """Make DBOS wait for an unreachable database, from now on, instead of failing.

        It gets an error only for statements that ran when the connection was lost.
        """
        if self._connections is not None:
            self._connections.retries_connecting = True

    @property
    def is_pooled(self) -> bool:
        """Whether a pooler (PgBouncer) stands in between. Known once connected."""
        return self._connections is not None and self._connections.is_pooled

    @property
    def can_listen(self) -> bool:
        """Whether notifications arrive here. Known once connected."""
        return self._connections is not None and not self._connections.is_pooled

    def was_silent(self, since: float) -> bool:
        """Return whether the database was silent after a time of ``monotonic``."""
        return self._connections is not None and self._connections.silent_at > since

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database."""
        name = self.engine.url.database
        return Path(name) if self.is_sqlite and name else None

    def keep_file(self) -> None:
        """Raise ``ConfigurationError`` once an SQLite file was replaced, from now on.

        Without it, later calls use the new file.
        """
        self._keeps_file = True

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction that may write, and ends with the block.

        On SQLite no other process writes meanwhile; on PostgreSQL none changes the rows
        that were read ``with_for_update``.
        """
        with self.engine.begin() as connection:
            if self.is_sqlite:  # where Python itself begins only before the first change
                connection.exec_driver_sql("begin immediate")
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection for reading alone, which waits for no writer."""
        with self.engine.connect() as connection:
            if not self.is_sqlite:  # each statement by itself, which spares two round trips
                connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection

    @contextmanager
    def single(self) -> Iterator[sa.Connection]:
        """Yield a connection for one statement that may write, in a transaction of its own."""
        # PostgreSQL commits a statement by itself, which spares two round trips.
        with self.begin() if self.is_sqlite else self.read() as connection:
            yield connection

    async def call(self, work: Callable[[], T]) -> T:
        """Run blocking work in a thread of this database's own, and return its result.

        It is run again whenever PostgreSQL ended its transaction to break a deadlock: operators
        resolve the items of a conversation in any order, with workers beside them. Raises
        ``sqlite3.OperationalError`` while the file of an SQLite database is away.
        """
        if self.is_sqlite:
            try:
                found = os.stat(self._path)
            except OSError as error:
                self._check_never_found(error)
            else:
                if (found.st_dev, found.st_ino) != self._file_id:
                    self._follow_file(found)
        while True:
            # Not in the loop's default executor: a worker's belongs to DBOS, and ends with it.
            future = self._threads.submit(work)
            self._calls.add(future)
            future.add_done_callback(self._calls.discard)
            try:
                return await asyncio.wrap_future(future)
            except exc.OperationalError as error:
                if getattr(error.orig, "sqlstate", None) != _DEADLOCK:
                    raise

    async def call_at_start(self, work: Callable[[], T], seconds: float) -> T:
        """Run ``work`` as ``call`` does, again for ``seconds`` while PostgreSQL is away.

        What no wait can change, such as a refused password, is raised at once.
        """
        until = monotonic() + seconds
        is_logged = False
        while True:
            try:
                return await self.call(work)
            except Exception as error:
                left = until - monotonic()
                if self.is_sqlite or left <= 0.0 or not passes(error) or is_refusal(error):
                    raise
                if not is_logged:
                    is_logged = True
                    _LOG.warning(
                        "the database %s cannot be used yet (%s): the start waits for up to %s s",
                        self.name, self.describe(error), f"{seconds:g}",
                    )  # fmt: skip
            await asyncio.sleep(min(_START_PAUSE, left))

    def _check_never_found(self, error: OSError) -> None:
        # SQLite would make an empty file, or go on in the one that was moved away or deleted.
        if self._file_id is not None:
            raise sqlite3.OperationalError(f"its file is away: {error.strerror}")

    def _follow_file(self, found: os.stat_result) -> None:
        """Connect to the file at the path from now on: SQLite would go on in the old one."""
        if self._file_id is not None:
            if self._keeps_file:
                raise ConfigurationError(
                    f"database {self.name!r} was replaced by another file while this worker ran; "
                    "if that is a restored backup, run symbl-aio db restored before a worker starts"
                )
            self.engine.dispose()
        self._file_id = found.st_dev, found.st_ino

    async def finish_calls(self, timeout: float) -> None:
        """Wait for the calls that run, although the tasks that began them were cancelled."""
        # In a thread: a future of asyncio that waits no more would log the error of its call.
        await in_a_thread(partial(wait, set(self._calls), timeout))

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Translate database errors to ``OutboxUnavailableError``, with the password redacted.

        Missing tables or columns become ``ConfigurationError``.
        """
        try:
            yield
        except (exc.SQLAlchemyError, sqlite3.Error, OSError) as error:  # of a file, the last
            message = self.describe(error)
            if is_missing_object(error):
                raise ConfigurationError(
                    f"database {self.name!r} lacks what this release of symbl-aio needs "
                    f"({message}); run symbl-aio db migrate, or the release that made its tables"
                ) from error
            remedy = _OF_ANOTHER_ROLE if is_forbidden(error) else ""
            raise OutboxUnavailableError(
                f"the database {self.name!r} cannot be used ({message}){remedy}"
            ) from error

    def describe(self, error: BaseException) -> str:
        """Return the database's own words about an error: one line, with the password redacted."""
        message = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        password = self.engine.url.password or ""
        if len(password) > _SHORT:  # of a short one the gaps would show where it was
            message = message.replace(password, "***")
        return message or type(error).__name__

    def report(self, work: str, error: BaseException) -> None:
        """Log that ``work`` failed. An outage is one line for all that fails, every half minute."""
        if not passes(error):
            _LOG.warning("%s failed (%s)", work, self.describe(error))
            return
        now = monotonic()
        if self._reported_at is None or now - self._reported_at >= _REPORT_EVERY:
            self._reported_at = now
            _LOG.warning("the database cannot be used (%s)", self.describe(error))

    def report_answer(self) -> None:
        """Log that the database answers, if it was reported that it does not."""
        if self._reported_at is not None:
            self._reported_at = None
            _LOG.warning("the database is back")

    def close(self) -> None:
        """Close all connections. Running calls have five seconds, and get an error then."""
        self._threads.shutdown()
        wait(set(self._calls), _CLOSE_TIMEOUT)
        self.abort()
        # A thread of DBOS may still run a statement: its connection is closed when returned.
        event.listen(self.engine, "checkin", _invalidate)
        self.engine.dispose()

    def abort(self) -> None:
        """Fail each wait for the database with an error, at once; and connect no more."""
        if self._connections is not None:
            self._connections.abort()


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and _PLAIN_NAME.fullmatch(name) is not None


def _parse_url(url: object) -> sa.URL:
    try:
        found = sa.make_url(url if isinstance(url, str) else "")
    except (exc.ArgumentError, ValueError):
        found = None
    drivers = {"postgres": "postgresql", "postgresql+psycopg": "postgresql"}
    if found is not None:
        found = found.set(drivername=drivers.get(found.drivername, found.drivername))
        if isinstance(password := found.query.get("password"), str):
            # As a parameter SQLAlchemy would not know it for a password, and log it.
            found = found.difference_update_query(["password"]).set(password=password)
        # With "@" it is the end of a password that was not escaped, and would be in messages.
        if found.drivername == "postgresql" and found.database and "@" not in (found.host or ""):
            return found
        path = found.database or ":memory:"
        # SQLite's own kind of URL names a file that nothing but SQLite would find.
        if found.drivername == "sqlite" and path != ":memory:" and not path.startswith("file:"):
            # Connections that are made after a change of the working directory are to the same.
            return found.set(database=os.path.abspath(path))
    raise ConfigurationError(  # without the value, which may hold a password
        "database is no URL of an SQLite file or of PostgreSQL; give sqlite:///outbox.db "
        "or postgresql://user@host/name (in a password write %40 for @)"
    )


def _invalidate(_connection: object, record: sa.pool.ConnectionPoolEntry) -> None:
    record.invalidate()
