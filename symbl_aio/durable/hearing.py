"""Keep what a webhook call has told of an item, for whoever works on it or will."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from dbos import DBOSClient

from symbl_aio.durable import engine
from symbl_aio.durable.items import ItemState
from symbl_aio.durable.tables import Database

_LONGEST_ID: Final = 200
_GOING_ON: Final = (ItemState.QUEUED.value, ItemState.ACCEPTED.value)


def hear(database: Database, client: DBOSClient, nonce: str, job_id: str, *, ended: bool) -> None:
    """Take in a genuine call to the webhook URL of the item that has this nonce. Blocks.

    The end of a job wakes whoever follows it. That there is a job is kept, and wakes
    nobody but who is in doubt: of all others the answer to the submission tells it.
    """
    if not (_is_plain(nonce) and _is_plain(job_id)):
        return
    workflow_id = (_followed if ended else _doubted)(database, nonce, job_id)
    if workflow_id is not None:
        engine.tell(client, workflow_id, job_id, ended=ended)


def _followed(database: Database, nonce: str, _job_id: str) -> str | None:
    """Give the workflow of an item that has not ended."""
    table = database.items
    going_on = sa.select(table.c.key, table.c.attempt).where(
        table.c.nonce == nonce, table.c.state.in_(_GOING_ON)
    )
    with database.read() as connection:
        row = connection.execute(going_on).first()
    return None if row is None else engine.workflow_id(row.key, row.attempt)


def _doubted(database: Database, nonce: str, job_id: str) -> str | None:
    """Keep the id of an item's job while that is news; give its workflow if that is in doubt."""
    table = database.items
    row = database.change(
        sa.update(table)
        .where(table.c.nonce == nonce, table.c.state == ItemState.QUEUED.value)
        .values(heard=job_id)
        .returning(table.c.key, table.c.attempt, table.c.in_doubt)
    )
    return engine.workflow_id(row.key, row.attempt) if row is not None and row.in_doubt else None


def _is_plain(text: str) -> bool:
    """Say whether a text is of the kind that ids are, which every database can keep."""
    return text.isascii() and text.isprintable() and len(text) <= _LONGEST_ID
