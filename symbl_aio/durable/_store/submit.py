"""Insert an item: once for each key, numbered in its conversation, and ready if it is the head."""

from __future__ import annotations

import secrets
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from symbl_aio import ConfigurationError
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.notifications import notify_ready
from symbl_aio.durable._database.tables import Row
from symbl_aio.durable._store.heads import block_reason
from symbl_aio.durable.content import is_same
from symbl_aio.durable.items import Item, ItemState


def submit(
    database: Database,
    conversation: str | None,
    content: str,
    source: str | None,
    key: str,
    priority: int,
    traceparent: str | None = None,
) -> Item:
    """Insert an item unless its key exists, and return it.

    Without ``conversation`` it opens one. ``source``: name of its file or link. ``traceparent``:
    the caller's span.
    """
    given = (database, conversation, content, source, key, priority, traceparent)
    try:
        return _submit(*given)
    except IntegrityError:  # another process inserted the same key or number at the same moment
        return _submit(*given)


def _submit(
    database: Database,
    conversation: str | None,
    content: str,
    source: str | None,
    key: str,
    priority: int,
    traceparent: str | None,
) -> Item:
    table = database.items
    with database.begin() as connection:
        # Locked first: other submissions to the conversation are visible now, or come later.
        locked = _lock(database, connection, conversation or key)
        if locked is not None:
            check_queue(database, locked)
        known = connection.execute(sa.select(table).where(table.c.key == key)).first()
        if known is not None:
            # Both may have been inserted between the two statements.
            locked = locked or _lock(database, connection, conversation or key)
            check_same(known, conversation, None if locked is None else locked.name, content)
            return database.as_item(known)
        if conversation is None and locked is not None:
            raise ConfigurationError(names_a_conversation(key))
        why, ready = (None, True) if locked is None else _place(database, connection, locked)
        name = None if locked is None else locked.name
        # Returned by the same statement: the times are those of the database.
        inserted = connection.execute(
            sa.insert(table)
            .values(
                conversation=name or conversation or key,
                number=_next_number(database, connection, name, conversation, key),
                **new_item(database, key, conversation is None, content, why, ready, database.now),
                priority=priority,
                traceparent=traceparent,
                source=source,
            )
            .returning(table)
        ).one()
        if ready:
            notify_ready(database, connection)
        return database.as_item(inserted)


def new_item(
    database: Database,
    key: str,
    opens: bool,
    content: str,
    why: str | None,
    ready: bool | None,
    now: Any,
) -> dict[str, Any]:
    """Return the columns of a new item, blocked with ``why`` or queued.

    ``ready``: whether it is the head of its conversation. ``now``: time by the database's clock.
    """
    return {
        "key": key,
        "opens": opens,
        "content": content,
        "nonce": secrets.token_urlsafe(16),
        "attempt": 1,
        "state": (ItemState.QUEUED if why is None else ItemState.BLOCKED).value,
        "queued_at": now,
        "error": why,
        "ended_at": None if why is None else now,
        "ready": ready,
        "queue": database.queue_name,
    }


def _place(
    database: Database, connection: sa.Connection, conversation: Row
) -> tuple[str | None, bool | None]:
    """Return why a new item is blocked, if it is, and whether it is the head."""
    table = database.items
    is_open = sa.exists().where(
        table.c.conversation == conversation.name, database.unfinished(table)
    )
    has_others = bool(connection.execute(sa.select(is_open)).scalar())
    # While the item that opens the conversation is unfinished, later ones wait for it.
    why = block_reason(has_others, conversation.conversation_id, conversation.halted_by)
    return why, None if why else not has_others


def _next_number(
    database: Database,
    connection: sa.Connection,
    name: str | None,
    conversation: str | None,
    key: str,
) -> int:
    """Return the next number in a conversation; without a ``name`` insert the conversation.

    Its row stays locked to the end of the transaction: numbers are in the order of commits.
    """
    table = database.conversations
    if name is None:
        if conversation is not None:
            _check_no_append(database, connection, conversation)
        connection.execute(
            sa.insert(table).values(
                name=conversation or key,
                last=1,
                conversation_id=conversation,
                queue=database.queue_name,
            )
        )
        return 1
    number: int = connection.execute(
        sa.update(table)
        .where(table.c.name == name)
        .values(last=table.c.last + 1)
        .returning(table.c.last)
    ).scalar_one()
    return number


def _lock(database: Database, connection: sa.Connection, conversation: str) -> Row | None:
    """Return a conversation, if it exists here, locked to the end of the transaction."""
    table = database.conversations
    return connection.execute(
        sa.select(table)
        .where(database.is_named(conversation))
        .order_by(table.c.name != conversation)
        .limit(1)
        .with_for_update()
    ).first()


def _check_no_append(database: Database, connection: sa.Connection, conversation: str) -> None:
    table = database.items
    # A wrong name would open a second conversation, silently and out of order. An item that
    # opens this one was inserted just now: then its conversation cannot be inserted again.
    opener = connection.execute(
        sa.select(table.c.conversation).where(table.c.key == conversation, ~table.c.opens)
    ).scalar()
    if opener is not None:
        raise ConfigurationError(is_no_conversation(conversation, opener))


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


def check_same(known: Any, conversation: str | None, name: str | None, content: str) -> None:
    """Raise ``ConfigurationError`` if a key's item differs from the one submitted now."""
    if not is_same(known.content, content):
        used_for = "other media or options"
    elif known.opens != (conversation is None):
        used_for = "a new conversation" if known.opens else "an append"
    elif known.conversation != name:
        used_for = "another conversation"
    else:
        return
    raise ConfigurationError(
        f"key {known.key!r} was used for {used_for}; give each submission a key of its own"
    )
