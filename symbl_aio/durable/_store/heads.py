"""Which item of a conversation is next, in the transactions that enter items and end them.

Only the head of a conversation, its first unfinished item, may get a slot (``dispatch``). A
unique index sees to it that there is one head at most. All of it blocks; whoever changes the
items of a conversation holds the conversation's row to the end of the transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from symbl_aio.durable._database.database import Database
from symbl_aio.durable.items import ItemState

Row: TypeAlias = sa.Row[Any]


class Heads:
    """Conversations held, and their heads chosen, one at a time, as each item's end needs it.

    What each item costs is built once: to build a statement takes longer than to execute it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def hold(self, connection: sa.Connection, key: str) -> Row | None:
        """Return the conversation of an item, locked to the end of the transaction."""
        return connection.execute(self._holding, {"of_key": key}).first()

    @cached_property
    def _holding(self) -> sa.Select[*tuple[Any, ...]]:
        table, items = self._database.conversations, self._database.items
        name = sa.select(items.c.conversation).where(items.c.key == sa.bindparam("of_key"))
        return sa.select(table).where(table.c.name == name.scalar_subquery()).with_for_update()

    def advance(
        self,
        connection: sa.Connection,
        conversation: str,
        conversation_id: str | None,
        halted_by: str | None,
    ) -> None:
        """Make the next item of a held conversation its head, or block all that wait in it.

        One statement each, however many they are. An item that is under way stays the head.
        """
        why = why_blocked(False, conversation_id, halted_by)
        if why is not None:
            self._block(connection, conversation, why, also_behind_an_opener=halted_by is not None)
        if halted_by is None:
            connection.execute(self._advancing, {"of_name": conversation})

    def _block(
        self, connection: sa.Connection, conversation: str, why: str, *, also_behind_an_opener: bool
    ) -> None:
        table, opener = self._database.items, self._database.items.alias()
        queued = sa.and_(
            table.c.conversation == conversation,
            self._database.unfinished(table),
            table.c.state == ItemState.QUEUED.value,
            table.c.sent_by.is_(None),
        )
        is_opening = (
            sa.exists()
            .where(opener.c.conversation == conversation)
            .where(self._database.unfinished(opener))
            .where(opener.c.opens)
        )
        connection.execute(
            sa.update(table)
            .where(queued if also_behind_an_opener else sa.and_(queued, ~is_opening))
            .values(state=ItemState.BLOCKED.value, error=why, ended_at=self._database.now, **FREE)
        )

    @cached_property
    def _advancing(self) -> sa.Update:
        table = self._database.items
        head, others = table.alias(), table.alias()
        name: sa.BindParameter[str] = sa.bindparam("of_name")
        first = (
            sa.select(others.c.id)
            .where(others.c.conversation == name)
            .where(self._database.unfinished(others))
            .order_by(others.c.number)
            .limit(1)
        )
        return (
            sa.update(table)
            .where(table.c.id == first.scalar_subquery())
            .where(~sa.exists().where(head.c.conversation == name).where(head.c.ready))
            .values(ready=True)
        )


def hold_all(
    database: Database, connection: sa.Connection, names: Collection[str]
) -> dict[str, Row]:
    """Return conversations by their names, locked to the end of the transaction."""
    table = database.conversations
    rows = connection.execute(
        sa.select(table).where(table.c.name.in_(names)).order_by(table.c.name).with_for_update()
    )
    return {row.name: row for row in rows}


