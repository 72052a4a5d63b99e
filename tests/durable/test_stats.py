"""Statistics, read by indexes, and exported as OpenMetrics."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from symbl_aio import Text
from symbl_aio.durable import ItemState, Outbox, OutboxStats, openmetrics
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._store.attempt_records import AttemptRecords
from symbl_aio.durable.items import Attempt
from symbl_aio.durable.stats import numbers
from tests.durable.conftest import KINDS, Working, dispatch
from tests.durable.openmetrics import parse


@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_slots_and_what_waits_are_counted(outbox: Outbox, tables: Database) -> None:
    for number in range(5):
        await outbox.submit(Text("One."), key=f"k{number}")
    with tables.begin() as connection:
        connection.execute(
            sa.update(tables.items).values(queued_at=tables.items.c.queued_at - 100.0)
        )
    dispatch(tables, cap=2)
    records = AttemptRecords(tables, "w")
    records.record_accepted(Attempt("k0", 1), "job", "conversation", opens=True)
    records.mark_in_doubt(Attempt("k1", 1))

    stats = await outbox.stats()

    assert stats.counts == {ItemState.QUEUED: 4, ItemState.ACCEPTED: 1}
    assert (stats.waiting, stats.cap, stats.cap_used, stats.in_doubt) == (3, 2, 2, 1)
    assert stats.oldest_key == "k2"
    assert stats.oldest is not None
    assert 100.0 <= stats.oldest < 160.0


@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_all_numbers_are_of_one_moment(outbox: Outbox, tables: Database) -> None:
    for number in range(3):
        await outbox.submit(Text("One."), key=f"k{number}")
    dispatch(tables, cap=3)
    left = [Attempt(f"k{number}", 1) for number in range(3)]

    def end_all(*given: object) -> None:
        while left:
            AttemptRecords(tables, "w").record_end(left.pop(), ItemState.COMPLETED, None)

    sa.event.listen(outbox._database.engine, "after_cursor_execute", end_all)
    stats = await outbox.stats()

    assert not left
    assert stats.counts == {ItemState.QUEUED: 3}
    assert (stats.waiting, stats.cap_used, stats.ended_in_minute) == (0, 3, 0)


@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_what_has_ended_lately_is_a_rate(outbox: Outbox, tables: Database) -> None:
    for key, age in (("now", 0.0), ("minutes", 600.0), ("hours", 7200.0)):
        await outbox.submit(Text("One."), key=key)
        AttemptRecords(tables, "w").record_end(Attempt(key, 1), ItemState.COMPLETED, None)
        with tables.begin() as connection:
            row = tables.items.c.key == key
            connection.execute(
                sa.update(tables.items).where(row).values(ended_at=tables.items.c.ended_at - age)
            )

    stats = await outbox.stats()

    assert (stats.ended_in_minute, stats.ended_in_hour) == (1, 2)
    assert stats.per_second == 1 / 60


@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_a_worker_is_alive_for_its_own_worker_timeout(
    outbox: Outbox, tables: Database
) -> None:
    beats = {
        "fresh": (tables.now, 15.0),
        "patient": (tables.now - 50.0, 60.0),
        "of an older release": (tables.now - 5.0, None),
        "silent": (tables.now - 50.0, 15.0),
        "of before the clock was set back": (tables.now + 3600.0, 15.0),
        "buried": (-tables.now, 15.0),
        "gone": (0.0, 15.0),
    }
    with tables.begin() as connection:
        for worker, (beat, ttl) in beats.items():
            connection.execute(
                sa.insert(tables.workers).values(id=worker, beat=beat, time_to_live=ttl)
            )

    stats = await outbox.stats()

    assert (stats.workers, stats.dead) == (3, 3)


async def test_a_worker_records_its_worker_timeout(
    outbox: Outbox, tables: Database, working: Working
) -> None:
    async with working(worker_timeout=60.0) as worker:
        with tables.read() as connection:
            row = connection.execute(sa.select(tables.workers)).one()
        stats = await worker.stats()
    assert (row.id, row.time_to_live) == (worker.id, 60.0)
    assert (stats.workers, stats.cap, stats.cap_used) == (1, 50, 0)


async def test_an_empty_outbox_has_no_cap_yet(outbox: Outbox) -> None:
    stats = await outbox.stats()
    assert stats == OutboxStats(counts={})
    assert (stats.cap, stats.oldest, stats.per_second) == (None, None, 0.0)


@pytest.mark.durable
async def test_what_is_asked_often_reads_few_rows(pg_database: str) -> None:
    """Beside the counts by state, nothing that is counted grows with the items."""
    async with Outbox(pg_database) as outbox:
        await outbox.submit(Text("One."), key="k")
        tables = outbox._database
        with tables.begin() as connection:
            columns = [c.name for c in tables.items.c if c.name not in ("id", "key", "nonce")]
            names = ", ".join(columns)
            given = ", ".join(
                {"conversation": "'c' || n", "ready": "true"}.get(c, c) for c in columns
            )
            connection.exec_driver_sql(
                f"insert into symbl_aio.symbl_item (key, nonce, {names}) "
                f"select 'k' || n, 'n' || n, {given} "
                "from symbl_aio.symbl_item, generate_series(1, 100000) n"
            )
            connection.exec_driver_sql(
                "update symbl_aio.symbl_item set state = 'completed', ready = null, "
                "ended_at = queued_at - 86400 where mod(id, 2) = 0"
            )
        with tables.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.exec_driver_sql("vacuum analyze symbl_aio.symbl_item")

            text = str(
                numbers(tables).compile(tables.engine, compile_kwargs={"literal_binds": True})
            )
            plan = connection.exec_driver_sql(
                "explain (analyze, format text) " + text.replace("%%", "%")
            ).scalars()
            lines = list(plan)
    assert not [line for line in lines if "Seq Scan on symbl_item" in line], "\n".join(lines)
    read = [int(n) for line in lines for n in re.findall(r"on symbl_item.*rows=(\d+) loops", line)]
    assert sum(read) < 10, "\n".join(lines)


# OpenMetrics


def test_all_of_it_is_told_as_open_metrics() -> None:
    stats = OutboxStats(
        counts={ItemState.QUEUED: 4, ItemState.AMBIGUOUS: 1},
        waiting=3,
        oldest=12.5,
        oldest_key="monday",
        in_doubt=1,
        ended_in_minute=6,
        ended_in_hour=90,
        workers=2,
        dead=1,
        cap=10,
        cap_used=2,
        paused=True,
    )

    found = parse(openmetrics(stats, schema="symbl_aio"))

    of = {"schema": "symbl_aio"}
    assert {family.kind for family in found.values()} == {"gauge"}
    items = found["symbl_outbox_items"].samples
    assert items[frozenset({**of, "state": "queued"}.items())] == 4
    assert len(items) == len(ItemState)  # a state without items is 0, and not missing
    assert sum(items.values()) == 5
    one = {name: family.samples.get(frozenset(of.items())) for name, family in found.items()}
    assert one["symbl_outbox_waiting"] == 3
    assert one["symbl_outbox_oldest_waiting_seconds"] == 12.5
    assert one["symbl_outbox_in_doubt"] == 1
    assert one["symbl_outbox_slots"] == 10
    assert one["symbl_outbox_slots_used"] == 2
    assert one["symbl_outbox_paused"] == 1
    ended = found["symbl_outbox_ended"].samples
    assert ended[frozenset({**of, "within": "60s"}.items())] == 6
    assert ended[frozenset({**of, "within": "3600s"}.items())] == 90
    workers = found["symbl_outbox_workers"].samples
    assert workers[frozenset({**of, "condition": "alive"}.items())] == 2
    assert workers[frozenset({**of, "condition": "dead"}.items())] == 1


def test_what_is_not_known_is_left_out_and_labels_are_escaped() -> None:
    label = 'a "b"\\c\nd'

    found = parse(openmetrics(OutboxStats(counts={}), account=label))

    assert "symbl_outbox_slots" not in found
    (labels,) = found["symbl_outbox_waiting"].samples
    assert dict(labels) == {"account": label}
    assert found["symbl_outbox_oldest_waiting_seconds"].samples == {labels: 0}
