"""SQLite: required version, settings of a connection, and the clock that old versions lack.

DBOS reads its clock as ``unixepoch('subsec')`` on Python 3.12 and newer, and writes that
into the defaults of its tables, while SQLite knows ``subsec`` only since 3.42: an older one
returns NULL. So each connection to a file has the function, whichever Python made the file.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from typing import Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import plugins

from symbl_aio import ConfigurationError

OLDEST: Final = (3, 35, 0)
"""The first with ``RETURNING``, which DBOS and our statements need."""
_WITH_SUBSEC: Final = (3, 42, 0)
_PLUGIN: Final = "symbl_aio_sqlite"


class _Clock(sa.engine.CreateEnginePlugin):
    """Add to each connection of an SQLAlchemy engine the clock that an older SQLite lacks.

    Named in the URL, since DBOS makes its connections from a URL alone.
    """

    def update_url(self, url: sa.URL) -> sa.URL:
        return url

    def engine_created(self, engine: sa.Engine) -> None:
        if sqlite3.sqlite_version_info < _WITH_SUBSEC:
            event.listen(engine, "connect", _add_clock)


plugins.register(_PLUGIN, __name__, _Clock.__name__)


def with_clock(url: sa.URL) -> sa.URL:
    """Return the URL whose connections have DBOS's clock, on any SQLite since ``OLDEST``."""
    return url.update_query_pairs([("plugin", _PLUGIN)], append=True)


def check_version(found: tuple[int, ...] | None = None) -> None:
    """Raise ``ConfigurationError`` if the SQLite of this Python is too old for an outbox."""
    found = sqlite3.sqlite_version_info if found is None else found
    if found < OLDEST:
        raise ConfigurationError(
            f"database is an SQLite file, and the SQLite of this Python is {_text(found)}: an "
            f"outbox needs {_text(OLDEST)} or newer; use a Python that was built with one, or "
            "postgresql://"
        )


def prepare(connection: object, _record: object) -> None:
    """Set up a new connection: one writer at a time, and readers block no writer."""
    assert isinstance(connection, sqlite3.Connection)
    connection.isolation_level = "IMMEDIATE"
    connection.execute("pragma busy_timeout = 30000")
    connection.execute("pragma foreign_keys = on")  # by which DBOS deletes old workflows
    with suppress(sqlite3.OperationalError):  # of many new connections at once, one succeeds
        connection.execute("pragma journal_mode = wal")


def _add_clock(connection: object, _record: object) -> None:
    assert isinstance(connection, sqlite3.Connection)
    # With one argument: SQLite prefers it to its own function with any number of them.
    connection.create_function("unixepoch", 1, _unixepoch)


def _unixepoch(value: object) -> float:
    if value not in ("subsec", "subsecond"):
        raise ValueError  # DBOS uses nothing else; rather an error than a wrong time
    return time.time_ns() // 1_000_000 / 1000  # whole milliseconds, as SQLite itself returns


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
