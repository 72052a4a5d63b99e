"""Record the steps of an item's attempt: intent to send, acceptance, evidence, end.

Each change is for one attempt, and happens only while that is the item's latest: a worker that
was paused, and resumes after others have continued the item, changes nothing. All of it blocks.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.sql.dml import ReturningUpdate

from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.tables import Row
from symbl_aio.durable._store.heads import NO_SLOT, Heads, block_reason
from symbl_aio.durable._store.slots import Slots
from symbl_aio.durable.items import Attempt, ItemState

SUPERSEDED: Final = "superseded"
"""State of an attempt whose item was queued again, discarded or deleted: nothing is to do."""
_RESTORED: Final = "a worker of before the restored backup"


class Ended(NamedTuple):
    """Result of recording the end of an attempt."""

    item: Row | None
    """The item as it is afterwards; ``None`` if the attempt is superseded."""
    following: Row | None = None
    """The item that got its slot, as ``Slots.fill`` returns it."""


class AttemptRecords:
    """The records of attempts, as one worker reads and writes them.

    Statements are built once: to build one takes longer than to execute it.
    """

    def __init__(self, database: Database, worker: str) -> None:
        self._database = database
        self._worker = worker
        self._heads = Heads(database)
        self._slots = Slots(database)

    def read(self, attempt: Attempt) -> Row | None:
        """Return an item, with its conversation's ``target`` (id) and ``halted_by``.

        ``waited``: seconds since it was sent, ``age``: since it was accepted. ``None`` if the
        attempt is superseded.
        """
        with self._database.read() as connection:
            return connection.execute(self._read, _parameters(attempt)).first()

    @cached_property
    def _read(self) -> sa.Select[*tuple[Any, ...]]:
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

    # Before it is accepted

    def record_intent(self, attempt: Attempt, token: str) -> bool:
        """Record that ``token`` is about to send an item's last byte; false if it must not.

        A token is one try of one worker.
        """
        with self._database.single() as connection:
            # Matches only the latest attempt: a superseded one must not send.
            recorded = connection.execute(
                self._record_intent, _parameters(attempt) | {"token": token}
            )
            return recorded.rowcount == 1

    @cached_property
    def _record_intent(self) -> sa.Update:
        table = self._database.items
        token: sa.BindParameter[str] = sa.bindparam("token")
        workers = self._database.workers
        is_registered = (
            sa.select(workers.c.id)
            .where(workers.c.id == self._worker)
            .where(workers.c.beat > 0.0)
            # Locked to the end of the statement: no other worker evicts this one meanwhile.
            .with_for_update(read=True, key_share=True)
            .exists()
        )
        return (
            sa.update(table)
            .where(self._is_it, self._is_unaccepted, is_registered)
            .where(sa.or_(table.c.sent_by.is_(None), table.c.sent_by == token))
            .values(sent_by=token, sent_at=self._database.now)
        )

    def record_restored(self, attempt: Attempt) -> None:
        """Record that a worker of before a restored backup may have sent an item."""
        table = self._database.items
        change = (
            sa.update(table)
            .where(self._is_it, self._is_unaccepted, table.c.sent_by.is_(None))
            .values(sent_by=_RESTORED, sent_at=self._database.now)
        )
        self._execute(change, attempt)

    def clear_intent(self, attempt: Attempt, token: str | None = None) -> None:
        """Clear the intent of ``token``, or any: it is certain that nothing was accepted."""
        table = self._database.items
        change = (
            sa.update(table)
            .where(self._is_it, self._is_unaccepted)
            .values(sent_by=None, sent_at=None, in_doubt=False, heard=None, maybe_sent_since=None)
        )
        if token is not None:
            change = change.where(table.c.sent_by == token)
        self._execute(change, attempt)

    def mark_in_doubt(self, attempt: Attempt) -> str | None:
        """Mark an item in doubt: webhook calls wake its worker. Return the job id they reported."""
        table = self._database.items
        change = sa.update(table).where(self._is_it).values(in_doubt=True)
        with self._database.single() as connection:
            reported: str | None = connection.execute(
                change.returning(table.c.heard), _parameters(attempt)
            ).scalar()
            return reported

    # Acceptance

    def record_accepted(
        self, attempt: Attempt, job_id: str | None, conversation_id: str | None, *, opens: bool
    ) -> str:
        """Record that an item was accepted; return its state afterwards.

        ``opens``: it opens its conversation.
        """
        found = {"job": job_id, "target": conversation_id}
        # For an append one statement is all.
        with self._database.begin() if opens else self._database.single() as connection:
            accepted = connection.execute(self._accept, _parameters(attempt) | found).first()
            if accepted is None:
                return self._record_late(connection, attempt, job_id, conversation_id)
            # From now on appends to the conversation have a target.
            if opens:
                opened = {"of_name": accepted.conversation, "target": conversation_id}
                connection.execute(self._open, opened)
            return ItemState.ACCEPTED.value

    @cached_property
    def _accept(self) -> ReturningUpdate[*tuple[Any, ...]]:
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
            .returning(table.c.conversation)
        )

    @cached_property
    def _open(self) -> sa.Update:
        table = self._database.conversations
        return (
            sa.update(table)
            .where(table.c.name == sa.bindparam("of_name"))
            .values(conversation_id=sa.bindparam("target"))
        )

    def _record_late(
        self,
        connection: sa.Connection,
        attempt: Attempt,
        job_id: str | None,
        conversation_id: str | None,
    ) -> str:
        """Record an answer that came after the item ended ambiguous, for the operator to read."""
        table = self._database.items
        why = f"it was accepted: conversation {conversation_id}, job {job_id}; resolve it"
        connection.execute(
            sa.update(table)
            .where(self._is_it, table.c.state == ItemState.AMBIGUOUS.value)
            .values(error=why),
            _parameters(attempt),
        )
        return self._state(connection, attempt)

    # End

    def record_end(
        self, attempt: Attempt, state: ItemState, why: str | None, running: int | None = None
    ) -> Ended:
        """End an item, advance its conversation, and pass its slot on.

        ``running``: number of attempts that run here; without it the slot is only freed.
        """
        conversations = self._database.conversations
        with self._database.begin() as connection:
            # The conversation before its items, as operators' decisions lock them.
            conversation = self._heads.lock(connection, attempt.key)
            final = {"ending": state.value, "why": why}
            item = connection.execute(self._end, _parameters(attempt) | final).first()
            if conversation is None or item is None:
                return Ended(connection.execute(self._read, _parameters(attempt)).first())
            halted_by = conversation.halted_by
            # The server may still process it: later items must wait for the operator.
            if state is ItemState.AMBIGUOUS:
                halted_by = attempt.key
                connection.execute(
                    sa.update(conversations)
                    .where(conversations.c.name == conversation.name)
                    .values(halted_by=halted_by)
                )
            self._heads.advance(connection, conversation, halted_by)
            following = None if running is None else self._slots.pass_on(connection, running)
            return Ended(item, following)

    @cached_property
    def _end(self) -> ReturningUpdate[*tuple[Any, ...]]:
        table = self._database.items
        return (
            sa.update(table)
            .where(self._is_it)
            .where(self._database.unfinished(table))
            .values(
                state=sa.bindparam("ending"),
                error=sa.bindparam("why"),
                ended_at=self._database.now,
                **NO_SLOT,
            )
            .returning(*self._database.without_content)
        )

    def record_blocked(self, attempt: Attempt) -> str | None:
        """End an item as blocked; ``None`` if an operator removes the obstacle at this moment."""
        table = self._database.items
        with self._database.begin() as connection:
            conversation = self._heads.lock(connection, attempt.key)
            row = connection.execute(
                sa.select(table.c.opens).where(self._is_it), _parameters(attempt)
            ).first()
            if conversation is None or row is None:
                return SUPERSEDED
            why = block_reason(row.opens, conversation.conversation_id, conversation.halted_by)
            if why is None:
                return None
            values = {"state": ItemState.BLOCKED.value, "error": why, **NO_SLOT}
            connection.execute(
                sa.update(table).where(self._is_it).values(ended_at=self._database.now, **values),
                _parameters(attempt),
            )
            self._heads.advance(connection, conversation, conversation.halted_by)
            return ItemState.BLOCKED.value

    # Evidence

    def job_owner(self, *, job_id: str) -> str | None:
        """Return the key of the item that has a job."""
        table = self._database.items
        with self._database.read() as connection:
            found: str | None = connection.execute(
                sa.select(table.c.key).where(table.c.job_id == job_id).limit(1)
            ).scalar()
            return found

    def is_known_conversation(self, conversation_id: str) -> bool:
        """Return whether a conversation has that id here already."""
        table = self._database.conversations
        with self._database.read() as connection:
            known = sa.select(table.c.name).where(table.c.conversation_id == conversation_id)
            return connection.execute(known.limit(1)).first() is not None

    def sent_items(self, row: Row) -> list[Row] | None:
        """Return an item and all others of its conversation that were, or may have been, sent.

        ``None`` if some were deleted, or sent by other means.
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
        # A gap in the numbers is a deleted item; without an opener others may have written too.
        if last != len(known) or not known[0].opens:
            return None
        return [
            other
            for other in known
            if other.key == row.key
            or other.sent_by is not None
            or other.job_id is not None
            or other.maybe_sent_since is not None
            or other.attempt > 1  # the intent of an earlier attempt is gone
        ]

    # Shared

    @cached_property
    def _is_it(self) -> sa.ColumnElement[bool]:
        """The condition for the item of an attempt, with the parameters of ``_parameters``."""
        table = self._database.items
        return sa.and_(
            table.c.key == sa.bindparam("of_key"), table.c.attempt == sa.bindparam("of_attempt")
        )

    @property
    def _is_unaccepted(self) -> sa.ColumnElement[bool]:
        table = self._database.items
        return sa.and_(table.c.state == ItemState.QUEUED.value, table.c.job_id.is_(None))

    def _execute(self, change: sa.Update, attempt: Attempt) -> None:
        with self._database.single() as connection:
            connection.execute(change, _parameters(attempt))

    def _state(self, connection: sa.Connection, attempt: Attempt) -> str:
        state: str | None = connection.execute(
            sa.select(self._database.items.c.state).where(self._is_it), _parameters(attempt)
        ).scalar()
        return SUPERSEDED if state is None else state


def _parameters(attempt: Attempt) -> dict[str, Any]:
    return {"of_key": attempt.key, "of_attempt": attempt.number}
