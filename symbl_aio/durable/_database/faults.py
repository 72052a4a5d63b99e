"""Database errors: transient ones, which are retried, and permanent ones.

An outage, a deadlock, a full disk or a failover is transient. Tables that do not fit this
release are permanent: a worker that retried would hold its slots for ever.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Final

import psycopg
from sqlalchemy import exc

from symbl_aio._core import passing_faults

# Classes of SQLSTATE: connection, state of the transaction (a standby is read-only), credentials,
# rollback (deadlock, serialization), resources, object in use, operator, system, and internal.
_PASSING: Final = frozenset({"08", "25", "28", "40", "53", "55", "57", "58", "XX"})
_INCOMPATIBLE: Final = frozenset({"3F", "42"})
"""Missing tables and columns, missing privileges, and an unknown prepared statement."""
_INSUFFICIENT_PRIVILEGE: Final = "42501"
_MISSING: Final = frozenset({"3F000", "42P01", "42703", "42704", "42883"})
"""Schema, table, column, type or function that does not exist."""
_REFUSALS: Final = re.compile(
    "authentication failed|does not exist|no pg_hba.conf entry|permission denied|"
    "not permitted to log in|no password supplied|no such user|no such database|"
    "SSL was required|certificate verify failed"
)
"""Of a connection that was refused, libpq tells no SQLSTATE. A server that answers in another
language is taken to be away: the start waits a while then, and raises its words."""
_PERMANENT_CODES: Final = frozenset(
    {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
)
_MISSING_MESSAGES: Final = ("no such table", "no such column", "has no column")


def passes(error: BaseException) -> bool:
    """Return whether the same statement may succeed later, with nothing changed.

    True for a lost or refused connection, an exhausted pool, deadlocks, serialization
    failures, a locked or full database, and for transient local faults. False for errors in
    the statement or the tables, and for errors of other kinds.
    """
    if isinstance(error, exc.DBAPIError):
        if error.connection_invalidated:
            return True
        return error.orig is not None and _passes(error.orig)
    if isinstance(error, exc.TimeoutError | exc.DisconnectionError):
        return True
    if isinstance(error, psycopg.Error | sqlite3.Error):
        return _passes(error)
    return passing_faults.passes(error)


def _passes(error: BaseException) -> bool:
    if isinstance(error, psycopg.Error):
        if error.sqlstate is None:  # the server did not answer at all
            return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return error.sqlstate[:2] in _PASSING
    if isinstance(error, sqlite3.OperationalError | sqlite3.InternalError):
        return _code(error) not in _PERMANENT_CODES
    return False


def is_incompatible(error: BaseException) -> bool:
    """Return whether the database does not fit this release at all, so that no retry helps."""
    found = getattr(error, "orig", None) or error
    if isinstance(found, psycopg.Error):
        return (found.sqlstate or "")[:2] in _INCOMPATIBLE
    return isinstance(found, sqlite3.DatabaseError) and _code(found) in _PERMANENT_CODES


def is_missing_object(error: BaseException) -> bool:
    """Return whether a table or a column that this release needs does not exist."""
    found = getattr(error, "orig", None) or error
    if isinstance(found, psycopg.Error):
        return found.sqlstate in _MISSING
    return isinstance(found, sqlite3.OperationalError) and any(
        text in str(found) for text in _MISSING_MESSAGES
    )


def is_refusal(error: BaseException) -> bool:
    """Return whether PostgreSQL refused a connection for its role, password or database."""
    found = getattr(error, "orig", None) or error
    return isinstance(found, psycopg.OperationalError) and bool(_REFUSALS.search(str(found)))


def is_forbidden(error: BaseException) -> bool:
    """Return whether the role lacks a right, such as that to make tables."""
    found = getattr(error, "orig", None) or error
    return isinstance(found, psycopg.Error) and found.sqlstate == _INSUFFICIENT_PRIVILEGE


def _code(error: sqlite3.Error) -> int | None:
    """Return SQLite's primary code, ``None`` for an error that Python itself raised."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
