"""Keep what a webhook call has told of an item, for whoever works on it or will."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from dbos import DBOSClient

from symbl_aio.durable import engine
from symbl_aio.durable.items import ItemState
from symbl_aio.durable.tables import Database

_LONGEST_ID: Final = 200


def hear(database: Database, client: DBOSClient, nonce: str, job_id: str, *, ended: bool) -> None:
    """Take in a genuine call to the webhook URL of the item that has this nonce. Blocks.

    The end of a job wakes whoever follows it. That there is a job is kept, and wakes
    nobody but who is in doubt: of all others the answer to the submission tells it.
    """
    if not (_is_plain(nonce) and _is_plain(job_id)):
        return
    table = database.items
    of_it = (table.c.nonce == nonce, table.c.state == ItemState.QUEUED.value)
    known: tuple[sa.Column[Any], ...] = (
        table.c.key, table.c.attempt, table.c.in_doubt, table.c.slot_at
    )  # fmt: skip
    news = sa.update(table).where(*of_it).values(heard=job_id).returning(*known)
    row = database.change(news)
    if row is None and ended:
        accepted = (table.c.nonce == nonce, table.c.state == ItemState.ACCEPTED.value)
        with database.read() as connection:
            row = connection.execute(sa.select(*known).where(*accepted)).first()
    # Without a slot no workflow has it yet, and the one that will asks the server.
    if row is not None and row.slot_at is not None and (ended or row.in_doubt):
        engine.tell(client, engine.workflow_id(row.key, row.attempt), job_id, ended=ended)


def _is_plain(text: str) -> bool:
    """Say whether a text is of the kind that ids are, which every database can keep."""
    return text.isascii() and text.isprintable() and len(text) <= _LONGEST_ID
