"""Write down what is handed in: what is there, has its number, and its place in the queue."""

from __future__ import annotations

import secrets
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from symbl_aio import ConfigurationError
from symbl_aio.durable import content as contents
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.notifications import tell_ready
from symbl_aio.durable._store.heads import why_blocked
from symbl_aio.durable.items import Item, ItemState

Row: TypeAlias = sa.Row[Any]


class Entering:
    """How an item comes into a database. All of it blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enter(
        self,
        conversation: str | None,
        content: str,
        key: str,
        priority: int,
        traceparent: str | None = None,
    ) -> Item:
        """Enter an item, unless it is there, and return it.

        Without ``conversation`` it opens one. ``traceparent``: the span that hands it in.
        """
        try:
            return self._enter(conversation, content, key, priority, traceparent)
        except IntegrityError:  # another process was faster
            return self._enter(conversation, content, key, priority, traceparent)

    def _enter(
        self,
        conversation: str | None,
        content: str,
        key: str,
        priority: int,
        traceparent: str | None,
    ) -> Item:
        table = self._database.items
        with self._database.begin() as connection:
            # Held first, so that what others hand in for it is there to see, or comes later.
            held = self._hold(connection, conversation or key)
            if held is not None:
                check_queue(self._database, held)
            known = connection.execute(sa.select(table).where(table.c.key == key)).first()
            if known is not None:
                # Both may have come between the two questions.
                held = held or self._hold(connection, conversation or key)
                check_same(known, conversation, None if held is None else held.name, content)
                return self._database.as_item(known)
            if conversation is None and held is not None:
                raise ConfigurationError(names_a_conversation(key))
            why, ready = (None, True) if held is None else self._place(connection, held)
            name = None if held is None else held.name
            entered = connection.execute(
                sa.insert(table)
                .values(
                    key=key,
                    conversation=name or conversation or key,
                    number=self._take_number(connection, name, conversation, key),
                    opens=conversation is None,
                    content=content,
                    nonce=secrets.token_urlsafe(16),
                    attempt=1,
                    state=(ItemState.QUEUED if why is None else ItemState.BLOCKED).value,
                    queued_at=self._database.now,
                    error=why,
                    ended_at=None if why is None else self._database.now,
                    ready=ready,
                    priority=priority,
                    traceparent=traceparent,
                    source=contents.source_of(content),
                    queue=self._database.queue_name,
                )
                .returning(table)
            ).one()
            if ready:
                tell_ready(self._database, connection)
            return self._database.as_item(entered)

    def _place(self, connection: sa.Connection, held: Row) -> tuple[str | None, bool | None]:
        """Return why an item is blocked at once, if it is, and whether it is the head."""
        table = self._database.items
        is_open = sa.exists().where(
            table.c.conversation == held.name, self._database.unfinished(table)
        )
        has_others: bool = bool(connection.execute(sa.select(is_open)).scalar())
        # While the one that opens the conversation is under way, others wait for it.
        why = why_blocked(has_others, held.conversation_id, held.halted_by)
        return why, None if why else not has_others

    def _take_number(
        self, connection: sa.Connection, name: str | None, conversation: str | None, key: str
    ) -> int:
        """Give the next number in a conversation, which is new here without a ``name``.

        Until the transaction ends nobody else gets one, so numbers are in the order of
        what was committed.
        """
        table = self._database.conversations
        if name is None:
            if conversation is not None:
                self._check_no_append(connection, conversation)
            connection.execute(
                sa.insert(table).values(
                    name=conversation or key,
                    last=1,
                    conversation_id=conversation,
                    queue=self._database.queue_name,
                )
            )
            return 1
        taken: int = connection.execute(
            sa.update(table)
            .where(table.c.name == name)
            .values(last=table.c.last + 1)
            .returning(table.c.last)
        ).scalar_one()
        return taken

    def _hold(self, connection: sa.Connection, conversation: str) -> Row | None:
        """Return a conversation, if it is known here, locked to the end of the transaction."""
        table = self._database.conversations
        return connection.execute(
            sa.select(table)
            .where(self._database.is_named(conversation))
            .order_by(table.c.name != conversation)
            .limit(1)
            .with_for_update()
        ).first()

    def _check_no_append(self, connection: sa.Connection, conversation: str) -> None:
        table = self._database.items
        opener = connection.execute(
            sa.select(table.c.conversation).where(table.c.key == conversation)
        ).scalar()
        if opener is not None:
            raise ConfigurationError(is_no_conversation(conversation, opener))


def names_a_conversation(key: str) -> str:
    """Return why a conversation cannot be opened under a key."""
    return f"key {key!r} names a conversation that exists; give another key"


def is_no_conversation(key: str, opener: str) -> str:
    """Return why nothing can be appended to what a key names."""
    return (
        f"conversation {key!r} is the key of an append; give {opener!r}, which that was appended to"
    )


def check_queue(database: Database, held: Row) -> None:
    """Raise ``ConfigurationError`` if a conversation is of another account."""
    if held.queue != database.queue_name:
        raise ConfigurationError(
            f"conversation {held.name!r} is of queue {held.queue!r}, another account; "
            "give another key"
        )


def check_same(known: Any, conversation: str | None, name: str | None, content: str) -> None:
    """Raise ``ConfigurationError`` if the item of a key is not what is handed in under it now."""
    if not contents.is_same(known.content, content):
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
