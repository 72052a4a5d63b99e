"""What an operator does to a whole queue: pause it, resume it, put it into doubt.

All of it blocks.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from symbl_aio import ConfigurationError
from symbl_aio.durable._database.database import Database
from symbl_aio.durable.items import ItemState
from symbl_aio.durable.stats import is_alive


def set_cap(database: Database, cap: int) -> None:
    """Record the account's limit: that of the worker which started last counts."""
    _record(database, cap=cap)


def set_paused(database: Database, paused: bool) -> None:
    """Record whether new slots are given (``dispatch``), for all workers of a database."""
    _record(database, paused=paused)


def _record(database: Database, **values: int | bool) -> None:
    """Change the row of a queue, or insert it: without a limit, until a worker starts."""
    table = database.queue
    change = sa.update(table).where(table.c.name == database.queue_name).values(**values)
    with database.begin() as connection:
        if connection.execute(change).rowcount:
            return
        row = {"name": database.queue_name, "cap": 0, "paused": False, **values}
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(table).values(**row))
        except IntegrityError:  # another process was faster
            connection.execute(change)


def is_idle(database: Database) -> bool:
    """Return whether no item holds a slot."""
    table = database.items
    with database.read() as connection:
        of_queue = table.c.queue == database.queue_name
        held = sa.select(sa.exists().where(of_queue, table.c.slot_at.is_not(None)))
        return not connection.execute(held).scalar_one()


def doubt_unsent(database: Database) -> int:
    """Record of all that is unsent that it may have been sent since the backup was taken.

    Returns their number. The backup was taken no earlier than the last thing that it knows
    of. Raises ``ConfigurationError`` while a worker is alive, which may be sending.
    """
    table, workers = database.items, database.workers
    with database.begin() as connection:
        alive = sa.select(workers.c.id).where(workers.c.beat > 0.0, is_alive(database))
        if (worker := connection.execute(alive.limit(1)).scalar()) is not None:
            raise ConfigurationError(
                f"worker {worker} is alive, or was when the backup was taken; stop all workers, "
                "and try again once the worker timeout has passed"
            )
        times = (table.c.queued_at, table.c.sent_at, table.c.accepted_at, table.c.ended_at)
        known = [connection.execute(sa.select(sa.func.max(at))).scalar() for at in times]
        known.append(
            connection.execute(sa.select(sa.func.max(sa.func.abs(workers.c.beat)))).scalar()
        )
        taken_at = max((at for at in known if at is not None), default=0.0)
        doubted = connection.execute(
            sa.update(table)
            .where(table.c.state.in_([ItemState.QUEUED.value, ItemState.BLOCKED.value]))
            .where(table.c.sent_by.is_(None), table.c.job_id.is_(None))
            .values(maybe_sent_since=sa.func.coalesce(table.c.maybe_sent_since, taken_at))
        )
        return doubted.rowcount
