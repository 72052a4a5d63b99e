"""Keep what a webhook call has told of an item, for whoever works on it or will."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.notifications import tell_of
from symbl_aio.durable.items import ItemState, Turn

_LONGEST_ID: Final = 200
_TOLD: Final = {
    False: (ItemState.QUEUED,),
    True: (ItemState.QUEUED, ItemState.ACCEPTED),
}
"""Whom a call concerns, by whether it tells of a job's end."""


def hear(database: Database, nonce: str, job_id: str, *, ended: bool) -> None:
    """Take in a genuine call to the webhook URL of the item that has this nonce. Blocks.

    The end of a job wakes whoever follows it. That there is a job is kept, and wakes
    nobody but who is in doubt: of all others the answer to the submission tells it.
    """
    if not (_is_plain(nonce) and _is_plain(job_id)):
        return
    table = database.items
    is_queued = table.c.state == ItemState.QUEUED.value
    takes_it = table.c.state.in_([state.value for state in _TOLD[ended]])
    is_news = sa.true() if ended else table.c.in_doubt
    with database.begin() as connection:
        row = connection.execute(
            sa.update(table)
            .where(table.c.nonce == nonce)
            .where(takes_it)
            .values(
                heard=sa.case((is_queued, job_id), else_=table.c.heard),
                told_at=sa.case((is_news, database.now), else_=table.c.told_at),
            )
            .returning(table.c.key, table.c.attempt, table.c.in_doubt, table.c.slot_at)
        ).first()
        # Without a slot nobody has it yet, and whoever will asks the server.
        if row is not None and row.slot_at is not None and (ended or row.in_doubt):
            tell_of(database, connection, Turn(row.key, row.attempt))


def _is_plain(text: str) -> bool:
    """Say whether a text is of the kind that ids are, which every database can keep."""
    return text.isascii() and text.isprintable() and len(text) <= _LONGEST_ID
