"""Write down what is handed in: what is there, has its number, and is queued."""

from __future__ import annotations

import secrets
from typing import Any, TypeAlias

import sqlalchemy as sa
from dbos import DBOSClient
from sqlalchemy.exc import IntegrityError

from symbl_aio import ConfigurationError
from symbl_aio.durable import contents, engine
from symbl_aio.durable.items import Item, ItemState
from symbl_aio.durable.tables import Database

Row: TypeAlias = sa.Row[Any]


class Entering:
    """How an item comes into a database. All of it blocks."""

    def __init__(self, database: Database, client: DBOSClient) -> None:
        self._database = database
        self._client = client

    def enter(self, conversation: str | None, content: str, key: str) -> Item:
        """Enter an item, unless it is there: give it. Without ``conversation`` it opens one."""
        try:
            return self._enter(conversation, content, key)
        except IntegrityError:
            return self._enter(conversation, content, key)  # somebody else was faster

    def _enter(self, conversation: str | None, content: str, key: str) -> Item:
        table = self._database.items
        with self._database.begin() as connection:
            # Held first, so that what others hand in for it is there to see, or comes later.
            name = self._hold(connection, conversation or key)
            known = connection.execute(sa.select(table).where(table.c.key == key)).first()
            if known is not None:
                # Both may have come between the two questions.
                name = name or self._hold(connection, conversation or key)
                _check_same(known, conversation, name, content)
                return self._database.as_item(known)
            if conversation is None and name is not None:
                raise ConfigurationError(
                    f"key {key!r} names a conversation that exists; give another key"
                )
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
                    state=ItemState.QUEUED.value,
                    queued_at=self._database.now,
                )
                .returning(table)
            ).one()
            enqueue(self._client, connection, entered)
            return self._database.as_item(entered)

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
                    name=conversation or key, last=1, conversation_id=conversation
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

    def _hold(self, connection: sa.Connection, conversation: str) -> str | None:
        """Give a conversation's name here, if it is known, and hold it in a transaction."""
        table = self._database.conversations
        names = sa.or_(table.c.name == conversation, table.c.conversation_id == conversation)
        name: str | None = connection.execute(
            sa.select(table.c.name)
            .where(names)
            .order_by(table.c.name != conversation)
            .limit(1)
            .with_for_update()
        ).scalar()
        return name

    def _check_no_append(self, connection: sa.Connection, conversation: str) -> None:
        table = self._database.items
        opener = connection.execute(
            sa.select(table.c.conversation).where(table.c.key == conversation)
        ).scalar()
        if opener is not None:
            raise ConfigurationError(
                f"conversation {conversation!r} is the key of an append; give {opener!r}, "
                "which that was appended to"
            )


def _check_same(known: Row, conversation: str | None, name: str | None, content: str) -> None:
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


def enqueue(client: DBOSClient, connection: sa.Connection, row: Row) -> None:
    """Queue an item's latest attempt, in the transaction that made it so."""
    engine.enqueue(
        client,
        connection,
        row.key,
        attempt=row.attempt,
        conversation=row.conversation,
        number=row.number,
    )
