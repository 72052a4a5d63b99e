"""Begin anew what the engine broke off: no item is left behind that nobody works on.

No step of ours fails, but the engine's own may: a database that is read-only for a moment,
or somebody who cancels a workflow by hand. What was noted of the item stays true.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import sqlalchemy as sa

from symbl_aio.durable import engine
from symbl_aio.durable.items import ItemState
from symbl_aio.durable.tables import Database

_AT_ONCE: Final = 500


def queue_again(database: Database, workflow_ids: Collection[str]) -> int:
    """Queue again the items of workflows that broke off; give their number. Blocks."""
    table = database.items
    broken = sorted(engine.attempt_of(one) for one in workflow_ids)
    queued = 0
    for at in range(0, len(broken), _AT_ONCE):
        here = broken[at : at + _AT_ONCE]
        waiting = (
            sa.select(table)
            .where(table.c.key.in_([key for key, _ in here]))
            .where(table.c.state.in_([ItemState.QUEUED.value, ItemState.ACCEPTED.value]))
        )
        with database.read() as connection:
            found = {(row.key, row.attempt) for row in connection.execute(waiting)}
        if found.isdisjoint(here):
            continue
        client = engine.connect(database)
        try:
            with database.begin() as connection:
                for row in connection.execute(waiting.with_for_update()).all():
                    if (row.key, row.attempt) not in here:
                        continue
                    connection.execute(
                        sa.update(table)
                        .where(table.c.key == row.key)
                        .values(attempt=row.attempt + 1, deaths=row.deaths + 1)
                    )
                    engine.enqueue(
                        client,
                        connection,
                        row.key,
                        attempt=row.attempt + 1,
                        conversation=row.conversation,
                        number=row.number,
                    )
                    queued += 1
        finally:
            client.destroy()
    return queued
