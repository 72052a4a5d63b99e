"""Enter a chunk of items in one transaction, by a number of statements that it does not change.

The conversations are held first, and the entries then take their numbers in memory, one after
the other, by the rules of ``entering``.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from attrs import define
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.exc import IntegrityError

from symbl_aio import ConfigurationError
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.notifications import tell_ready
from symbl_aio.durable._store.heads import why_blocked
from symbl_aio.durable._store.submit import (
    check_queue,
    check_same,
    is_no_conversation,
    names_a_conversation,
)
from symbl_aio.durable.entries import Encoded, at
from symbl_aio.durable.items import ItemState

Row: TypeAlias = sa.Row[Any]

_MOST_RACES: Final = 20
"""Times that others may enter the same at the same moment, before that is told."""


@define
class _Conversation:
    """One that entries of the chunk belong to, as it is once those before were entered."""

    name: str
    """As in its row."""
    last: int
    """The number that was taken last."""
    conversation_id: str | None
    """The server's id, once known."""
    halted_by: str | None = None
    """Key of an ambiguous item."""
    busy: bool = False
    """Whether something in it has not ended."""
    is_new: bool = False
    """Whether it has no row yet."""
    changed: bool = False
    """Whether the chunk has taken a number."""


@define
class _Known:
    """An item that is there, or was entered before in the same chunk."""

    key: str
    """Its name."""
    content: str
    """As it is stored."""
    opens: bool
    """Whether it opens its conversation."""
    conversation: str
    """Name of its conversation."""


def enter_all(database: Database, chunk: Sequence[Encoded], traceparent: str | None = None) -> int:
    """Enter all that is not there, or nothing; return how many were not. Blocks.

    ``traceparent``: the span that hands them in.

    Raises ``ConfigurationError``, with the position, for a key that is used for something else.
    """
    for _ in range(_MOST_RACES):
        try:
            return database.until_not_stuck(partial(_enter_all, database, chunk, traceparent))
        except IntegrityError:  # another process was faster
            pass
    return _enter_all(database, chunk, traceparent)


def _enter_all(database: Database, chunk: Sequence[Encoded], traceparent: str | None) -> int:
    with database.begin() as connection:
        books = _Books(database, connection, chunk, traceparent)
        for entry in chunk:
            try:
                books.enter(entry)
            except ConfigurationError as error:
                raise ConfigurationError(at(entry.position, entry.key, error)) from None
        books.write(connection)
        return len(books.rows)


