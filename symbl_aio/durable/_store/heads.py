"""The head of each conversation: its first unfinished item, the only one that may get a slot.

A unique index allows at most one head. All of it blocks; a transaction that changes the items
of a conversation locks the conversation's row to its end.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any, Final

import sqlalchemy as sa

from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.tables import Row
from symbl_aio.durable.items import ItemState

NO_SLOT: Final = {"ready": None, "slot_at": None}
"""Columns of an item that has ended: it holds no slot, and is not the head."""
_HALTED: Final = ("item ", " of the conversation is ambiguous; resolve it")
_NOT_OPENED: Final = "the item that was to open the conversation did not; retry that"


def block_reason(opens: bool, conversation_id: str | None, halted_by: str | None) -> str | None:
    """Return why an item must not be sent, ``None`` if it may be.

    ``opens``: it opens its conversation, or the item that does is unfinished. ``halted_by``:
    key of the conversation's ambiguous item.
    """
    if halted_by is not None:
        return halted_by.join(_HALTED)
    if not opens and conversation_id is None:
        return _NOT_OPENED
    return None


class Heads:
    """Locks a conversation, and chooses its next head, when one of its items ends.

    Statements are built once: to build one takes longer than to execute it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def lock(self, connection: sa.Connection, key: str) -> Row | None:
        """Return the conversation of an item, locked to the end of the transaction."""
        return connection.execute(self._lock, {"of_key": key}).first()

    @cached_property
    def _lock(self) -> sa.Select[*tuple[Any, ...]]:
        table, items = self._database.conversations, self._database.items
        name = sa.select(items.c.conversation).where(items.c.key == sa.bindparam("of_key"))
        return sa.select(table).where(table.c.name == name.scalar_subquery()).with_for_update()

    def advance(self, connection: sa.Connection, conversation: Row, halted_by: str | None) -> None:
        """Make the next item of a locked conversation its head, or block all that wait.

        One statement each, for any number of items. An item that is being sent stays the head.
        """
        if conversation.last == 1:
            return  # nothing waits behind its only item
        name = conversation.name
        why = block_reason(False, conversation.conversation_id, halted_by)
        # Blocked before the head is chosen, so that no blocked item becomes the head.
        if why is not None:
            waiting = _waiting(self._database, [name])
            if halted_by is None:  # the item that opens the conversation is not blocked by itself
                waiting &= ~_is_opening(self._database, sa.literal(name))
            connection.execute(_block(self._database, why).where(waiting))
        if halted_by is None:
            connection.execute(self._advance, {"of_name": name})

    @cached_property
    def _advance(self) -> sa.Update:
        name: sa.BindParameter[str] = sa.bindparam("of_name")
        table = self._database.items
        head = table.alias()
        return (
            sa.update(table)
            .where(table.c.id == _first_unfinished(self._database, name))
            .where(~sa.exists().where(head.c.conversation == name).where(head.c.ready))
            .values(ready=True)
        )


def lock_conversations(
    database: Database, connection: sa.Connection, names: Collection[str]
) -> dict[str, Row]:
    """Return conversations by their names, locked to the end of the transaction."""
    table = database.conversations
    # In one order for all transactions, which avoids most deadlocks.
    rows = connection.execute(
        sa.select(table).where(table.c.name.in_(names)).order_by(table.c.name).with_for_update()
    )
    return {row.name: row for row in rows}


def advance_all(database: Database, connection: sa.Connection, names: Collection[str]) -> set[int]:
    """Do as ``Heads.advance`` for many locked conversations; return the ids of blocked items.

    Two statements, for any number of conversations and items.
    """
    table, conversations, head = database.items, database.conversations, database.items.alias()
    of_item = conversations.c.name == table.c.conversation
    halted_by = sa.select(conversations.c.halted_by).where(of_item).scalar_subquery()
    never_opened = sa.and_(
        conversations.c.conversation_id.is_(None), ~_is_opening(database, conversations.c.name)
    )
    blocking = (
        sa.select(conversations.c.name)
        .where(conversations.c.name.in_(names))
        .where(sa.or_(conversations.c.halted_by.is_not(None), never_opened))
    )
    why = sa.case(
        (halted_by.is_not(None), sa.literal(_HALTED[0]) + halted_by + _HALTED[1]),
        else_=_NOT_OPENED,
    )
    blocked = connection.execute(
        _block(database, why)
        .where(_waiting(database, names), table.c.conversation.in_(blocking))
        .returning(table.c.id)
    )
    blocked_ids = set(blocked.scalars())
    first = (
        sa.select(_first_unfinished(database, conversations.c.name))
        .where(conversations.c.name.in_(names))
        .where(conversations.c.halted_by.is_(None))
    )
    connection.execute(
        sa.update(table)
        .where(table.c.id.in_(first))
        .where(~sa.exists().where(head.c.conversation == table.c.conversation).where(head.c.ready))
        .values(ready=True)
    )
    return blocked_ids


def unblock(database: Database, connection: sa.Connection, names: Collection[str]) -> set[int]:
    """Queue again all blocked items of locked conversations; return the ids of those items.

    Their heads are to be chosen anew (``advance_all``). Two statements, for any number of items.
    """
    table = database.items
    in_them = table.c.conversation.in_(names)
    resumed = connection.execute(
        sa.update(table)
        .where(in_them)
        .where(table.c.state == ItemState.BLOCKED.value)
        .values(
            state=ItemState.QUEUED.value,
            # A new attempt: a worker that still has the old one changes nothing.
            attempt=table.c.attempt + 1,
            deaths=0,
            error=None,
            ended_at=None,
            ready=False,
        )
        .returning(table.c.id)
    )
    resumed_ids = set(resumed.scalars())
    # A head that waits for a slot makes way for an earlier item; one that holds a slot does not.
    connection.execute(
        sa.update(table)
        .where(in_them, table.c.ready, table.c.slot_at.is_(None))
        .where(~database.is_under_way(table))
        .values(ready=False)
    )
    return resumed_ids


# Parts of the statements


def _waiting(database: Database, names: Collection[str]) -> sa.ColumnElement[bool]:
    """Return the condition for items of conversations that certainly were not sent."""
    table = database.items
    return sa.and_(
        table.c.conversation.in_(names),
        database.unfinished(table),
        table.c.state == ItemState.QUEUED.value,
        table.c.sent_by.is_(None),
    )


def _is_opening(database: Database, conversation: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Return the condition that the item which opens a conversation is unfinished."""
    opener = database.items.alias()
    return (
        sa.exists()
        .where(opener.c.conversation == conversation)
        .where(database.unfinished(opener))
        .where(opener.c.opens)
    )


def _first_unfinished(
    database: Database, conversation: sa.ColumnElement[str]
) -> sa.ScalarSelect[int]:
    """Return the subquery for the id of a conversation's first unfinished item."""
    others = database.items.alias()
    return (
        sa.select(others.c.id)
        .where(others.c.conversation == conversation)
        .where(database.unfinished(others))
        .order_by(others.c.number)
        .limit(1)
        .scalar_subquery()
    )


def _block(database: Database, why: str | sa.ColumnElement[str]) -> sa.Update:
    """Return the update that blocks items, to be limited by conditions."""
    return sa.update(database.items).values(
        state=ItemState.BLOCKED.value, error=why, ended_at=database.now, **NO_SLOT
    )
