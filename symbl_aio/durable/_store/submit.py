"""Insert an item: once for each key, numbered in its conversation, and ready if it is the head."""

from __future__ import annotations

import secrets
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from symbl_aio import ConfigurationError
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.notifications import notify_ready
from symbl_aio.durable._database.tables import Row
from symbl_aio.durable._store.heads import block_reason
from symbl_aio.durable.content import is_same
from symbl_aio.durable.items import Item, ItemState


@frozen
class Encoded:
    """A submission as the database keeps it."""

    key: str
    """The key, checked."""
    conversation: str | None
    """Checked; ``None`` opens one."""
    content: str
    """Media and options, as ``content.encode`` returns them."""
    source: str | None
    """Name of the file or link for events; ``None`` for a text."""
    priority: int
    """The priority, checked."""
    position: int = 0
    """Position among the entries of one call, from 0."""


class ItemInserts:
    """Inserts items one by one, each at the end of its conversation. All of it blocks.

    Statements are built once: to build one takes longer than to execute it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(self, entry: Encoded, traceparent: str | None = None) -> Item:
        """Insert an item unless its key exists, and return it.

        ``traceparent``: the caller's span.
        """
        try:
            return self._submit(entry, traceparent)
        except IntegrityError:  # another process inserted the key or the number at this moment
            return self._submit(entry, traceparent)

    def _submit(self, entry: Encoded, traceparent: str | None) -> Item:
        database, named = self._database, {"named": entry.conversation or entry.key}
        with database.begin() as connection:
            # Locked first: other submissions to the conversation are visible now, or come later.
            locked = connection.execute(self._lock, named).first()
            if locked is not None:
                check_queue(database, locked)
            known = connection.execute(self._known, {"of_key": entry.key}).first()
            if known is not None:
                # Both may have been inserted between the two statements.
                locked = locked or connection.execute(self._lock, named).first()
                check_same(known, entry, None if locked is None else locked.name)
                return database.as_item(known)
            why: str | None = None
            ready: bool | None = True
            if locked is None:
                name, number = self._open(connection, entry), 1
            elif entry.conversation is None:
                raise ConfigurationError(names_a_conversation(entry.key))
            else:
                name, (why, ready) = locked.name, self._place(connection, locked)
                # Its row stays locked to the end: numbers are in the order of commits.
                number = connection.execute(self._next_number, {"of_name": name}).scalar_one()
            row = new_item(database, entry, name, number, why, ready, traceparent)
            # Returned by the same statement: the times are those of the database.
            row["is_blocked"] = why is not None
            inserted = connection.execute(self._insert, row).one()
            if ready:
                notify_ready(database, connection)
            return database.as_item(inserted)

    @cached_property
    def _lock(self) -> sa.Select[*tuple[Any, ...]]:
        """A conversation, if it exists here, locked to the end of the transaction."""
        table, named = self._database.conversations, sa.bindparam("named", type_=sa.Text)
        return (
            sa.select(table)
            .where(self._database.is_named(named))
            .order_by(table.c.name != named)
            .limit(1)
            .with_for_update()
        )

    @cached_property
    def _known(self) -> sa.Select[*tuple[Any, ...]]:
        table = self._database.items
        return sa.select(table).where(table.c.key == sa.bindparam("of_key"))

    @cached_property
    def _next_number(self) -> ReturningUpdate[*tuple[Any, ...]]:
        table = self._database.conversations
        change = sa.update(table).where(table.c.name == sa.bindparam("of_name"))
        return change.values(last=table.c.last + 1).returning(table.c.last)

    @cached_property
    def _insert(self) -> ReturningInsert[*tuple[Any, ...]]:
        table, now = self._database.items, self._database.now
        ended_at = sa.case((sa.bindparam("is_blocked", type_=sa.Boolean), now))
        return sa.insert(table).values(queued_at=now, ended_at=ended_at).returning(table)

    def _open(self, connection: sa.Connection, entry: Encoded) -> str:
        """Insert a conversation, and return its name."""
        name = entry.conversation or entry.key
        if entry.conversation is not None:
            self._check_no_append(connection, name)
        connection.execute(
            sa.insert(self._database.conversations),
            {
                "name": name,
                "last": 1,
                "conversation_id": entry.conversation,
                "queue": self._database.queue_name,
            },
        )
        return name

    def _check_no_append(self, connection: sa.Connection, conversation: str) -> None:
        table = self._database.items
        # A wrong name would open a second conversation, silently and out of order. An item that
        # opens this one was inserted just now: then its conversation cannot be inserted again.
        opener = connection.execute(
            sa.select(table.c.conversation).where(table.c.key == conversation, ~table.c.opens)
        ).scalar()
        if opener is not None:
            raise ConfigurationError(is_no_conversation(conversation, opener))

    def _place(
        self, connection: sa.Connection, conversation: Row
    ) -> tuple[str | None, bool | None]:
        """Return why a new item is blocked, if it is, and whether it is the head."""
        found = connection.execute(self._is_open, {"of_name": conversation.name})
        has_others = bool(found.scalar())
        # While the item that opens the conversation is unfinished, later ones wait for it.
        why = block_reason(has_others, conversation.conversation_id, conversation.halted_by)
        return why, None if why else not has_others

    @cached_property
    def _is_open(self) -> sa.Select[*tuple[Any, ...]]:
        table = self._database.items
        is_of_it = table.c.conversation == sa.bindparam("of_name")
        return sa.select(sa.exists().where(is_of_it, self._database.unfinished(table)))


def new_item(
    database: Database,
    entry: Encoded,
    conversation: str,
    number: int,
    why: str | None,
    ready: bool | None,
    traceparent: str | None,
) -> dict[str, Any]:
    """Return the columns of a new item but for its times: blocked with ``why``, or queued.

    ``conversation``: the name. ``ready``: whether it is the head of its conversation.
    """
    return {
        "conversation": conversation,
        "number": number,
        "key": entry.key,
        "opens": entry.conversation is None,
        "content": entry.content,
        "nonce": secrets.token_urlsafe(16),
        "attempt": 1,
        "state": (ItemState.QUEUED if why is None else ItemState.BLOCKED).value,
        "error": why,
        "ready": ready,
        "queue": database.queue_name,
        "priority": entry.priority,
        "traceparent": traceparent,
        "source": entry.source,
    }


def names_a_conversation(key: str) -> str:
    """Return why a key cannot open a conversation."""
    return f"key {key!r} names a conversation that exists; give another key"


def is_no_conversation(key: str, opener: str) -> str:
    """Return why nothing can be appended to the item of a key."""
    return (
        f"conversation {key!r} is the key of an append; give {opener!r}, which that was appended to"
    )


def check_queue(database: Database, conversation: Row) -> None:
    """Raise ``ConfigurationError`` if a conversation belongs to another account."""
    if conversation.queue != database.queue_name:
        raise ConfigurationError(
            f"conversation {conversation.name!r} is of queue {conversation.queue!r}, another "
            "account; give another key"
        )


def check_same(known: Any, entry: Encoded, name: str | None) -> None:
    """Raise ``ConfigurationError`` if a key's item differs from the one submitted now.

    ``name``: of the conversation that is submitted to.
    """
    if not is_same(known.content, entry.content):
        used_for = "other media or options"
    elif known.opens != (entry.conversation is None):
        used_for = "a new conversation" if known.opens else "an append"
    elif known.conversation != name:
        used_for = "another conversation"
    else:
        return
    raise ConfigurationError(
        f"key {known.key!r} was used for {used_for}; give each submission a key of its own"
    )
