"""Keep what a webhook call has told of an item, for whoever works on it or will."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from dbos import DBOSClient

from symbl_aio.durable import engine
from symbl_aio.durable.items import ItemState
from symbl_aio.durable.tables import Database

Row: TypeAlias = sa.Row[Any]

_LONGEST_ID: Final = 200


def hear(database: Database, client: DBOSClient, nonce: str, job_id: str, *, ended: bool) -> None:
    """Take in a genuine call to the webhook URL of the item that has this nonce. Blocks.

    The end of a job wakes whoever follows it. That there is a job is kept, and wakes
    nobody but who is in doubt: of all others the answer to the submission tells it.
    """
    row = _find(database, nonce)
    if row is None or ItemState(row.state).is_ending:
        return
    is_waiting = row.state == ItemState.QUEUED.value
    in_doubt = is_waiting and not ended and _note(database, row, job_id)
    if ended or in_doubt:
        engine.tell(client, engine.workflow_id(row.key, row.attempt), job_id, ended=ended)


def _find(database: Database, nonce: str) -> Row | None:
    if not _is_plain(nonce):
        return None
    with database.read() as connection:
        found = sa.select(database.items).where(database.items.c.nonce == nonce)
        return connection.execute(found).first()


def _note(database: Database, row: Row, job_id: str) -> bool:
    """Keep the id of an item's job; say whether somebody waits for it."""
    if not _is_plain(job_id):
        return bool(row.in_doubt)
    table = database.items
    with database.begin() as connection:
        in_doubt: bool | None = connection.execute(
            sa.update(table)
            .where(table.c.key == row.key)
            .where(table.c.attempt == row.attempt)
            .where(table.c.state == ItemState.QUEUED.value)
            .values(heard=job_id)
            .returning(table.c.in_doubt)
        ).scalar()
        return bool(in_doubt)


def _is_plain(text: str) -> bool:
    """Say whether a text is of the kind that ids are, which every database can keep."""
    return text.isascii() and text.isprintable() and len(text) <= _LONGEST_ID
