"""Forget what ended long ago: the items, what the engine keeps of them, their conversations."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from symbl_aio.durable._database import dbos as engine
from symbl_aio.durable._database.database import Database
from symbl_aio.durable.items import ItemState, Turn

_AT_ONCE: Final = 500
_UNDECIDED: Final = [ItemState.AMBIGUOUS.value, ItemState.BLOCKED.value]
_FORGOTTEN: Final = [
    state.value for state in ItemState if state.is_ending and state.value not in _UNDECIDED
]


def forget_some(database: Database, retention: float) -> bool:
    """Forget some of what ended more than ``retention`` seconds ago; say whether there may be more.

    Not while a person is still to decide about an item of its conversation, nor what
    should have opened one in which something waits. A conversation
    goes with its last item, and its key may then be used anew. Blocks.
    """
    table, others = database.items, database.items.alias()
    # What waits may need that the one which should have opened its conversation is sent again.
    missed = sa.and_(
        table.c.opens,
        table.c.state.in_([ItemState.REFUSED.value, ItemState.DISCARDED.value]),
        table.c.conversation.in_(
            sa.select(others.c.conversation).where(others.c.state == ItemState.QUEUED.value)
        ),
    )
    old = sa.and_(
        table.c.queue == database.queue_name,
        table.c.state.in_(_FORGOTTEN),
        table.c.ended_at < database.now - retention,
        table.c.conversation.not_in(
            sa.select(others.c.conversation).where(others.c.state.in_(_UNDECIDED))
        ),
        ~missed,
    )
    with database.read() as connection:
        found = connection.execute(
            sa.select(table.c.key, table.c.attempt).where(old).limit(_AT_ONCE)
        ).all()
    if not found:
        return False
    engine.purge(
        database,
        [Turn(key, attempt) for key, last in found for attempt in range(1, last + 1)],
    )
    with database.begin() as connection:
        # Some may have been queued again meanwhile.
        gone = connection.execute(
            sa.delete(table)
            .where(table.c.key.in_([key for key, _ in found]))
            .where(old)
            .returning(table.c.conversation)
        )
        _forget_empty(database, connection, set(gone.scalars()))
    return len(found) == _AT_ONCE


def _forget_empty(database: Database, connection: sa.Connection, names: set[str]) -> None:
    table, items = database.conversations, database.items
    # Held first, so that whoever hands something in for one has done so, or waits.
    connection.execute(
        sa.select(table.c.name)
        .where(table.c.name.in_(names))
        .order_by(table.c.name)
        .with_for_update()
    ).all()
    used = sa.exists().where(items.c.conversation == table.c.name)
    connection.execute(sa.delete(table).where(table.c.name.in_(names)).where(~used))
