"""An operator's decisions about items, as rules and as SQL: resolve, retry, discard.

A decision is the same for one item and for many. A batch is whole conversations, some thousand
items, changed by a number of statements that does not grow with them: no lock is held for
seconds. All of it blocks.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Final, Protocol, TypeVar

import sqlalchemy as sa
from attrs import evolve, field, frozen

from symbl_aio import ConfigurationError, NotFoundError
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.notifications import notify_ready
from symbl_aio.durable._database.tables import Row
from symbl_aio.durable._store.heads import NO_SLOT, advance_all, lock_conversations, unblock
from symbl_aio.durable.items import Item, ItemFilter, ItemState, unknown_key

T = TypeVar("T")

_BATCH_CONVERSATIONS: Final = 500
_BATCH_ITEMS: Final = 2000
"""Maximum items in the conversations of one transaction, unless one alone has more."""
_MAX_IDS: Final = 5000
"""Ids in one statement, whose length databases limit."""


class Decision(Protocol):
    """The rules of one kind of decision."""

    usual: ClassVar[frozenset[ItemState]]
    """States that a filter without ``state`` selects."""
    possible: ClassVar[frozenset[ItemState]]
    """States in which an item can be changed."""

    def why_not(self, row: Row, conversation: Row, *, opens_again: bool) -> str | None:
        """Return why an item cannot be changed, ``None`` if it can.

        ``opens_again``: the item that opens its conversation is changed too.
        """
        ...

    def changes(self, database: Database) -> Mapping[str, Any]:
        """Return the new values of the columns."""
        ...


@frozen
class Resolve:
    """Ambiguous items were accepted, or were not and are sent again."""

    accepted: bool
    """Whether the server accepted them."""
    conversation_id: str | None = None
    """Id of the conversation that the item opened."""
    job_id: str | None = None
    """Id of the job to follow."""

    possible: ClassVar = frozenset({ItemState.AMBIGUOUS})
    usual: ClassVar = possible

    def why_not(self, row: Row, conversation: Row, *, opens_again: bool) -> str | None:
        if row.state != ItemState.AMBIGUOUS.value:
            return f"item {row.key!r} is {row.state}, and only ambiguous ones are resolved"
        if not self.accepted:
            return None
        known = conversation.conversation_id
        if row.opens:
            if self.conversation_id is not None:
                return None
            return (
                f"conversation_id is missing: item {row.key!r} opens a conversation; "
                "give the id that the server gave it"
            )
        if known is None:
            return f"item {conversation.name!r} has not opened the conversation; resolve that first"
        if self.conversation_id not in (None, known):
            return (
                f"conversation_id is {self.conversation_id!r}, but item {row.key!r} was "
                f"appended to {known!r}; leave it out"
            )
        return None

    def changes(self, database: Database) -> Mapping[str, Any]:
        if not self.accepted:
            return _sent_again(database)
        known: Any = self.conversation_id
        if known is None:
            table = database.conversations
            known = (
                sa.select(table.c.conversation_id)
                .where(table.c.name == database.items.c.conversation)
                .scalar_subquery()
            )
        if self.job_id is None:
            state = ItemState.COMPLETED.value
            return {"state": state, "conversation_id": known, "ended_at": database.now}
        return {
            "state": ItemState.ACCEPTED.value,
            "conversation_id": known,
            "job_id": self.job_id,
            "accepted_at": database.now,
            "ended_at": None,
            "ready": True,
        }


@frozen
class Retry:
    """Items in a state that sending them again may change are sent again."""

    possible: ClassVar = frozenset(
        {
            ItemState.FAILED,
            ItemState.LOST,
            ItemState.REFUSED,
            ItemState.BLOCKED,
            ItemState.DISCARDED,
        }
    )
    # Of the others the server may have the content already.
    usual: ClassVar = frozenset({ItemState.REFUSED, ItemState.BLOCKED})

    def why_not(self, row: Row, conversation: Row, *, opens_again: bool) -> str | None:
        state = ItemState(row.state)
        if state not in self.possible:
            remedy = "; say what became of it: resolve" if state is ItemState.AMBIGUOUS else ""
            return f"item {row.key!r} is {state.value}{remedy}"
        if conversation.halted_by is not None:
            return (
                f"item {conversation.halted_by!r} of the conversation is ambiguous; "
                "resolve that first"
            )
        if conversation.conversation_id is None and not row.opens and not opens_again:
            return f"item {conversation.name!r} has not opened the conversation; retry that first"
        return None

    def changes(self, database: Database) -> Mapping[str, Any]:
        return _sent_again(database)


@frozen
class Discard:
    """Items that are not being sent, and were not certainly accepted, are never sent."""

    possible: ClassVar = frozenset({ItemState.QUEUED, ItemState.BLOCKED, ItemState.AMBIGUOUS})
    # Without a trace that the server may have it, so an ambiguous item is not discarded by default.
    usual: ClassVar = frozenset({ItemState.QUEUED, ItemState.BLOCKED})

    def why_not(self, row: Row, conversation: Row, *, opens_again: bool) -> str | None:
        state = ItemState(row.state)
        if state is ItemState.QUEUED and row.sent_by is not None:
            return f"item {row.key!r} is being sent, or may have been; wait for its end"
        if state not in self.possible:
            return (
                f"item {row.key!r} is {state.value}, and only what is queued, blocked or "
                "ambiguous is taken back"
            )
        return None

    def changes(self, database: Database) -> Mapping[str, Any]:
        return {"state": ItemState.DISCARDED.value, "ended_at": database.now}


def _sent_again(database: Database) -> Mapping[str, Any]:
    table = database.items
    return {
        "state": ItemState.QUEUED.value,
        "ready": False,
        "sent_by": None,
        "sent_at": None,
        "job_id": None,
        "conversation_id": None,
        "accepted_at": None,
        "ended_at": None,
        # A new nonce: a webhook call for the earlier request is no evidence for this one.
        "in_doubt": False,
        "heard": None,
        "maybe_sent_since": None,
        "nonce": sa.literal(f"{secrets.token_urlsafe(16)}-") + sa.cast(table.c.id, sa.Text),
    }


@frozen
class Batch:
    """Items of some conversations, which are changed in one transaction."""

    conversations: tuple[str, ...]
    """Their names, in the order in which they are locked."""
    chosen: sa.ColumnElement[bool]
    """The condition for the items in them."""


@frozen
class BatchResult:
    """Result of a decision for one batch."""

    items: list[Item] = field(factory=list)
    """The changed items."""
    resumed: int = 0
    """Number of blocked items that were queued again."""
    refused: dict[str, str] = field(factory=dict)
    """Why others were not changed, by key."""


class Decisions:
    """Executes the decisions of ``Outbox.resolve``, ``retry`` and ``discard``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def batches(self, decision: Decision, which: ItemFilter) -> list[Batch]:
        """Return the items that a filter selects now, in batches for one transaction each."""
        if which.state is None:
            which = evolve(which, state=sorted(decision.usual, key=lambda state: state.value))
        else:
            wrong = sorted(s.value for s in set(which.state) - decision.possible)
            if wrong:
                usable = ", ".join(sorted(state.value for state in decision.possible))
                raise ConfigurationError(f"state has {', '.join(wrong)}, and this is for {usable}")
        chosen = self._condition(which)
        conversations = self._database.conversations
        names = sa.select(self._database.items.c.conversation).where(chosen)
        with self._database.read() as connection:
            found = connection.execute(
                sa.select(conversations.c.name, conversations.c.last)
                .where(conversations.c.name.in_(names))
                .order_by(conversations.c.name)
            ).all()
        return [Batch(part, chosen) for part in _parts((row.name, row.last) for row in found)]

    def _condition(self, which: ItemFilter) -> sa.ColumnElement[bool]:
        """Return a filter as a condition on the rows of items."""
        database = self._database
        table, conversations = database.items, database.conversations
        conditions = [database.in_queue(table)]
        if which.state is not None:
            conditions.append(table.c.state.in_([state.value for state in which.state]))
        if which.conversation is not None:
            names = sa.select(conversations.c.name).where(database.is_named(which.conversation))
            conditions.append(table.c.conversation.in_(names))
        since = sa.func.coalesce(table.c.ended_at, table.c.queued_at)
        if which.older_than is not None:
            conditions.append(since <= database.now - which.older_than)
        if which.newer_than is not None:
            conditions.append(since >= database.now - which.newer_than)
        return sa.and_(*conditions)

    def batches_of(self, keys: Iterable[str]) -> tuple[list[Batch], list[str]]:
        """Return the batches for one transaction each, and the keys that no item has."""
        table, conversations = self._database.items, self._database.conversations
        wanted = list(keys)
        found: set[str] = set()
        ids: dict[str, list[int]] = {}
        sizes: dict[str, int] = {}
        query = sa.select(table.c.id, table.c.key, table.c.conversation, conversations.c.last)
        query = query.join(conversations, conversations.c.name == table.c.conversation)
        # In several statements: the number of parameters is limited.
        for some in _slices(wanted, _MAX_IDS):
            with self._database.read() as connection:
                for row in connection.execute(query.where(table.c.key.in_(some))):
                    found.add(row.key)
                    ids.setdefault(row.conversation, []).append(row.id)
                    sizes[row.conversation] = row.last
        batches = [
            Batch(names, _is_one_of(table.c.id, [id for name in names for id in ids[name]]))
            for names in _parts(sorted(sizes.items()))
        ]
        return batches, [key for key in wanted if key not in found]

    def decide(self, decision: Decision, batch: Batch, *, dry_run: bool) -> BatchResult:
        """Change a batch of items in one transaction, which a dry run rolls back."""
        result = BatchResult()
        with suppress(_DryRunError), self._database.begin() as connection:
            # Conversations first, as workers lock them. An item stays in its conversation.
            locked = lock_conversations(self._database, connection, batch.conversations)
            chosen, refused = self._choose(connection, decision, batch, locked)
            ids = [row.id for row in chosen]
            self._change(connection, decision, ids)
            freed = self._release(connection, decision, chosen)
            touched = sorted({row.conversation for row in chosen})
            # Items that are blocked again at once, by another item, do not count as resumed.
            resumed = unblock(self._database, connection, freed)
            resumed -= advance_all(self._database, connection, touched)
            result = BatchResult(self._items(connection, ids), len(resumed), refused)
            # After all changes, so that a dry run reports exactly what they would be.
            if dry_run:
                raise _DryRunError
            notify_ready(self._database, connection)
        return result

    def decide_one(self, decision: Decision, key: str, *, dry_run: bool) -> Item:
        """Change one item. Raises ``ConfigurationError`` and ``NotFoundError``."""
        for batch in self.batches_of([key])[0]:
            result = self.decide(decision, batch, dry_run=dry_run)
            if result.refused:
                raise ConfigurationError(result.refused[key])
            for item in result.items:
                return item
        raise NotFoundError(404, unknown_key(key))  # or it has expired since then

    def _choose(
        self,
        connection: sa.Connection,
        decision: Decision,
        batch: Batch,
        locked: Mapping[str, Row],
    ) -> tuple[list[Row], dict[str, str]]:
        """Return the rows to change, and why others are not changed, by their keys."""
        table = self._database.items
        columns = "id key conversation state opens sent_by".split()
        rows: Iterable[Row] = connection.execute(
            sa.select(*(table.c[name] for name in columns))
            .where(table.c.conversation.in_(locked), batch.chosen)
            .order_by(table.c.conversation, table.c.number)
            .with_for_update()
        ).all()
        chosen: list[Row] = []
        opening: set[str] = set()
        refused: dict[str, str] = {}
        for row in rows:
            why = decision.why_not(
                row, locked[row.conversation], opens_again=row.conversation in opening
            )
            if why is not None:
                refused[row.key] = why
                continue
            chosen.append(row)
            # Rows are in the order of a conversation, so its opener comes first.
            if row.opens:
                opening.add(row.conversation)
        # Two items with one job would both count its end.
        if isinstance(decision, Resolve) and decision.job_id is not None:
            for row in chosen:
                self._check_job(connection, decision.job_id, row.key)
        return chosen, refused

    def _check_job(self, connection: sa.Connection, job_id: str, key: str) -> None:
        table = self._database.items
        others = sa.select(table.c.key).where(table.c.job_id == job_id, table.c.key != key)
        if (other := connection.execute(others).scalar()) is not None:
            raise ConfigurationError(
                f"job_id {job_id!r} is that of item {other!r}; give that of item {key!r}"
            )

    def _change(self, connection: sa.Connection, decision: Decision, ids: list[int]) -> None:
        """Change items, as new attempts: one that still runs has no effect on them any more."""
        table = self._database.items
        values = {**NO_SLOT, "deaths": 0, "error": None, **decision.changes(self._database)}
        for some in _slices(ids, _MAX_IDS):
            connection.execute(
                sa.update(table)
                .where(_is_one_of(table.c.id, some))
                .values(attempt=table.c.attempt + 1, **values)
            )

    def _release(
        self, connection: sa.Connection, decision: Decision, chosen: list[Row]
    ) -> list[str]:
        """Record that the items halt their conversations no more; return those to unblock."""
        if isinstance(decision, Retry):
            return sorted({row.conversation for row in chosen})
        ambiguous = [row for row in chosen if row.state == ItemState.AMBIGUOUS.value]
        table, items = self._database.conversations, self._database.items
        # A conversation may have several: the next one halts it then.
        next_ambiguous = (
            sa.select(items.c.key)
            .where(items.c.conversation == table.c.name)
            .where(items.c.state == ItemState.AMBIGUOUS.value)
            .order_by(items.c.number)
            .limit(1)
        )
        values: dict[str, Any] = {"halted_by": next_ambiguous.scalar_subquery()}
        if isinstance(decision, Resolve) and decision.conversation_id is not None:
            values["conversation_id"] = decision.conversation_id
        changed = connection.execute(
            sa.update(table)
            .where(table.c.name.in_({row.conversation for row in ambiguous}))
            .values(**values)
            .returning(table.c.name, table.c.halted_by)
        )
        return sorted(row.name for row in changed if row.halted_by is None)

    def _items(self, connection: sa.Connection, ids: list[int]) -> list[Item]:
        """Return items as they are now; their contents are not read."""
        table = self._database.items
        items: list[Item] = []
        for some in _slices(ids, _MAX_IDS):
            query = sa.select(*self._database.without_content)
            query = query.where(_is_one_of(table.c.id, some))
            rows = connection.execute(query.order_by(table.c.conversation, table.c.number))
            items += [self._database.as_item(row) for row in rows]
        return items


class _DryRunError(Exception):
    """Roll back: a dry run changes nothing."""


def _parts(sizes: Iterable[tuple[str, int]]) -> Iterator[tuple[str, ...]]:
    """Yield the names of conversations, in parts for one transaction each."""
    names: list[str] = []
    total = 0
    for name, size in sizes:
        if names and (len(names) == _BATCH_CONVERSATIONS or total + size > _BATCH_ITEMS):
            yield tuple(names)
            names, total = [], 0
        names.append(name)
        total += size
    if names:
        yield tuple(names)


def _slices(given: list[T], size: int) -> Iterator[list[T]]:
    for first in range(0, len(given), size):
        yield given[first : first + size]


def _is_one_of(column: sa.Column[Any], ids: list[int]) -> sa.ColumnElement[bool]:
    """Return the condition that an id is among these: as literals, of which there may be many."""
    # A bound parameter for each would exceed the limit of the drivers.
    return column.in_(sa.bindparam("ids", ids, expanding=True, literal_execute=True))
