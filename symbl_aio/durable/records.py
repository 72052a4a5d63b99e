"""What is written down about an item while a worker has it. All of it blocks.

Each change is for one attempt of an item, and is made only while that goes on: a worker
that was paused, and wakes when others have brought the item further, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from symbl_aio.durable.items import ItemState, Turn
from symbl_aio.durable.slots import FREE, advance, hold, why_blocked
from symbl_aio.durable.tables import Database

Row: TypeAlias = sa.Row[Any]

SUPERSEDED: Final = "superseded"
"""The item was queued again, taken back or forgotten: this attempt has nothing to do."""

RESTORED: Final = "a worker of before the restored backup"

_GOING_ON: Final = (ItemState.QUEUED.value, ItemState.ACCEPTED.value)


class Records:
    """The tables, as the duty of one worker uses them."""

    def __init__(self, database: Database, worker: str) -> None:
        self._database = database
        self._worker = worker

    def read(self, turn: Turn) -> Row | None:
        """Give an item, with its conversation's ``target`` (id) and ``halted_by``.

        ``waited``: seconds since it was sent, ``age``: since it was accepted. ``None`` if this
        attempt is superseded.
        """
        table, conversations = self._database.items, self._database.conversations
        with self._database.read() as connection:
            return connection.execute(
                sa.select(
                    table,
                    (self._database.now - table.c.sent_at).label("waited"),
                    (self._database.now - table.c.accepted_at).label("age"),
                    conversations.c.conversation_id.label("target"),
                    conversations.c.halted_by,
                )
                .join(conversations, conversations.c.name == table.c.conversation)
                .where(table.c.key == turn.key)
                .where(table.c.attempt == turn.attempt)
            ).first()

    def note(self, turn: Turn, token: str, is_wanted: Callable[[], bool]) -> bool:
        """Note that ``token`` is about to send an item whole; false if it must not.

        A token is one try of one worker. ``is_wanted`` is asked last: who gave up meanwhile
        leaves no note behind.
        """
        table, workers = self._database.items, self._database.workers
        with suppress(_UnwantedError), self._database.begin() as connection:
            # Held to the end of the transaction: nobody declares this worker dead meanwhile.
            alive = connection.execute(
                sa.select(workers.c.id)
                .where(workers.c.id == self._worker)
                .where(workers.c.beat > 0.0)
                .with_for_update(read=True, key_share=True)
            ).first()
            if alive is None:
                return False
            noted = connection.execute(
                sa.update(table)
                .where(self._is(turn))
                .where(table.c.state == ItemState.QUEUED.value)
                .where(table.c.job_id.is_(None))
                .where(sa.or_(table.c.sent_by.is_(None), table.c.sent_by == token))
                .values(sent_by=token, sent_at=self._database.now)
            )
            if noted.rowcount == 1 and not is_wanted():
                raise _UnwantedError
            return noted.rowcount == 1
        return False

    def doubt_restored(self, turn: Turn) -> None:
        """Record that an item may have been sent by a worker of before a restored backup."""
        table = self._database.items
        with self._database.begin() as connection:
            connection.execute(
                sa.update(table)
                .where(self._is(turn))
                .where(table.c.state == ItemState.QUEUED.value)
                .where(table.c.sent_by.is_(None), table.c.job_id.is_(None))
                .values(sent_by=RESTORED, sent_at=self._database.now)
            )

    def doubt(self, turn: Turn) -> str | None:
        """Note that whatever is heard of an item is news from now on; give what was heard."""
        table = self._database.items
        with self._database.begin() as connection:
            heard: str | None = connection.execute(
                sa.update(table)
                .where(self._is(turn))
                .values(in_doubt=True)
                .returning(table.c.heard)
            ).scalar()
            return heard

    def take_back(self, turn: Turn, token: str | None = None) -> None:
        """Take a note back: of one who knows that nothing was accepted, or anybody's."""
        table = self._database.items
        change = (
            sa.update(table)
            .where(self._is(turn))
            .values(sent_by=None, sent_at=None, in_doubt=False, heard=None, maybe_sent_since=None)
        )
        change = change.where(table.c.state == ItemState.QUEUED.value)
        change = change.where(table.c.job_id.is_(None))
        if token is not None:
            change = change.where(table.c.sent_by == token)
        with self._database.begin() as connection:
            connection.execute(change)

    def accept(self, turn: Turn, job_id: str | None, conversation_id: str | None) -> str:
        """Write down that an item was accepted; give the state that it has then."""
        table, conversations = self._database.items, self._database.conversations
        with self._database.begin() as connection:
            accepted = connection.execute(
                sa.update(table)
                .where(self._is(turn))
                .where(table.c.state.in_(_GOING_ON))
                .where(sa.or_(table.c.job_id.is_(None), table.c.job_id == job_id))
                .values(
                    state=ItemState.ACCEPTED.value,
                    job_id=job_id,
                    conversation_id=conversation_id,
                    accepted_at=sa.func.coalesce(table.c.accepted_at, self._database.now),
                )
                .returning(table.c.opens, table.c.conversation)
            ).first()
            if accepted is None:
                return self._too_late(connection, turn, job_id, conversation_id)
            if accepted.opens:
                connection.execute(
                    sa.update(conversations)
                    .where(conversations.c.name == accepted.conversation)
                    .values(conversation_id=conversation_id)
                )
            return ItemState.ACCEPTED.value

    def _too_late(
        self, connection: sa.Connection, turn: Turn, job_id: str | None, conversation_id: str | None
    ) -> str:
        """Tell the person who is to decide, if the answer came after it was given up."""
        table = self._database.items
        why = f"it was accepted: conversation {conversation_id}, job {job_id}; resolve it"
        connection.execute(
            sa.update(table)
            .where(self._is(turn))
            .where(table.c.state == ItemState.AMBIGUOUS.value)
            .values(error=why)
        )
        return self._state(connection, turn)

    def end(self, turn: Turn, state: ItemState, why: str | None) -> str:
        """End an item; give the state that it has then."""
        table, conversations = self._database.items, self._database.conversations
        with self._database.begin() as connection:
            conversation = hold(self._database, connection, turn.key)
            ended = connection.execute(
                sa.update(table)
                .where(self._is(turn))
                .where(table.c.state.in_(_GOING_ON))
                .values(state=state.value, error=why, ended_at=self._database.now, **FREE)
            )
            if conversation is None or ended.rowcount == 0:
                return self._state(connection, turn)
            name, halted_by = conversation.name, conversation.halted_by
            if state is ItemState.AMBIGUOUS:
                halted_by = turn.key
                connection.execute(
                    sa.update(conversations)
                    .where(conversations.c.name == name)
                    .values(halted_by=halted_by)
                )
            advance(self._database, connection, name, conversation.conversation_id, halted_by)
            return state.value

    def block(self, turn: Turn) -> str | None:
        """End an item as blocked, unless a person undoes at this moment what blocks it."""
        table = self._database.items
        with self._database.begin() as connection:
            conversation = hold(self._database, connection, turn.key)
            row = connection.execute(sa.select(table).where(self._is(turn))).first()
            if conversation is None or row is None:
                return SUPERSEDED
            why = why_blocked(row.opens, conversation.conversation_id, conversation.halted_by)
            if why is None:
                return None
            connection.execute(
                sa.update(table)
                .where(self._is(turn))
                .values(
                    state=ItemState.BLOCKED.value, error=why, ended_at=self._database.now, **FREE
                )
            )
            advance(
                self._database,
                connection,
                conversation.name,
                conversation.conversation_id,
                conversation.halted_by,
            )
            return ItemState.BLOCKED.value

    # For evidence

    def owner(self, *, job_id: str) -> str | None:
        """Give the key of the item whose job it is."""
        table = self._database.items
        with self._database.read() as connection:
            found: str | None = connection.execute(
                sa.select(table.c.key).where(table.c.job_id == job_id).limit(1)
            ).scalar()
            return found

    def is_claimed(self, conversation_id: str) -> bool:
        """Say whether a conversation is known here already."""
        table = self._database.conversations
        with self._database.read() as connection:
            claimed = sa.select(table.c.name).where(table.c.conversation_id == conversation_id)
            return connection.execute(claimed.limit(1)).first() is not None

    def written(self, row: Row) -> list[Row] | None:
        """Give all that was, or may have been, sent to an item's conversation, and itself.

        ``None`` if some of it is not known any more, or was never known here.
        """
        table, conversations = self._database.items, self._database.conversations
        with self._database.read() as connection:
            last = connection.execute(
                sa.select(conversations.c.last).where(conversations.c.name == row.conversation)
            ).scalar()
            known = connection.execute(
                sa.select(table)
                .where(table.c.conversation == row.conversation)
                .order_by(table.c.number)
            ).all()
        if last != len(known) or not known[0].opens:
            return None
        return [
            other
            for other in known
            if other.key == row.key
            or other.sent_by is not None
            or other.job_id is not None
            or other.maybe_sent_since is not None
            or other.attempt > 1  # a note of an earlier attempt is gone
        ]

    # Common to all

    def _is(self, turn: Turn) -> sa.ColumnElement[bool]:
        table = self._database.items
        return sa.and_(table.c.key == turn.key, table.c.attempt == turn.attempt)

    def _state(self, connection: sa.Connection, turn: Turn) -> str:
        state: str | None = connection.execute(
            sa.select(self._database.items.c.state).where(self._is(turn))
        ).scalar()
        return SUPERSEDED if state is None else state


class _UnwantedError(Exception):
    """Roll back: whoever asked has given up."""