def advance_all(database: Database, connection: sa.Connection, names: Collection[str]) -> set[int]:
    """Do as ``Heads.advance`` for many held conversations; return the ids of what it blocks.

    Two statements, however many conversations and items they are.
    """
    table, conversations = database.items, database.conversations
    opener, others, head = table.alias(), table.alias(), table.alias()
    here = conversations.c.name == table.c.conversation
    halted = sa.select(conversations.c.halted_by).where(here).scalar_subquery()
    is_opening = (
        sa.exists()
        .where(opener.c.conversation == conversations.c.name)
        .where(database.unfinished(opener))
        .where(opener.c.opens)
    )
    stays_shut = sa.and_(conversations.c.conversation_id.is_(None), ~is_opening)
    blocked = connection.execute(
        sa.update(table)
        .where(table.c.conversation.in_(names), database.unfinished(table))
        .where(table.c.state == ItemState.QUEUED.value, table.c.sent_by.is_(None))
        .where(
            table.c.conversation.in_(
                sa.select(conversations.c.name)
                .where(conversations.c.name.in_(names))
                .where(sa.or_(conversations.c.halted_by.is_not(None), stays_shut))
            )
        )
        .values(
            state=ItemState.BLOCKED.value,
            error=sa.case(
                (halted.is_not(None), sa.literal(_HALTED[0]) + halted + _HALTED[1]),
                else_=_NOT_OPENED,
            ),
            ended_at=database.now,
            **FREE,
        )
        .returning(table.c.id)
    ).scalars()
    blocked_ids = set(blocked)
    first = (
        sa.select(others.c.id)
        .where(others.c.conversation == conversations.c.name)
        .where(database.unfinished(others))
        .order_by(others.c.number)
        .limit(1)
        .scalar_subquery()
    )
    connection.execute(
        sa.update(table)
        .where(
            table.c.id.in_(
                sa.select(first)
                .where(conversations.c.name.in_(names))
                .where(conversations.c.halted_by.is_(None))
            )
        )
        .where(~sa.exists().where(head.c.conversation == table.c.conversation).where(head.c.ready))
        .values(ready=True)
    )
    return blocked_ids


def resume(database: Database, connection: sa.Connection, names: Collection[str]) -> set[int]:
    """Queue again all that is blocked in held conversations; return the ids of those items.

    Their heads are to be chosen anew (``advance_all``): what waits for a slot makes way for
    an earlier item; what holds one does not. Two statements, however many are blocked.
    """
    table = database.items
    of_them = table.c.conversation.in_(names)
    resumed = connection.execute(
        sa.update(table)
        .where(of_them)
        .where(table.c.state == ItemState.BLOCKED.value)
        .values(
            state=ItemState.QUEUED.value,
            attempt=table.c.attempt + 1,
            deaths=0,
            error=None,
            ended_at=None,
            ready=False,
        )
        .returning(table.c.id)
    ).scalars()
    resumed_ids = set(resumed)
    connection.execute(
        sa.update(table)
        .where(of_them, table.c.ready, table.c.slot_at.is_(None), table.c.sent_by.is_(None))
        .where(table.c.job_id.is_(None))
        .values(ready=False)
    )
    return resumed_ids


def mark_heads(database: Database, connection: sa.Connection) -> int:
    """Mark what an older release handed in, and return how many items those are.

    That release queued them in the engine, in a queue of its own: a new attempt leaves that
    behind. What was sent or accepted is the head of its conversation.
    """
    table, items = database.items, database.items.alias()
    unmarked = sa.and_(items.c.ready.is_(None), database.unfinished(items))
    place = sa.func.row_number().over(
        partition_by=items.c.conversation,
        order_by=(
            sa.case((items.c.ready, 0), else_=1),
            sa.case(
                (sa.or_(items.c.job_id.is_not(None), items.c.sent_by.is_not(None)), 0), else_=1
            ),
            items.c.number,
        ),
    )
    some = database.items.alias()
    ranked = (
        sa.select(items.c.id, place.label("place"))
        .where(database.unfinished(items))
        .where(
            items.c.conversation.in_(
                sa.select(some.c.conversation).where(
                    some.c.ready.is_(None), database.unfinished(some)
                )
            )
        )
        .subquery()
    )
    heads = sa.select(ranked.c.id).where(ranked.c.place == 1)
    marked = connection.execute(
        sa.update(table)
        .where(table.c.id.in_(sa.select(items.c.id).where(unmarked)))
        .where(table.c.ready.is_(None), database.unfinished(table))
        .values(ready=table.c.id.in_(heads), attempt=table.c.attempt + 1)
    )
    return marked.rowcount


FREE = {"ready": None, "slot_at": None}
"""Of an item that has ended: it holds no slot, and is not the head."""


_HALTED: Final = ("item ", " of the conversation is ambiguous; resolve it")
_NOT_OPENED: Final = "the item that was to open the conversation did not; retry that"


def why_blocked(opens: bool, conversation_id: str | None, halted_by: str | None) -> str | None:
    """Return why an item must not be sent, ``None`` if it may be."""
    if halted_by is not None:
        return halted_by.join(_HALTED)
    if not opens and conversation_id is None:
        return _NOT_OPENED
    return None
