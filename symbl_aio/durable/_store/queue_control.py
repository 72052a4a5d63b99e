"""Statements over a whole queue: limit and pause, restored backups, requeues and retention.

Every function here blocks.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from symbl_aio import ConfigurationError
from symbl_aio.durable._database import dbos
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.notifications import notify_ready
from symbl_aio.durable._store.heads import lock_conversations
from symbl_aio.durable.items import Attempt, ItemState

_BATCH: Final = 500
"""Items that one statement changes at most."""
_UNDECIDED: Final = [ItemState.AMBIGUOUS.value, ItemState.BLOCKED.value]
_DELETABLE: Final = [
    state.value for state in ItemState if state.is_ending and state.value not in _UNDECIDED
]

# Limit and pause


def set_cap(database: Database, cap: int) -> None:
    """Record the account's limit; the worker that started last decides it."""
    _update_queue(database, cap=cap)


def set_paused(database: Database, paused: bool) -> None:
    """Record whether the workers of a queue give no new slots (``dispatch``)."""
    _update_queue(database, paused=paused)


def _update_queue(database: Database, **values: int | bool) -> None:
    """Update the row of a queue, or insert it: with no slots until a worker starts."""
    table = database.queue
    change = sa.update(table).where(table.c.name == database.queue_name).values(**values)
    with database.begin() as connection:
        notify_ready(database, connection)  # waiting items may get slots now
        if connection.execute(change).rowcount:
            return
        row = {"name": database.queue_name, "cap": 0, "paused": False, **values}
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(table).values(**row))
        except IntegrityError:  # another process inserted it at the same moment
            connection.execute(change)


def is_idle(database: Database) -> bool:
    """Return whether no item holds a slot."""
    with database.read() as connection:
        held = sa.select(sa.exists().where(database.holds_slot()))
        return not connection.execute(held).scalar_one()


# Restored backups, failed workflows


def doubt_unsent(database: Database) -> int:
    """Mark all unsent items as perhaps sent since the backup was taken; return their number.

    Raises ``ConfigurationError`` while a worker is alive, which may be sending.
    """
    table, workers = database.items, database.workers
    with database.begin() as connection:
        alive = sa.select(workers.c.id).where(workers.c.beat > 0.0, database.is_alive())
        if (worker := connection.execute(alive.limit(1)).scalar()) is not None:
            raise ConfigurationError(
                f"worker {worker} is alive, or was when the backup was taken; stop all workers, "
                "and try again once the worker timeout has passed"
            )
        # The backup was taken no earlier than the latest time in it.
        times = (table.c.queued_at, table.c.sent_at, table.c.accepted_at, table.c.ended_at)
        known = [connection.execute(sa.select(sa.func.max(at))).scalar() for at in times]
        known.append(
            connection.execute(sa.select(sa.func.max(sa.func.abs(workers.c.beat)))).scalar()
        )
        taken_at = max((at for at in known if at is not None), default=0.0)
        marked = connection.execute(
            sa.update(table)
            .where(table.c.state.in_([ItemState.QUEUED.value, ItemState.BLOCKED.value]))
            .where(~database.is_under_way(table))
            .values(maybe_sent_since=sa.func.coalesce(table.c.maybe_sent_since, taken_at))
        )
        return marked.rowcount


def requeue_failed(database: Database, attempts: Collection[Attempt]) -> int:
    """Queue again the items of attempts whose workflow failed; return their number.

    No step of ours raises, but DBOS itself may fail a workflow: a database that is read-only
    for a moment, or a workflow that was cancelled by hand. The item's records stay true.
    """
    table = database.items
    failed = sorted((attempt.key, attempt.number) for attempt in attempts)
    requeued = 0
    for first in range(0, len(failed), _BATCH):
        batch = failed[first : first + _BATCH]
        unfinished = (
            sa.select(table.c.key, table.c.attempt)
            .where(table.c.key.in_([key for key, _ in batch]))
            .where(database.unfinished(table))
        )
        with database.read() as connection:
            found = {(row.key, row.attempt) for row in connection.execute(unfinished)}
        if found.isdisjoint(batch):
            continue
        with database.begin() as connection:
            # Without its slot: it gets a new one, and before all others if it was sent.
            changed = connection.execute(
                sa.update(table)
                .where(sa.tuple_(table.c.key, table.c.attempt).in_(found.intersection(batch)))
                .where(database.unfinished(table))
                .values(attempt=table.c.attempt + 1, deaths=table.c.deaths + 1, slot_at=None)
            )
            requeued += changed.rowcount
    return requeued


# Retention


def delete_expired(database: Database, retention: float) -> bool:
    """Delete some items that ended more than ``retention`` seconds ago; return if more may exist.

    Their workflows are deleted too, and a conversation with its last item: its key may then
    be used anew. Items stay while an item of their conversation waits for a decision; so does
    an item that should have opened a conversation in which others wait.
    """
    table, others = database.items, database.items.alias()
    # All items of a conversation are of one queue, by which the index of the states is found.
    of_others = sa.select(others.c.conversation).where(others.c.queue == database.queue_name)
    # The waiting items may need that it is sent again.
    missed = sa.and_(
        table.c.opens,
        table.c.state.in_([ItemState.REFUSED.value, ItemState.DISCARDED.value]),
        table.c.conversation.in_(of_others.where(others.c.state == ItemState.QUEUED.value)),
    )
    expired = sa.and_(
        database.in_queue_by_scan(table),
        table.c.state.in_(_DELETABLE),
        table.c.ended_at < database.now - retention,
        table.c.conversation.not_in(of_others.where(others.c.state.in_(_UNDECIDED))),
        ~missed,
    )
    with database.read() as connection:
        found = connection.execute(
            sa.select(table.c.key, table.c.attempt, table.c.conversation)
            .where(expired)
            .limit(_BATCH)
        ).all()
    if not found:
        return False
    dbos.purge(
        database,
        [Attempt(row.key, number) for row in found for number in range(1, row.attempt + 1)],
    )
    names, conversations = {row.conversation for row in found}, database.conversations
    used = sa.exists().where(table.c.conversation == conversations.c.name)
    with database.begin() as connection:
        # Locked first: other changes of them are visible now, or wait for this transaction.
        lock_conversations(database, connection, names)
        # The condition again: some may have been queued again meanwhile.
        connection.execute(
            sa.delete(table).where(table.c.key.in_([row.key for row in found])).where(expired)
        )
        connection.execute(
            sa.delete(conversations).where(conversations.c.name.in_(names)).where(~used)
        )
    return len(found) == _BATCH
