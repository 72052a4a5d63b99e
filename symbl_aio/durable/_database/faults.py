"""Distinguish errors of a database that pass from those that stay.

An outage, a deadlock, a full disk or a failover pass, and what failed is done again. Tables
that are not those of this release stay as they are however often they are asked: a worker
that retried would hold its slots for ever.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import psycopg
from sqlalchemy import exc

from symbl_aio._core import faults

# Classes of SQLSTATE: connection, state of the transaction (a standby is read-only), credentials,
# rollback (deadlock, serialization), resources, object in use, operator, system, and internal.
_PASSING: Final = frozenset({"08", "25", "28", "40", "53", "55", "57", "58", "XX"})
_MISFITS: Final = frozenset({"3F", "42"})
"""Missing tables and columns, missing privileges, and an unknown prepared statement."""
_UNKNOWN: Final = frozenset({"3F000", "42P01", "42703", "42704", "42883"})
"""Schema, table, column, type or function that is not there."""
_STAYING_FILES: Final = frozenset(
    {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
)
_NOT_THERE: Final = ("no such table", "no such column", "has no column")


def passes(error: BaseException) -> bool:
    """Return whether the same statement may succeed another time, with nothing changed.

    True for a lost or refused connection, a pool without a free one, deadlocks, serialization
    failures, a locked or full database, and for local faults that pass. False for all that
    the statement or the tables are to blame for, and for errors of other kinds.
    """
    if isinstance(error, exc.DBAPIError):
        if error.connection_invalidated:
            return True
        return error.orig is not None and _passes(error.orig)
    if isinstance(error, exc.TimeoutError | exc.DisconnectionError):
        return True
    if isinstance(error, psycopg.Error | sqlite3.Error):
        return _passes(error)
    return faults.passes(error)


def _passes(error: BaseException) -> bool:
    if isinstance(error, psycopg.Error):
        if error.sqlstate is None:  # no answer of the server's: none came
            return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return error.sqlstate[:2] in _PASSING
    if isinstance(error, sqlite3.OperationalError | sqlite3.InternalError):
        return _code(error) not in _STAYING_FILES
    return False


def is_misfit(error: BaseException) -> bool:
    """Return whether a database will not do for this release, whatever is asked of it."""
    found = getattr(error, "orig", None) or error
    if isinstance(found, psycopg.Error):
        return (found.sqlstate or "")[:2] in _MISFITS
    return isinstance(found, sqlite3.DatabaseError) and _code(found) in _STAYING_FILES


def is_unknown(error: BaseException) -> bool:
    """Return whether a table or a column is not there that this release asks for."""
    found = getattr(error, "orig", None) or error
    if isinstance(found, psycopg.Error):
        return found.sqlstate in _UNKNOWN
    return isinstance(found, sqlite3.OperationalError) and any(
        said in str(found) for said in _NOT_THERE
    )


def _code(error: sqlite3.Error) -> int | None:
    """Return the primary code of SQLite, ``None`` for an error of Python's own."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
