"""The tables beside the engine's own: conversations, items, workers. And how they are reached.

The items are the backlog: the engine knows of one only while it holds a slot (``dispatch``).
All times are seconds of the database's clock, which all machines share.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import ReturningUpdate

from symbl_aio import ConfigurationError, OutboxUnavailableError
from symbl_aio._threads import Threads
from symbl_aio.durable._database import sqlite
from symbl_aio.durable._database.faults import is_unknown
from symbl_aio.durable._database.postgresql import THREADS, Connections
from symbl_aio.durable.items import CompletedItem, Item, ItemState, UncompletedItem

T = TypeVar("T")

SCHEMA: Final = "symbl_aio"
QUEUE_NAME: Final = "symbl"
"""Of the queue of a database that only one account uses."""
_SCHEMA_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")
_SILENCE: Final = 5.0
_CLOSING: Final = 5.0
"""Seconds that calls are given at the end."""
_DEADLOCK: Final = "40P01"
_OF_FILES: Final = (PermissionError, NotADirectoryError, FileExistsError)
_SHORT: Final = 5
_TOLD: Final = (
    *("key", "conversation", "number", "conversation_id", "job_id", "source"),
    *("queued_at", "accepted_at", "ended_at"),
)
"""Columns that an item has as they are."""
_UNFINISHED: Final = "state in ('queued', 'accepted')"
_PARTIAL: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "symbl_item_open": (("conversation", "number"), _UNFINISHED),
    "symbl_item_head": (("conversation",), "{ready}"),
    "symbl_item_waiting": (("queue", "priority desc", "id"), "{ready} and slot_at is null"),
    "symbl_item_under_way": (
        ("id",),
        "{ready} and slot_at is null and (job_id is not null or sent_by is not null)",
    ),
    "symbl_item_slot": (("slot_at",), "slot_at is not null"),
    "symbl_item_ended": (("ended_at",), "ended_at is not null"),
    "symbl_item_unmarked": (("ready", "state"), f"ready is null and {_UNFINISHED}"),
}


class _Words(sa.TypeDecorator[str]):
    """What somebody else may have said, with characters that not every database takes."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: object) -> str | None:
        if value is None:
            return None
        return value.replace("\0", r"\0").encode("utf-8", "backslashreplace").decode()