class _Books:
    """The conversations and items that a chunk has to do with, held to the transaction's end."""

    def __init__(
        self,
        database: Database,
        connection: sa.Connection,
        chunk: Sequence[Encoded],
        traceparent: str | None,
    ) -> None:
        self._database = database
        self._traceparent = traceparent
        self.rows: list[dict[str, Any]] = []
        keys = sorted({entry.key for entry in chunk})
        named = {entry.conversation for entry in chunk if entry.conversation is not None}
        # Held first, so that what others hand in for them is there to see, or comes later.
        self._by_name: dict[str, _Conversation] = {}
        self._by_id: dict[str, _Conversation] = {}
        for row in self._hold(connection, named | {e.key for e in chunk if not e.conversation}):
            check_queue(database, row)
            held = _Conversation(row.name, row.last, row.conversation_id, row.halted_by)
            self._by_name[held.name] = held
            if held.conversation_id is not None:
                self._by_id.setdefault(held.conversation_id, held)
        table = self._database.items
        # Keys that appends name, too: one may be an append's.
        wanted = sorted({*keys, *(named - self._by_name.keys())})
        of_them = database.is_among(table.c.key, wanted)
        known = (table.c.key, table.c.content, table.c.opens, table.c.conversation)
        self._known = {
            row.key: _Known(*row) for row in connection.execute(sa.select(*known).where(of_them))
        }
        busy = sa.select(table.c.conversation).distinct()
        busy = busy.where(database.is_among(table.c.conversation, sorted(self._by_name)))
        for name in connection.execute(busy.where(database.unfinished(table))).scalars():
            self._by_name[name].busy = True
        self._now: float = connection.execute(sa.select(database.now)).scalar_one()

    def _hold(self, connection: sa.Connection, names: Iterable[str]) -> Sequence[Row]:
        table, wanted = self._database.conversations, sorted(names)
        return connection.execute(
            sa.select(table)
            .where(
                sa.or_(
                    self._database.is_among(table.c.name, wanted),
                    self._database.is_among(table.c.conversation_id, wanted),
                )
            )
            .order_by(table.c.name)
            .with_for_update()
        ).all()

    def _find(self, name: str) -> _Conversation | None:
        return self._by_name.get(name) or self._by_id.get(name)

    def enter(self, entry: Encoded) -> None:
        """Add an entry, unless it is there."""
        found = self._find(entry.conversation or entry.key)
        if (known := self._known.get(entry.key)) is not None:
            name = None if found is None else found.name
            check_same(known, entry.conversation, name, entry.content)
            return
        if found is None:
            found = self._open(entry)
        elif entry.conversation is None:
            raise ConfigurationError(names_a_conversation(entry.key))
        why = None
        if not found.is_new:
            why = why_blocked(found.busy, found.conversation_id, found.halted_by)
        found.last += 1
        found.changed = True
        self.rows.append(
            {
                "key": entry.key,
                "conversation": found.name,
                "number": found.last,
                "opens": entry.conversation is None,
                "content": entry.content,
                "nonce": secrets.token_urlsafe(16),
                "attempt": 1,
                "state": (ItemState.QUEUED if why is None else ItemState.BLOCKED).value,
                "queued_at": self._now,
                "error": why,
                "ended_at": None if why is None else self._now,
                "ready": None if why else not found.busy,
                "priority": entry.priority,
                "queue": self._database.queue_name,
                "traceparent": self._traceparent,
                "source": entry.source,
            }
        )
        found.busy = found.busy or why is None
        self._known[entry.key] = _Known(
            entry.key, entry.content, entry.conversation is None, found.name
        )

    def _open(self, entry: Encoded) -> _Conversation:
        named = entry.conversation
        if named is not None and (other := self._known.get(named)) is not None:
            raise ConfigurationError(is_no_conversation(named, other.conversation))
        found = _Conversation(named or entry.key, 0, named, is_new=True)
        self._by_name[found.name] = found
        if named is not None:
            self._by_id.setdefault(named, found)
        return found

    def write(self, connection: sa.Connection) -> None:
        """Write all that was taken on."""
        if not self.rows:
            return
        table, items = self._database.conversations, self._database.items
        changed = sorted(self._by_name.values(), key=lambda one: one.name)
        new = [one for one in changed if one.is_new]
        old = [one for one in changed if one.changed and not one.is_new]
        if new:
            named = [
                {
                    "name": one.name,
                    "last": one.last,
                    "conversation_id": one.conversation_id,
                    "queue": self._database.queue_name,
                }
                for one in new
            ]
            self._insert(connection, table, named)
        if old:
            counted = [{"name": one.name, "last": one.last} for one in old]
            if self._database.is_sqlite:
                taken = sa.update(table).where(table.c.name == sa.bindparam("name_"))
                rows = [{"name_": one["name"], "last": one["last"]} for one in counted]
                connection.execute(taken.values(last=sa.bindparam("last")), rows)
            else:
                given = _as_table(table, counted)
                taken = sa.update(table).where(table.c.name == given.c.name)
                connection.execute(taken.values(last=given.c.last))
        self._insert(connection, items, self.rows)
        if any(row["ready"] for row in self.rows):
            tell_ready(self._database, connection)

    def _insert(
        self, connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]
    ) -> None:
        """Insert rows in their order, which is that of their ids."""
        if self._database.is_sqlite:  # to which no round trip leads
            connection.execute(sa.insert(table), rows)
            return
        given = _as_table(table, rows)
        columns = list(rows[0])
        ordered = sa.select(*(given.c[name] for name in columns)).order_by(given.c.position)
        connection.execute(sa.insert(table).from_select(columns, ordered))


def _as_table(table: sa.Table, rows: list[dict[str, Any]]) -> sa.TableValuedAlias:
    """Return rows as a table of PostgreSQL's, by one parameter.

    The driver takes longer for ten thousand parameters than the database for the rows.
    """
    columns = [sa.column(name, table.c[name].type) for name in rows[0]]
    numbered = [row | {"position": position} for position, row in enumerate(rows)]
    return (
        sa.func.json_to_recordset(sa.literal(numbered, JSON))
        .table_valued(*columns, sa.column("position", sa.Integer), name="given")
        .render_derived(with_types=True)
    )
