"""Schema versions of the outbox's tables, and the migrations between them.

A database carries its version in ``symbl_schema``; one without that row, but with items, was
written by the first release and has version 1. Each migration brings a database from one
version to the next, and all missing ones run in one transaction. A released migration never
changes: it names columns in plain SQL, not by ``Tables``, which evolve.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import sqlalchemy as sa

from symbl_aio import ConfigurationError, OutboxUnavailableError
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.tables import Tables

_LOCK: Final = 0x53796D62
"""Number of the advisory lock of PostgreSQL: one process changes the tables at a time."""


def migrate(database: Database) -> None:
    """Create the tables, or migrate them to ``VERSION``. Safe in many processes at once.

    Raises ``ConfigurationError`` for a database of a later version than this release knows, or
    one that has lost a table. Either is left untouched.
    """
    if check(database) == VERSION:
        return  # without a lock, or the privilege to change anything
    with database.begin() as connection:
        if not database.is_sqlite:
            connection.execute(sa.text("select pg_advisory_xact_lock(:n)"), {"n": _LOCK})
            if database.schema not in sa.inspect(connection).get_schema_names():
                connection.execute(sa.schema.CreateSchema(database.schema))  # needs the privilege
        found = _version(database, connection)
        if found is None:
            database.meta.create_all(connection)
            connection.execute(sa.insert(database.versions).values(version=VERSION))
        else:
            _check_known(database, found)
            for step in _MIGRATIONS[found - 1 :]:
                step(database, connection)
            connection.execute(sa.update(database.versions).values(version=VERSION))


def check(database: Database) -> int | None:
    """Return the version of a database's tables, ``None`` without tables. Changes nothing.

    Raises ``ConfigurationError`` for a later version than this release knows, and for a database
    that has lost a table.
    """
    if database.file is not None and not database.file.exists():
        return None
    with database.read() as connection:
        found = _version(database, connection)
    if found is not None:
        _check_known(database, found)
    return found


def explain(
    database: Database, error: BaseException
) -> ConfigurationError | OutboxUnavailableError:
    """Return the error to raise for a database that raised ``error``. Blocks.

    It names the schema version, if that is the reason.
    """
    try:
        with database.translate_errors():
            check(database)
            raise error
    except (ConfigurationError, OutboxUnavailableError) as found:
        return found


def _check_known(database: Database, found: int) -> None:
    if found > VERSION:
        raise ConfigurationError(
            f"database {database.name!r} has schema version {found}, and this release of "
            f"symbl-aio knows versions up to {VERSION}; upgrade symbl-aio here"
        )


def _version(database: Database, connection: sa.Connection) -> int | None:
    names = {table.name for table in database.meta.tables.values()}
    present = names & set(sa.inspect(connection).get_table_names(database.items.schema))
    if database.versions.name in present:
        found: int | None = connection.execute(sa.select(database.versions.c.version)).scalar()
        if found is None:
            raise _incomplete(database, "the row of symbl_schema")
        if found == VERSION and present < names:
            raise _incomplete(database, ", ".join(sorted(names - present)))
        return found
    if not present:
        return None
    # The first release had neither of these two tables.
    if database.items.name in present and database.queue.name not in present:
        return 1
    raise _incomplete(database, ", ".join(sorted(names - present)))


def _incomplete(database: Database, lost: str) -> ConfigurationError:
    return ConfigurationError(
        f"database {database.name!r} has lost {lost}, and with it what was to be sent; "
        "restore all tables of a backup"
    )


def _add_slots(database: Database, connection: sa.Connection) -> None:
    """Version 2: slots in our own table, a backlog outside DBOS, queues, pauses, webhooks."""
    prefix = "" if database.is_sqlite else f"{database.schema}."
    ready = "ready = 1" if database.is_sqlite else "ready"
    false = "0" if database.is_sqlite else "false"
    double = "double" if database.is_sqlite else "double precision"
    unfinished = "state in ('queued', 'accepted')"
    items = f"{prefix}symbl_item"
    of_queue = "queue text not null default 'symbl'"
    for statement in (
        f"alter table {items} add column priority integer not null default 0",
        f"alter table {items} add column ready boolean",
        f"alter table {items} add column slot_at {double}",
        f"alter table {items} add column told_at {double}",
        f"alter table {items} add column maybe_sent_since {double}",
        f"alter table {items} add column traceparent text",
        f"alter table {items} add column source text",
        f"alter table {items} add column {of_queue}",
        f"alter table {prefix}symbl_conversation add column {of_queue}",
        f"alter table {prefix}symbl_worker add column {of_queue}",
        f"alter table {prefix}symbl_worker add column time_to_live {double}",
        f"create table {prefix}symbl_queue (name text not null primary key, "
        f"cap integer not null, paused boolean not null default {false})",
        f"create table {prefix}symbl_schema (version integer not null primary key)",
        f"insert into {prefix}symbl_schema values (2)",
        f"drop index {prefix}symbl_item_state",
        f"create index symbl_item_state on {items} (queue, state, queued_at)",
        f"create index symbl_item_open on {items} (conversation, number) where {unfinished}",
        f"create unique index symbl_item_head on {items} (conversation) where {ready}",
        f"create index symbl_item_waiting on {items} (queue, priority desc, id) "
        f"where {ready} and slot_at is null",
        f"create index symbl_item_under_way on {items} (id) "
        f"where {ready} and slot_at is null and (job_id is not null or sent_by is not null)",
        f"create index symbl_item_slot on {items} (slot_at) where slot_at is not null",
        f"create index symbl_item_unmarked on {items} (ready, state) "
        f"where ready is null and {unfinished}",
        f"create index symbl_item_ended on {items} (ended_at) where ended_at is not null",
    ):
        connection.exec_driver_sql(statement)
    mark_heads(database, connection)


def _add_draining(database: Database, connection: sa.Connection) -> None:
    """Version 3: workers that start nothing new any more."""
    prefix, false = ("", "0") if database.is_sqlite else (f"{database.schema}.", "false")
    connection.exec_driver_sql(
        f"alter table {prefix}symbl_worker add column draining boolean not null default {false}"
    )


def mark_heads(tables: Tables, connection: sa.Connection) -> int:
    """Mark the items that an older release submitted, and return their number.

    Items that were sent or accepted are the heads of their conversations.
    """
    table, items, unmarked = tables.items, tables.items.alias(), tables.items.alias()
    is_unmarked = sa.and_(unmarked.c.ready.is_(None), tables.unfinished(unmarked))
    place = sa.func.row_number().over(
        partition_by=items.c.conversation,
        order_by=(
            sa.case((items.c.ready, 0), else_=1),
            sa.case((tables.is_under_way(items), 0), else_=1),
            items.c.number,
        ),
    )
    ranked = (
        sa.select(items.c.id, place.label("place"))
        .where(tables.unfinished(items))
        .where(items.c.conversation.in_(sa.select(unmarked.c.conversation).where(is_unmarked)))
        .subquery()
    )
    heads = sa.select(ranked.c.id).where(ranked.c.place == 1)
    # That release queued them in DBOS, in a queue of its own: a new attempt leaves that behind.
    marked = connection.execute(
        sa.update(table)
        .where(table.c.id.in_(sa.select(unmarked.c.id).where(is_unmarked)))
        .where(table.c.ready.is_(None), tables.unfinished(table))
        .values(ready=table.c.id.in_(heads), attempt=table.c.attempt + 1)
    )
    return marked.rowcount


_MIGRATIONS: Final[tuple[Callable[[Database, sa.Connection], None], ...]] = (
    _add_slots,
    _add_draining,
)
"""The first migrates from version 1 to 2, and so on."""

VERSION: Final = len(_MIGRATIONS) + 1