class Database:
    """One database, which all processes of an application share.

    ``url``: ``sqlite:///path`` for one machine, ``postgresql://…`` for many. ``schema``
    (PostgreSQL) keeps two applications apart; both kinds of tables live in it. ``queue``
    (PostgreSQL) keeps two accounts of one application apart, with a limit each. Connects
    when it is first used. All of its work blocks and is done in ``call``.

    ``connections``: how many are open at most. ``silence`` (PostgreSQL): seconds after which a
    statement without an answer is doubted, and is an error if a new connection has none.
    """

    def __init__(
        self,
        url: str,
        schema: str = SCHEMA,
        *,
        queue: str = QUEUE_NAME,
        connections: int = 5,
        silence: float = _SILENCE,
    ) -> None:
        found = _read_url(url)
        if not _is_plain(schema):
            raise ConfigurationError(
                f"schema is {schema!r}; give a name of small letters, digits and _, "
                "at most 41 characters"
            )
        if not _is_plain(queue):
            raise ConfigurationError(
                f"queue is {queue!r}; give a name of small letters, digits and _, "
                "at most 41 characters"
            )
        self.schema = schema
        self.queue_name = queue
        self.is_sqlite = found.drivername == "sqlite"
        if self.is_sqlite and queue != QUEUE_NAME:
            raise ConfigurationError(
                f"queue is {queue!r}, and an SQLite file has one; give each account a file of "
                "its own, or use postgresql://"
            )
        if self.is_sqlite:
            sqlite.check_version()
            found = sqlite.with_clock(found)
        self._reach = None if self.is_sqlite else Connections(found, silence)
        self.engine = self._make_engine(found, connections)
        if self._reach is not None:
            found = self._reach.url.set(drivername="postgresql")
        self.url = found.render_as_string(hide_password=False)
        # As many as connections: who waits for one does so in their queue, in order.
        self._threads = Threads(THREADS, connections)
        self._calls: set[Future[Any]] = set()
        meta = sa.MetaData(schema=None if self.is_sqlite else schema)
        self.conversations = sa.Table(
            "symbl_conversation",
            meta,
            sa.Column("name", sa.Text, primary_key=True),
            sa.Column("last", sa.Integer, nullable=False),
            sa.Column("conversation_id", sa.Text, index=True),
            sa.Column("halted_by", sa.Text),
            self._of_queue(),
        )
        self.items = sa.Table(
            "symbl_item",
            meta,
            sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
            sa.Column("key", sa.Text, nullable=False, unique=True),
            sa.Column("conversation", sa.Text, nullable=False),
            sa.Column("number", sa.Integer, nullable=False),
            sa.Column("opens", sa.Boolean, nullable=False),
            sa.Column("content", sa.Text, nullable=False),
            sa.Column("nonce", sa.Text, nullable=False, unique=True),
            sa.Column("attempt", sa.Integer, nullable=False),
            sa.Column("deaths", sa.Integer, nullable=False, server_default="0"),
            sa.Column("state", sa.Text, nullable=False),
            sa.Column("sent_by", sa.Text),
            sa.Column("sent_at", sa.Double),
            sa.Column("in_doubt", sa.Boolean, nullable=False, server_default=sa.false()),
            sa.Column("heard", sa.Text),
            sa.Column("job_id", sa.Text),
            sa.Column("conversation_id", sa.Text),
            sa.Column("error", _Words),
            sa.Column("queued_at", sa.Double, nullable=False),
            sa.Column("accepted_at", sa.Double),
            sa.Column("ended_at", sa.Double),
            sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
            # Head of its conversation, or behind it; NULL: ended, or not marked yet, which is
            # how a process of an older release leaves what it hands in.
            sa.Column("ready", sa.Boolean),
            sa.Column("slot_at", sa.Double),
            sa.Column("told_at", sa.Double),
            # Not sent as far as is known here, but perhaps since then: of a restored backup.
            sa.Column("maybe_sent_since", sa.Double),
            sa.Column("traceparent", sa.Text),
            sa.Column("source", _Words),
            self._of_queue(),
            sa.UniqueConstraint("conversation", "number"),
            sa.Index("symbl_item_state", "queue", "state", "queued_at"),
            sa.Index("symbl_item_job", "job_id"),
        )
        # Of few rows each, so that no statement of a worker costs more with a long backlog.
        for index, (columns, condition) in _PARTIAL.items():
            only = sa.text(condition.format(ready="ready = 1" if self.is_sqlite else "ready"))
            sa.Index(
                index,
                *(sa.text(c) if " " in c else self.items.c[c] for c in columns),
                unique=index == "symbl_item_head",
                sqlite_where=only,
                postgresql_where=only,
                _table=self.items,
            )
        self.queue = sa.Table(
            "symbl_queue",
            meta,
            sa.Column("name", sa.Text, primary_key=True),
            sa.Column("cap", sa.Integer, nullable=False),
            sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
        )
        self.versions = sa.Table(
            "symbl_schema", meta, sa.Column("version", sa.Integer, primary_key=True)
        )
        self.workers = sa.Table(
            "symbl_worker",
            meta,
            sa.Column("id", sa.Text, primary_key=True),
            sa.Column("beat", sa.Double, nullable=False),
            sa.Column("time_to_live", sa.Double),
            self._of_queue(),
        )
        self.meta = meta

    @staticmethod
    def _of_queue() -> sa.Column[str]:
        return sa.Column("queue", sa.Text, nullable=False, server_default=QUEUE_NAME)

    @property
    def name(self) -> str:
        """Where it is: without who uses it, and all that may hold a password."""
        url = self.engine.url
        if self.is_sqlite:
            return str(url.database)
        port = "" if url.port is None else f":{url.port}"
        return f"postgresql://{url.host or ''}{port}/{url.database}"

    @property
    def channel(self) -> str:
        """The channel of PostgreSQL's notices."""
        return f"{self.schema}.notices"

    def __repr__(self) -> str:
        return f"<Database {self.name!r}, schema {self.schema!r}>"

    def _make_engine(self, url: sa.URL, connections: int) -> sa.Engine:
        if self._reach is not None:
            return self._reach.make_engine(connections)
        engine = sa.create_engine(url, pool_size=connections, max_overflow=0, hide_parameters=True)
        event.listen(engine, "connect", sqlite.prepare)
        return engine

    def wait_for_database(self) -> None:
        """Make the engine underneath wait for a database that is away, from now on.

        It gets an error only for what was under way when that went away.
        """
        if self._reach is not None:
            self._reach.is_patient = True

    @property
    def is_pooled(self) -> bool:
        """Whether a pooler (PgBouncer) is between. Known once connected."""
        return self._reach is not None and self._reach.is_pooled

    @property
    def can_listen(self) -> bool:
        """Whether notifications arrive here. Known once connected."""
        return self._reach is not None and not self._reach.is_pooled

    def was_silent(self, since: float) -> bool:
        """Return whether the database was silent after a time of ``monotonic``."""
        return self._reach is not None and self._reach.silent_at > since

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database."""
        name = self.engine.url.database
        return Path(name) if self.is_sqlite and name else None

    @property
    def now(self) -> sa.ColumnElement[float]:
        """The database's clock."""
        if self.is_sqlite:
            return sa.literal_column("((julianday('now') - 2440587.5) * 86400.0)", sa.Double)
        return sa.literal_column("extract(epoch from clock_timestamp())::float8", sa.Double)

    @property
    def without_content(self) -> list[sa.Column[Any]]:
        """All that ``as_item`` needs of an item, and not what was handed in, which may be long."""
        return [column for column in self.items.c if column is not self.items.c.content]

    def is_named(self, conversation: str) -> sa.ColumnElement[bool]:
        """Return the condition for a conversation by its key here, or its id at the server."""
        table = self.conversations
        return sa.or_(table.c.name == conversation, table.c.conversation_id == conversation)

    def unfinished(self, items: sa.FromClause) -> sa.ColumnElement[bool]:
        """Return the condition for what is queued or accepted, by which indexes are chosen.

        As words of the statement: a parameter would hide from the planner which index fits.
        """
        states = (ItemState.QUEUED, ItemState.ACCEPTED)
        return items.c.state.in_([sa.literal_column(f"'{state.value}'") for state in states])

    def is_among(self, column: sa.Column[str], values: Sequence[str]) -> sa.ColumnElement[bool]:
        """Return the condition that a column is one of many values: one parameter, if it can be."""
        if self.is_sqlite:
            return column.in_(values)
        return column == sa.any_(sa.literal(list(values), ARRAY(sa.Text)))

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """Give a connection in a transaction that may write, and ends with the block.

        On SQLite nobody else writes meanwhile; on PostgreSQL nobody else changes the rows
        that were read ``with_for_update``.
        """
        with self.engine.begin() as connection:
            if self.is_sqlite:  # where Python itself begins only before the first change
                connection.exec_driver_sql("begin immediate")
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give a connection for reading alone: it waits for nobody."""
        with self.engine.connect() as connection:
            if not self.is_sqlite:  # each statement by itself, which spares two round trips
                connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection

    def change(self, statement: ReturningUpdate[*tuple[Any, ...]]) -> sa.Row[Any] | None:
        """Make one change, in a transaction of its own; give the row that it returns."""
        with self.begin() if self.is_sqlite else self.read() as connection:
            return connection.execute(statement).first()

    async def call(self, work: Callable[[], T]) -> T:
        """Do what blocks in a thread of this database's own.

        Not in the loop's default executor: in a worker that is the engine's, and ends with it.
        """
        future = self._threads.submit(work)
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)
        return await asyncio.wrap_future(future)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Tell in this library's words, without a password, that it cannot be used."""
        try:
            yield
        except (exc.SQLAlchemyError, sqlite3.Error, *_OF_FILES) as error:
            said = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            password = self.engine.url.password or ""
            if len(password) > _SHORT:  # of a short one the gaps would tell it
                said = said.replace(password, "***")
            if is_unknown(error):
                raise ConfigurationError(
                    f"database {self.name!r} lacks what this release of symbl-aio needs ({said}); "
                    "run symbl-aio db migrate, or the release that made its tables"
                ) from error
            raise OutboxUnavailableError(
                f"the database {self.name!r} cannot be used ({said})"
            ) from error

    def until_not_stuck(self, work: Callable[[], T]) -> T:
        """Do a transaction, again if PostgreSQL has ended it: of two that wait for each other, one.

        People decide about the items of a conversation in any order, and workers beside them.
        """
        while True:
            try:
                return work()
            except exc.OperationalError as error:
                if getattr(error.orig, "sqlstate", None) != _DEADLOCK:
                    raise

    def close(self) -> None:
        """Close all connections. Calls that go on have five seconds, and an error then."""
        self._threads.shutdown()
        wait(set(self._calls), _CLOSING)
        self.end()
        # A thread of the engine's own may be at work, for somebody who has gone.
        event.listen(self.engine, "checkin", _end_connection)
        self.engine.dispose()

    def end(self) -> None:
        """End each wait for the database with an error, at once; and connect no more."""
        if self._reach is not None:
            self._reach.end()

    def as_item(self, row: sa.Row[tuple[object, ...]]) -> Item:
        """Return what the row of an item means."""
        found = row._mapping
        state = ItemState(found["state"])
        told = {name: found[name] for name in _TOLD}
        if state is ItemState.COMPLETED:
            return CompletedItem(state=state, sending=False, error=None, **told)
        is_sending = state is ItemState.QUEUED and found["sent_by"] is not None
        return UncompletedItem(state=state, sending=is_sending, error=found["error"], **told)


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and _SCHEMA_NAME.fullmatch(name) is not None


def _read_url(url: object) -> sa.URL:
    try:
        found = sa.make_url(url if isinstance(url, str) else "")
    except (exc.ArgumentError, ValueError):
        found = None
    drivers = {"postgres": "postgresql", "postgresql+psycopg": "postgresql"}
    if found is not None:
        found = found.set(drivername=drivers.get(found.drivername, found.drivername))
        if isinstance(password := found.query.get("password"), str):
            # There the engine would not know it for one, and log it.
            found = found.difference_update_query(["password"]).set(password=password)
        if found.drivername == "postgresql" and found.database:
            return found
        if found.drivername == "sqlite" and found.database not in (None, "", ":memory:"):
            return found
    raise ConfigurationError(  # without the value, which may hold a password
        "database is no URL of an SQLite file or of PostgreSQL; give sqlite:///outbox.db "
        "or postgresql://user@host/name"
    )


def _end_connection(_connection: object, record: sa.pool.ConnectionPoolEntry) -> None:
    record.invalidate()
