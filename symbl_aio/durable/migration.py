"""Make the tables, by a user who may, for others who may only use them."""

from __future__ import annotations

from functools import partial

from symbl_aio import ConfigurationError
from symbl_aio._fields import require_word
from symbl_aio._threads import in_a_thread
from symbl_aio.durable._database import dbos as engine
from symbl_aio.durable._database.database import SCHEMA, Database


async def migrate(database: str, *, schema: str = SCHEMA, role: str | None = None) -> None:
    """Make the tables of an outbox, or bring them up to date. Any number may do so at once.

    ``Outbox`` and ``Worker`` do it by themselves when they start; if their user may not,
    do it before, as one who may. ``role`` (PostgreSQL) may use all of the tables then, those
    of later releases too. Cancelling stops the wait, not the work. Raises
    ``OutboxUnavailableError`` when the database cannot be used.
    """
    if role is not None:
        require_word("role", role)
    found = Database(database, schema, connections=1)
    try:
        if found.is_sqlite and role is not None:
            raise ConfigurationError("role is for PostgreSQL; a file has its own permissions")
        with found.telling():
            await found.call(partial(engine.migrate, found, role))
    finally:
        await in_a_thread(found.close)
