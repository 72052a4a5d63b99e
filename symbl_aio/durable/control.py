"""What an operator does to a whole queue: pause it, and resume it. All of it blocks."""

from __future__ import annotations

import sqlalchemy as sa

from symbl_aio.durable.tables import QUEUE_NAME, Database


def set_paused(database: Database, paused: bool) -> None:
    """Record whether new slots are given (``dispatch``), for all workers of a database."""
    table = database.queue
    with database.begin() as connection:
        changed = connection.execute(
            sa.update(table).where(table.c.name == QUEUE_NAME).values(paused=paused)
        )
        if not changed.rowcount:  # no worker has recorded the account's limit yet
            connection.execute(sa.insert(table).values(name=QUEUE_NAME, cap=0, paused=paused))


def is_idle(database: Database) -> bool:
    """Return whether no item holds a slot."""
    table = database.items
    with database.read() as connection:
        held = sa.select(sa.exists().where(table.c.slot_at.is_not(None)))
        return not connection.execute(held).scalar_one()
