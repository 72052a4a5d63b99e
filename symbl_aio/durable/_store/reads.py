"""Find items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from symbl_aio import NotFoundError
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._store.watcher import Known
from symbl_aio.durable.items import ItemState
from symbl_aio.durable.naming import no_item

Row: TypeAlias = sa.Row[Any]

PAGE: Final = 500
"""Items that are read at once."""


class Looking:
    """What is read of a database. All of it blocks, and waits for nobody who writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def row(self, key: str) -> Row:
        """Return an item's row. Raises ``NotFoundError``."""
        table = self._database.items
        with self._database.read() as connection:
            row = connection.execute(sa.select(table).where(table.c.key == key)).first()
        if row is None:
            raise NotFoundError(404, no_item(key))
        return row

    def news(self, groups: Mapping[Known, Sequence[str]]) -> Sequence[Row]:
        """Return the rows of items, by keys, whose state is not among the known ones of a group.

        One statement, without the items' contents.
        """
        table = self._database.items
        news = [
            sa.and_(
                self._database.is_among(table.c.key, keys),
                *(table.c.state != state.value for state in known),
            )
            for known, keys in groups.items()
        ]
        query = sa.select(*self._database.without_content).where(sa.or_(*news))
        with self._database.read() as connection:
            return connection.execute(query).all()

    def page(self, state: ItemState | None, conversation: str | None, last: int) -> list[Row]:
        """Give the next rows behind that of id ``last``."""
        table, conversations = self._database.items, self._database.conversations
        query = sa.select(table).where(table.c.id > last).order_by(table.c.id).limit(PAGE)
        query = query.where(table.c.queue == self._database.queue_name)
        if state is not None:
            query = query.where(table.c.state == state.value)
        if conversation is not None:
            names = sa.select(conversations.c.name).where(self._database.is_named(conversation))
            query = query.where(table.c.conversation.in_(names))
        with self._database.read() as connection:
            return list(connection.execute(query))
