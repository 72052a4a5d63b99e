"""The tables of an outbox beside those of DBOS: conversations, items, workers, queues.

The items are the backlog: DBOS knows an item only while the item holds a slot (``dispatch``).
All times are seconds of the database's clock, which all machines share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from symbl_aio.durable.items import CompletedItem, Item, ItemState, UncompletedItem

Row: TypeAlias = sa.Row[Any]
"""A row that a statement returned, with its columns by name."""
QUEUE_NAME: Final = "symbl"
"""Name of the queue of a database that only one account uses."""
_WORKER_TIMEOUT: Final = 15.0
"""Timeout of a worker of an older release, which did not record its own."""
_COPIED: Final = (
    *("key", "conversation", "number", "conversation_id", "job_id", "source"),
    *("queued_at", "accepted_at", "ended_at"),
)
"""Columns whose values an ``Item`` has unchanged."""
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
"""Partial indexes: name, columns, and condition of the rows in it."""


class _SafeText(sa.TypeDecorator[str]):
    """Text from outside, whose characters some database may refuse: escaped when written."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: object) -> str | None:
        if value is None:
            return None
        return value.replace("\0", r"\0").encode("utf-8", "backslashreplace").decode()


class Tables:
    """The tables of one database, and the conditions that its statements share.

    ``schema`` (PostgreSQL): the schema of the tables. ``queue_name``: the account's queue, to
    which ``in_queue`` limits a statement.
    """

    def __init__(self, schema: str, queue_name: str, *, is_sqlite: bool) -> None:
        self.schema = schema
        self.queue_name = queue_name
        self.is_sqlite = is_sqlite
        self.now: sa.ColumnElement[float] = sa.literal_column(
            "((julianday('now') - 2440587.5) * 86400.0)"
            if is_sqlite
            else "extract(epoch from clock_timestamp())::float8",
            sa.Double,
        )
        """The database's clock, in Unix seconds."""
        meta = sa.MetaData(schema=None if is_sqlite else schema)
        self.conversations = sa.Table(
            "symbl_conversation",
            meta,
            sa.Column("name", sa.Text, primary_key=True),
            sa.Column("last", sa.Integer, nullable=False),
            sa.Column("conversation_id", sa.Text, index=True),
            sa.Column("halted_by", sa.Text),
            _queue_column(),
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
            # Crashes of workers while they had the item, before it was accepted.
            sa.Column("deaths", sa.Integer, nullable=False, server_default="0"),
            sa.Column("state", sa.Text, nullable=False),
            # The intent to send: token of one try of one worker, and its time.
            sa.Column("sent_by", sa.Text),
            sa.Column("sent_at", sa.Double),
            sa.Column("in_doubt", sa.Boolean, nullable=False, server_default=sa.false()),
            # Job id that a webhook call reported before the item was accepted.
            sa.Column("heard", sa.Text),
            sa.Column("job_id", sa.Text),
            sa.Column("conversation_id", sa.Text),
            sa.Column("error", _SafeText),
            sa.Column("queued_at", sa.Double, nullable=False),
            sa.Column("accepted_at", sa.Double),
            sa.Column("ended_at", sa.Double),
            sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
            # Head of its conversation, or behind it; NULL: ended, or not marked yet, which is
            # how a process of an older release leaves what it submits.
            sa.Column("ready", sa.Boolean),
            sa.Column("slot_at", sa.Double),
            # When a webhook call last reported news that the worker should look at.
            sa.Column("told_at", sa.Double),
            # Unsent as far as the database knows, but perhaps sent since then: after a restore.
            sa.Column("maybe_sent_since", sa.Double),
            sa.Column("traceparent", sa.Text),
            sa.Column("source", _SafeText),
            _queue_column(),
            sa.UniqueConstraint("conversation", "number"),
            sa.Index("symbl_item_state", "queue", "state", "queued_at"),
            sa.Index("symbl_item_job", "job_id"),
        )
        self.without_content = [c for c in self.items.c if c is not self.items.c.content]
        """The columns that ``as_item`` needs; the content may be long and is left out."""
        # Of few rows each, so that no statement of a worker costs more with a long backlog.
        for index, (columns, condition) in _PARTIAL.items():
            only = sa.text(condition.format(ready="ready = 1" if is_sqlite else "ready"))
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
            _queue_column(),
            sa.Column("draining", sa.Boolean, nullable=False, server_default=sa.false()),
        )
        self.meta = meta

    # Conditions, each defined once

    def in_queue(self, table: sa.Table) -> sa.ColumnElement[bool]:
        """Return the condition for rows of this account's queue."""
        return table.c.queue == self.queue_name

    def in_queue_by_scan(self, table: sa.Table) -> sa.ColumnElement[bool]:
        """Return the same condition for a statement that reads few rows by a partial index."""
        # A file has one queue, and by its name SQLite would rather read the whole backlog.
        return sa.true() if self.is_sqlite else self.in_queue(table)

    def is_named(self, conversation: str | sa.BindParameter[str]) -> sa.ColumnElement[bool]:
        """Return the condition for a conversation by its key here, or by the server's id."""
        table = self.conversations
        return sa.or_(table.c.name == conversation, table.c.conversation_id == conversation)

    def unfinished(self, items: sa.FromClause) -> sa.ColumnElement[bool]:
        """Return the condition for items that are queued or accepted."""
        states = (ItemState.QUEUED, ItemState.ACCEPTED)
        # Literals, since a parameter would hide from the planner which partial index fits.
        return items.c.state.in_([sa.literal_column(f"'{state.value}'") for state in states])

    def is_under_way(self, items: sa.FromClause) -> sa.ColumnElement[bool]:
        """Return the condition for items that were accepted, or may have been sent."""
        return sa.or_(items.c.job_id.is_not(None), items.c.sent_by.is_not(None))

    def holds_slot(self) -> sa.ColumnElement[bool]:
        """Return the condition for items of this queue that hold a slot."""
        return sa.and_(self.items.c.slot_at.is_not(None), self.in_queue_by_scan(self.items))

    def is_alive(self) -> sa.ColumnElement[bool]:
        """Return the condition for workers whose heartbeat is younger than their timeout."""
        workers = self.workers
        timeout = sa.func.coalesce(workers.c.time_to_live, _WORKER_TIMEOUT)
        # A later time than now is of before the clock was set back.
        return sa.func.abs(self.now - workers.c.beat) < timeout

    def is_among(self, column: sa.Column[str], values: Sequence[str]) -> sa.ColumnElement[bool]:
        """Return the condition that a column has one of many values."""
        if self.is_sqlite:
            return column.in_(values)
        # One parameter, however many values there are.
        return column == sa.any_(sa.literal(list(values), ARRAY(sa.Text)))

    def as_item(self, row: sa.Row[tuple[object, ...]]) -> Item:
        """Return the ``Item`` of a row."""
        found = row._mapping
        state = ItemState(found["state"])
        copied = {name: found[name] for name in _COPIED}
        if state is ItemState.COMPLETED:
            return CompletedItem(state=state, sending=False, error=None, **copied)
        is_sending = state is ItemState.QUEUED and found["sent_by"] is not None
        return UncompletedItem(state=state, sending=is_sending, error=found["error"], **copied)


def _queue_column() -> sa.Column[str]:
    return sa.Column("queue", sa.Text, nullable=False, server_default=QUEUE_NAME)
