"""Read items. No function here waits for a writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from symbl_aio import NotFoundError
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._store.watcher import Known
from symbl_aio.durable.items import ItemState, unknown_key

Row: TypeAlias = sa.Row[Any]

PAGE: Final = 500
"""Rows that one statement of ``read_page`` returns at most."""


def read_item(database: Database, key: str) -> Row:
    """Return an item's row. Raises ``NotFoundError``."""
    table = database.items
    with database.read() as connection:
        row = connection.execute(sa.select(table).where(table.c.key == key)).first()
    if row is None:
        raise NotFoundError(404, unknown_key(key))
    return row


def read_changed(database: Database, groups: Mapping[Known, Sequence[str]]) -> Sequence[Row]:
    """Return the rows of items, by keys, whose state is not among the known states of a group.

    One statement, without the items' contents.
    """
    table = database.items
    changed = [
        sa.and_(
            database.is_among(table.c.key, keys),
            *(table.c.state != state.value for state in known),
        )
        for known, keys in groups.items()
    ]
    # Contents may be long, and this runs several times a second.
    query = sa.select(*database.without_content).where(sa.or_(*changed))
    with database.read() as connection:
        return connection.execute(query).all()


def read_page(
    database: Database, state: ItemState | None, conversation: str | None, last: int
) -> list[Row]:
    """Return the next rows after the one with the id ``last``, at most ``PAGE``."""
    table, conversations = database.items, database.conversations
    # By id and not by offset: concurrent submissions come at the end.
    query = sa.select(table).where(table.c.id > last).order_by(table.c.id).limit(PAGE)
    query = query.where(database.in_queue(table))
    if state is not None:
        query = query.where(table.c.state == state.value)
    if conversation is not None:
        names = sa.select(conversations.c.name).where(database.is_named(conversation))
        query = query.where(table.c.conversation.in_(names))
    with database.read() as connection:
        return list(connection.execute(query))
