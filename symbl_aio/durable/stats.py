"""Statistics of an outbox: backlog, slots and workers; and their OpenMetrics text.

One statement, so that its numbers agree. All but the counts by state read a few rows by
partial indexes, however long the backlog is; the counts read one index of all items.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import sqlalchemy as sa
from attrs import frozen

from symbl_aio.durable._database.database import Database
from symbl_aio.durable.items import ItemState
from symbl_aio.models.base import Model

_MINUTE: Final = 60
_HOUR: Final = 3600


@frozen(kw_only=True)
class OutboxStats(Model):
    """Numbers of the items, slots and workers in a database."""

    counts: Mapping[ItemState, int]
    """Number of items by state; states without items are left out."""
    waiting: int = 0
    """Number of queued items that hold no slot yet."""
    oldest: float | None = None
    """Age in seconds of the oldest item that waits; ``None`` without one."""
    oldest_key: str | None = None
    """Key of the oldest item that waits; ``None`` without one."""
    in_doubt: int = 0
    """Number of items that were sent whole and are being reconciled."""
    ended_in_minute: int = 0
    """Number of items that reached a final state within the last 60 seconds."""
    ended_in_hour: int = 0
    """Number of items that reached a final state within the last 3,600 seconds."""
    workers: int = 0
    """Number of workers whose heartbeat is younger than the worker timeout."""
    dead: int = 0
    """Number of workers without a heartbeat for longer, or whose items are being taken over."""
    cap: int | None = None
    """Number of slots of the account, from the worker that started last; ``None`` before."""
    cap_used: int = 0
    """Number of slots that items hold."""
    paused: bool = False
    """Whether no new slots are given (``Outbox.pause``)."""

    @property
    def per_second(self) -> float:
        """Number of items that ended per second, on average over the last minute."""
        return self.ended_in_minute / _MINUTE


def openmetrics(stats: OutboxStats | None, *, ready: bool | None = None, **labels: str) -> str:
    """Return statistics as OpenMetrics text, which ends with ``# EOF``.

    ``stats=None`` stands for a database that does not answer: ``symbl_outbox_up`` is 0, and the
    other numbers are left out, as are unknown ones (``cap``). ``ready``: ``Worker.is_ready``
    of a worker. ``labels`` are added to each sample, and may hold any text. No sample holds a
    key, a name or other data of an item.
    """
    lines = [*_gauge("symbl_outbox_up", "1 while the database answers.", stats is not None, labels)]
    if ready is not None:
        help = "1 while the worker's heartbeat is younger than the worker timeout."
        lines += _gauge("symbl_worker_ready", help, ready, labels)
    if stats is not None:
        lines += _families(stats, labels)
    return "\n".join([*lines, "# EOF\n"])


def _families(stats: OutboxStats, labels: Mapping[str, str]) -> Iterable[str]:
    counts = [({**labels, "state": state.value}, stats.counts.get(state, 0)) for state in ItemState]
    yield from _family("symbl_outbox_items", "Items in the database, by state.", counts)
    for name, help, value in (
        ("waiting", "Queued items that hold no slot yet.", stats.waiting),
        ("oldest_waiting_seconds", "Age of the oldest of them.", stats.oldest or 0),
        ("in_doubt", "Items sent whole whose acceptance is looked for.", stats.in_doubt),
        ("slots", "Jobs that the account may have at once.", stats.cap),
        ("slots_used", "Slots that items hold.", stats.cap_used),
        ("paused", "1 while nothing new gets a slot.", stats.paused),
    ):
        if value is not None:
            yield from _gauge(f"symbl_outbox_{name}", help, value, labels)
    yield from _family(
        "symbl_outbox_ended",
        "Items that ended within the last seconds.",
        [
            ({**labels, "within": f"{_MINUTE}s"}, stats.ended_in_minute),
            ({**labels, "within": f"{_HOUR}s"}, stats.ended_in_hour),
        ],
    )
    yield from _family(
        "symbl_outbox_workers",
        "Workers by the age of their heartbeat.",
        [
            ({**labels, "condition": "alive"}, stats.workers),
            ({**labels, "condition": "dead"}, stats.dead),
        ],
    )


def _gauge(name: str, help: str, value: float, labels: Mapping[str, str]) -> Iterable[str]:
    return _family(name, help, [(labels, value)])


def _family(
    name: str, help: str, samples: Iterable[tuple[Mapping[str, str], float]]
) -> Iterable[str]:
    yield f"# TYPE {name} gauge"
    if name.endswith("_seconds"):
        yield f"# UNIT {name} seconds"
    yield f"# HELP {name} {help}"
    for labels, value in samples:
        given = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
        yield f"{name}{{{given}}} {+value}"  # True and False as 1 and 0


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def numbers(database: Database) -> sa.Select[*tuple[Any, ...]]:
    """Return the statement for all but the counts by state: few rows, by partial indexes."""
    table, workers, queue = database.items, database.workers, database.queue
    # As a subquery the clock is read once, and comparisons with it can use an index.
    now = sa.select(database.now).scalar_subquery()
    own, of_worker = database.in_queue(table), database.in_queue(workers)
    ended = database.in_queue_by_scan(table)
    slots = sa.select(sa.func.count()).select_from(table).where(database.holds_slot())
    in_doubt = slots.where(table.c.in_doubt, table.c.state == ItemState.QUEUED.value)
    oldest = (
        sa.select(table)
        .where(own, table.c.state == ItemState.QUEUED.value, table.c.slot_at.is_(None))
        .order_by(table.c.queued_at)
        .limit(1)
    )
    lives = database.is_alive()

    def of_queue(column: sa.Column[Any]) -> sa.ScalarSelect[Any]:
        return sa.select(column).where(queue.c.name == database.queue_name).scalar_subquery()

    return sa.select(
        slots.scalar_subquery().label("cap_used"),
        in_doubt.scalar_subquery().label("in_doubt"),
        slots.where(table.c.state == ItemState.QUEUED.value).scalar_subquery().label("begun"),
        oldest.with_only_columns(table.c.key).scalar_subquery().label("oldest_key"),
        (now - oldest.with_only_columns(table.c.queued_at).scalar_subquery()).label("oldest"),
        _count(table, ended, table.c.ended_at > now - _MINUTE).label("ended_in_minute"),
        _count(table, ended, table.c.ended_at > now - _HOUR).label("ended_in_hour"),
        _count(workers, of_worker, workers.c.beat != 0.0, lives).label("workers"),
        _count(workers, of_worker, workers.c.beat != 0.0, ~lives).label("dead"),
        of_queue(queue.c.cap).label("cap"),
        of_queue(queue.c.paused).label("paused"),
    )


def _count(table: sa.Table, *which: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    return sa.select(sa.func.count()).select_from(table).where(*which).scalar_subquery()


def read_stats(database: Database) -> OutboxStats:
    """Return the statistics of a database. Blocks."""
    table = database.items
    own = database.in_queue(table)
    by_state = [
        _count(table, own, table.c.state == one.value).label(one.value) for one in ItemState
    ]
    with database.read() as connection:
        found = dict(connection.execute(numbers(database).add_columns(*by_state)).one()._mapping)
    counts = {state: found.pop(state.value) for state in ItemState}
    # Queued items with a slot are being sent, and do not wait.
    begun = found.pop("begun")
    return OutboxStats(
        **{
            **found,
            "counts": {state: number for state, number in counts.items() if number},
            "waiting": counts[ItemState.QUEUED] - begun,
            "cap": found["cap"] or None,
            "paused": bool(found["paused"]),
        }
    )
