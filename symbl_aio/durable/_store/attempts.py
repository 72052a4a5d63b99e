"""What is written down about an item while a worker has it. All of it blocks.

Each change is for one attempt of an item, and is made only while that goes on: a worker
that was paused, and wakes when others have brought the item further, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from attrs import define
from sqlalchemy.sql.dml import ReturningUpdate

from symbl_aio.durable._database.database import Database
from symbl_aio.durable._store.heads import FREE, Heads, why_blocked
from symbl_aio.durable.items import ItemState, Turn

Row: TypeAlias = sa.Row[Any]

SUPERSEDED: Final = "superseded"
"""The item was queued again, taken back or forgotten: this attempt has nothing to do."""

RESTORED: Final = "a worker of before the restored backup"


def of(turn: Turn) -> dict[str, Any]:
    """Return the parameters of a statement about a turn."""
    return {"of_key": turn.key, "of_attempt": turn.attempt}


class Records:
    """The tables, as the duty of one worker uses them.

    What each item costs is built once: to build a statement takes longer than to execute it.
    """

    def __init__(self, database: Database, worker: str) -> None:
        self._database = database
        self._worker = worker
        self._heads = Heads(database)

    def read(self, turn: Turn) -> Row | None:
        """Return an item, with its conversation's ``target`` (id) and ``halted_by``.

        ``waited``: seconds since it was sent, ``age``: since it was accepted. ``None`` if this
        attempt is superseded.
        """
        with self._database.read() as connection:
            return connection.execute(self._reading, of(turn)).first()

    @cached_property
    def _reading(self) -> sa.Select[*tuple[Any, ...]]:
        table, conversations = self._database.items, self._database.conversations
        return (
            sa.select(
                table,
                (self._database.now - table.c.sent_at).label("waited"),
                (self._database.now - table.c.accepted_at).label("age"),
                conversations.c.conversation_id.label("target"),
                conversations.c.halted_by,
            )
            .join(conversations, conversations.c.name == table.c.conversation)
            .where(self._is_it)
        )

    def note(self, turn: Turn, token: str, is_wanted: Callable[[], bool]) -> bool:
        """Note that ``token`` is about to send an item whole; false if it must not.

        A token is one try of one worker. ``is_wanted`` is asked last: who gave up meanwhile
        leaves no note behind.
        """
        with suppress(_UnwantedError), self._database.begin() as connection:
            # Held to the end of the transaction: nobody declares this worker dead meanwhile.
            if connection.execute(self._living).first() is None:
                return False
            noted = connection.execute(self._noting, of(turn) | {"token": token})
            if noted.rowcount == 1 and not is_wanted():
                raise _UnwantedError
            return noted.rowcount == 1
        return False

    @cached_property
    def _living(self) -> sa.Select[*tuple[Any, ...]]:
        workers = self._database.workers
        return (
            sa.select(workers.c.id)
            .where(workers.c.id == self._worker)
            .where(workers.c.beat > 0.0)
            .with_for_update(read=True, key_share=True)
        )

    @cached_property
    def _noting(self) -> sa.Update:
        table = self._database.items
        token: sa.BindParameter[str] = sa.bindparam("token")
        return (
            sa.update(table)
            .where(self._is_it)
            .where(table.c.state == ItemState.QUEUED.value)
            .where(table.c.job_id.is_(None))
            .where(sa.or_(table.c.sent_by.is_(None), table.c.sent_by == token))
            .values(sent_by=token, sent_at=self._database.now)
        )

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
        """Write down that an item was accepted; return the state that it has then."""
        found = {"job": job_id, "target": conversation_id}
        with self._database.begin() as connection:
            accepted = connection.execute(self._accepting, of(turn) | found).first()
            if accepted is None:
                return self._too_late(connection, turn, job_id, conversation_id)
            if accepted.opens:
                opened = {"of_name": accepted.conversation, "target": conversation_id}
                connection.execute(self._opening, opened)
            return ItemState.ACCEPTED.value

    @cached_property
    def _accepting(self) -> ReturningUpdate[*tuple[Any, ...]]:
        table = self._database.items
        job_id: sa.BindParameter[str] = sa.bindparam("job")
        return (
            sa.update(table)
            .where(self._is_it)
            .where(self._database.unfinished(table))
            .where(sa.or_(table.c.job_id.is_(None), table.c.job_id == job_id))
            .values(
                state=ItemState.ACCEPTED.value,
                job_id=job_id,
                conversation_id=sa.bindparam("target"),
                accepted_at=sa.func.coalesce(table.c.accepted_at, self._database.now),
            )
            .returning(table.c.opens, table.c.conversation)
        )

    @cached_property
    def _opening(self) -> sa.Update:
        table = self._database.conversations
        return (
            sa.update(table)
            .where(table.c.name == sa.bindparam("of_name"))
            .values(conversation_id=sa.bindparam("target"))
        )

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
        """End an item; return the state that it has then."""
        conversations = self._database.conversations
        with self._database.begin() as connection:
            conversation = self._heads.hold(connection, turn.key)
            told = {"ending": state.value, "why": why}
            ended = connection.execute(self._ending, of(turn) | told)
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
            self._heads.advance(connection, name, conversation.conversation_id, halted_by)
            return state.value

    @cached_property
    def _ending(self) -> sa.Update:
        table = self._database.items
        return (
            sa.update(table)
            .where(self._is_it)
            .where(self._database.unfinished(table))
            .values(
                state=sa.bindparam("ending"),
                error=sa.bindparam("why"),
                ended_at=self._database.now,
                **FREE,
            )
        )

    def block(self, turn: Turn) -> str | None:
        """End an item as blocked, unless a person undoes at this moment what blocks it."""
        table = self._database.items
        with self._database.begin() as connection:
            conversation = self._heads.hold(connection, turn.key)
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
            name, halted_by = conversation.name, conversation.halted_by
            self._heads.advance(connection, name, conversation.conversation_id, halted_by)
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

    @cached_property
    def _is_it(self) -> sa.ColumnElement[bool]:
        """The condition for the item of a turn, with the parameters that ``of`` returns."""
        table = self._database.items
        return sa.and_(
            table.c.key == sa.bindparam("of_key"), table.c.attempt == sa.bindparam("of_attempt")
        )

    def _is(self, turn: Turn) -> sa.ColumnElement[bool]:
        table = self._database.items
        return sa.and_(table.c.key == turn.key, table.c.attempt == turn.attempt)

    def _state(self, connection: sa.Connection, turn: Turn) -> str:
        state: str | None = connection.execute(
            sa.select(self._database.items.c.state).where(self._is(turn))
        ).scalar()
        return SUPERSEDED if state is None else state


@define(eq=False)
class Note:
    """One try to note that an item is about to be sent whole."""

    is_fresh: Callable[[], bool]
    """Whether the worker that sends is alive by the database's clock."""
    write: Callable[[str, Callable[[], bool]], bool]
    """Write the note, given the token and a question asked last, before the commit."""
    token: str
    """What the server will be told of this sending."""
    failed: bool = False
    """Whether it was tried and did not work out."""
    over: bool = False
    """Whether whoever tried has given up."""

    def is_wanted(self) -> bool:
        return not self.over and self.is_fresh()


class _UnwantedError(Exception):
    """Roll back: whoever asked has given up."""
