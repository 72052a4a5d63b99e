"""Begin anew what the engine broke off: no item is left behind that nobody works on.

No step of ours fails, but the engine's own may: a database that is read-only for a moment,
or somebody who cancels a workflow by hand. What was noted of the item stays true.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import sqlalchemy as sa

from symbl_aio.durable._database.database import Database
from symbl_aio.durable.items import Turn

_AT_ONCE: Final = 500


def queue_again(database: Database, turns: Collection[Turn]) -> int:
    """Queue again the items of turns that broke off; return their number. Blocks."""
    table = database.items
    broken = sorted((turn.key, turn.attempt) for turn in turns)
    queued = 0
    for at in range(0, len(broken), _AT_ONCE):
        here = broken[at : at + _AT_ONCE]
        waiting = (
            sa.select(table.c.key, table.c.attempt)
            .where(table.c.key.in_([key for key, _ in here]))
            .where(database.unfinished(table))
        )
        with database.read() as connection:
            found = {(row.key, row.attempt) for row in connection.execute(waiting)}
        if found.isdisjoint(here):
            continue
        with database.begin() as connection:
            # Its slot is given anew; what was sent gets it before all others.
            begun = connection.execute(
                sa.update(table)
                .where(sa.tuple_(table.c.key, table.c.attempt).in_(found.intersection(here)))
                .where(database.unfinished(table))
                .values(attempt=table.c.attempt + 1, deaths=table.c.deaths + 1, slot_at=None)
            )
            queued += begun.rowcount
    return queued
