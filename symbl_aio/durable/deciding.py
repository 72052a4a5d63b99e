"""Carry out what a person decides about an item: was it accepted, send it again, or never."""

from __future__ import annotations

import secrets
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from symbl_aio import ConfigurationError
from symbl_aio.durable.items import Item, ItemState
from symbl_aio.durable.looking import there
from symbl_aio.durable.notices import tell_ready
from symbl_aio.durable.slots import FREE, advance, hold, resume
from symbl_aio.durable.tables import Database

Row: TypeAlias = sa.Row[Any]

_CAN_BE_RETRIED: Final = frozenset(
    {
        ItemState.FAILED,
        ItemState.LOST,
        ItemState.REFUSED,
        ItemState.BLOCKED,
        ItemState.DISCARDED,
    }
)
_CAN_BE_DISCARDED: Final = frozenset({ItemState.QUEUED, ItemState.BLOCKED, ItemState.AMBIGUOUS})


class Deciding:
    """What ``Outbox.resolve``, ``retry`` and ``discard`` do. All of it blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def resolve(
        self, key: str, accepted: bool, conversation_id: str | None, job_id: str | None
    ) -> Item:
        """Take a person's word for what became of an ambiguous item."""
        with self._database.begin() as connection:
            row, conversation = self._hold(connection, key)
            if row.state != ItemState.AMBIGUOUS.value:
                raise ConfigurationError(
                    f"item {key!r} is {row.state}, and only ambiguous ones are resolved"
                )
            if accepted:
                found = _conversation_id_of(row, conversation, conversation_id)
                row = self._accept(connection, row, found, job_id)
            else:
                found = conversation.conversation_id
                row = self._send_again(connection, row)
            self._go_on(connection, conversation, found)
            return self._database.as_item(row)

    def discard(self, key: str) -> Item:
        """Take an item back that is not on its way, nor was accepted for certain."""
        with self._database.begin() as connection:
            row, conversation = self._hold(connection, key)
            state = ItemState(row.state)
            if state is ItemState.QUEUED and row.sent_by is not None:
                raise ConfigurationError(
                    f"item {key!r} is being sent, or may have been; wait for its end"
                )
            if state not in _CAN_BE_DISCARDED:
                raise ConfigurationError(
                    f"item {key!r} is {state.value}, and only what is queued, blocked or "
                    "ambiguous is taken back"
                )
            now = self._database.now
            row = self._change(connection, row, ItemState.DISCARDED, ended_at=now)
            found = conversation.conversation_id
            if state is ItemState.AMBIGUOUS:
                self._go_on(connection, conversation, found)
            else:
                advance(self._database, connection, row.conversation, found, conversation.halted_by)
                tell_ready(self._database, connection)
            return self._database.as_item(row)

    def retry(self, key: str) -> Item:
        """Send an item again that ended in some way that sending it again may help."""
        with self._database.begin() as connection:
            row, conversation = self._hold(connection, key)
            state = ItemState(row.state)
            if state not in _CAN_BE_RETRIED:
                remedy = "; say what became of it: resolve" if state is ItemState.AMBIGUOUS else ""
                raise ConfigurationError(f"item {key!r} is {state.value}{remedy}")
            if conversation.halted_by is not None:
                raise ConfigurationError(
                    f"item {conversation.halted_by!r} of the conversation is ambiguous; "
                    "resolve that first"
                )
            is_blocked = conversation.conversation_id is None
            if is_blocked and not row.opens:
                raise ConfigurationError(
                    f"item {row.conversation!r} has not opened the conversation; retry that first"
                )
            row = self._send_again(connection, row)
            resume(self._database, connection, conversation)
            advance(
                self._database, connection, row.conversation, conversation.conversation_id, None
            )
            tell_ready(self._database, connection)
            return self._database.as_item(row)

    def _accept(
        self, connection: sa.Connection, row: Row, conversation_id: str, job_id: str | None
    ) -> Row:
        now = self._database.now
        if job_id is None:
            return self._change(
                connection,
                row,
                ItemState.COMPLETED,
                conversation_id=conversation_id,
                ended_at=now,
            )
        table = self._database.items
        others = sa.select(table.c.key).where(table.c.job_id == job_id, table.c.key != row.key)
        if (other := connection.execute(others).scalar()) is not None:
            raise ConfigurationError(
                f"job_id {job_id!r} is that of item {other!r}; give that of item {row.key!r}"
            )
        return self._queue_again(
            connection,
            row,
            ItemState.ACCEPTED,
            conversation_id=conversation_id,
            job_id=job_id,
            accepted_at=now,
            ready=True,
        )

    def _send_again(self, connection: sa.Connection, row: Row) -> Row:
        return self._queue_again(
            connection,
            row,
            sent_by=None,
            sent_at=None,
            job_id=None,
            conversation_id=None,
            accepted_at=None,
            # A webhook call about what was sent before says nothing about this.
            in_doubt=False,
            heard=None,
            maybe_sent_since=None,
            nonce=secrets.token_urlsafe(16),
        )

    def _go_on(
        self, connection: sa.Connection, conversation: Row, conversation_id: str | None
    ) -> None:
        """Resume a conversation that an item has halted."""
        conversations = self._database.conversations
        connection.execute(
            sa.update(conversations)
            .where(conversations.c.name == conversation.name)
            .values(halted_by=None, conversation_id=conversation_id)
        )
        resume(self._database, connection, conversation)
        advance(self._database, connection, conversation.name, conversation_id, None)
        tell_ready(self._database, connection)

    def _queue_again(
        self,
        connection: sa.Connection,
        row: Row,
        state: ItemState = ItemState.QUEUED,
        **changes: object,
    ) -> Row:
        return self._change(connection, row, state, **{"ended_at": None, "ready": False, **changes})

    def _change(
        self, connection: sa.Connection, row: Row, state: ItemState, **changes: object
    ) -> Row:
        """Change an item, so that no attempt which may still be under way has to do with it."""
        table = self._database.items
        values = {**FREE, "state": state.value, "deaths": 0, "error": None, **changes}
        return connection.execute(
            sa.update(table)
            .where(table.c.key == row.key)
            .values(attempt=table.c.attempt + 1, **values)
            .returning(table)
        ).one()

    def _hold(self, connection: sa.Connection, key: str) -> tuple[Row, Row]:
        """Give an item and its conversation, which nobody else changes meanwhile."""
        table = self._database.items
        # In the order in which workers lock them. An item stays in its conversation.
        conversation = hold(self._database, connection, key)
        row = connection.execute(
            sa.select(table).where(table.c.key == key).with_for_update()
        ).first()
        row = there(row, key)
        assert conversation is not None
        return row, conversation


def _conversation_id_of(row: Row, conversation: Row, given: str | None) -> str:
    """Give the id of an accepted item's conversation, if there can be only one."""
    if row.opens and given is None:
        raise ConfigurationError(
            f"conversation_id is missing: item {row.key!r} opens a conversation; "
            "give the id that the server gave it"
        )
    known: str | None = given if row.opens else conversation.conversation_id
    assert known is not None
    if given is not None and given != known:
        raise ConfigurationError(
            f"conversation_id is {given!r}, but item {row.key!r} was appended to {known!r}; "
            "leave it out"
        )
    return known
