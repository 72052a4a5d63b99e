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
from sqlalchemy.exc import IntegrityError

from symbl_aio import ConfigurationError
from symbl_aio.durable.entering import check_same, is_no_conversation, names_a_conversation
from symbl_aio.durable.entries import Encoded, at
from symbl_aio.durable.items import ItemState
from symbl_aio.durable.slots import why_blocked
from symbl_aio.durable.tables import Database

Row: TypeAlias = sa.Row[Any]

_MOST_RACES: Final = 20
"""Times that others may enter the same at the same moment, before that is told."""


@define
class _Conversation:
    """One that entries of the chunk belong to, as it is once those before were entered."""

    name: str
    last: int
    conversation_id: str | None
    halted_by: str | None = None
    busy: bool = False
    """Whether something in it has not ended."""
    is_new: bool = False
    changed: bool = False


@define
class _Known:
    """An item that is there, or was entered before in the same chunk."""

    key: str
    content: str
    opens: bool
    conversation: str


def enter_all(database: Database, chunk: Sequence[Encoded]) -> int:
    """Enter all that is not there, or nothing; return how many were not. Blocks.

    Raises ``ConfigurationError``, with the position, for a key that is used for something else.
    """
    for _ in range(_MOST_RACES):
        try:
            return database.until_not_stuck(partial(_enter_all, database, chunk))
        except IntegrityError:  # another process was faster
            pass
    return _enter_all(database, chunk)


def _enter_all(database: Database, chunk: Sequence[Encoded]) -> int:
    with database.begin() as connection:
        books = _Books(database, connection, chunk)
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
        self, database: Database, connection: sa.Connection, chunk: Sequence[Encoded]
    ) -> None:
        self._database = database
        self.rows: list[dict[str, Any]] = []
        keys = sorted({entry.key for entry in chunk})
        named = {entry.conversation for entry in chunk if entry.conversation is not None}
        # Held first, so that what others hand in for them is there to see, or comes later.
        self._by_name: dict[str, _Conversation] = {}
        self._by_id: dict[str, _Conversation] = {}
        for row in self._hold(connection, named | {e.key for e in chunk if not e.conversation}):
            held = _Conversation(row.name, row.last, row.conversation_id, row.halted_by)
            self._by_name[held.name] = held
            if held.conversation_id is not None:
                self._by_id.setdefault(held.conversation_id, held)
        table = self._database.items
        # Keys that appends name, too: one may be an append's.
        wanted = sorted({*keys, *(named - self._by_name.keys())})
        known = (table.c.key, table.c.content, table.c.opens, table.c.conversation)
        self._known = {
            row.key: _Known(*row)
            for row in connection.execute(sa.select(*known).where(table.c.key.in_(wanted)))
        }
        busy = sa.select(table.c.conversation).distinct()
        busy = busy.where(table.c.conversation.in_(sorted(self._by_name)))
        for name in connection.execute(busy.where(database.unfinished(table))).scalars():
            self._by_name[name].busy = True
        self._now: float = connection.execute(sa.select(database.now)).scalar_one()

    def _hold(self, connection: sa.Connection, names: Iterable[str]) -> Sequence[Row]:
        table, wanted = self._database.conversations, sorted(names)
        return connection.execute(
            sa.select(table)
            .where(sa.or_(table.c.name.in_(wanted), table.c.conversation_id.in_(wanted)))
            .order_by(table.c.name)
            .with_for_update()
        ).all()

    def _find(self, name: str) -> _Conversation | None:
        return self._by_name.get(name) or self._by_id.get(name)

    def enter(self, entry: Encoded) -> None:
        """Take an entry on, unless it is there."""
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
        table = self._database.conversations
        changed = sorted(self._by_name.values(), key=lambda one: one.name)
        if new := [one for one in changed if one.is_new]:
            connection.execute(
                sa.insert(table).returning(table.c.name),
                [
                    {"name": one.name, "last": one.last, "conversation_id": one.conversation_id}
                    for one in new
                ],
            )
        if old := [one for one in changed if one.changed and not one.is_new]:
            last = sa.case({one.name: one.last for one in old}, value=table.c.name)
            connection.execute(
                sa.update(table).where(table.c.name.in_([o.name for o in old])).values(last=last)
            )
        # In the order in which their ids are to be: with RETURNING, many rows a statement.
        items = self._database.items
        connection.execute(sa.insert(items).returning(items.c.id), self.rows)
