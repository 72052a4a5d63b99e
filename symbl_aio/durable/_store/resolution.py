"""Carry out what a person decides about items: were they accepted, send them again, or never.

A decision is the same for one item and for many. Whole conversations at a time, some thousand
items, by a number of statements that does not grow with them: no lock is held for seconds, and
what others hand in or send meanwhile comes before or after.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, Final, Protocol, TypeAlias, TypeVar

import sqlalchemy as sa
from attrs import evolve, field, frozen

from symbl_aio import ConfigurationError, NotFoundError
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.notifications import tell_ready
from symbl_aio.durable._store.heads import FREE, advance_all, hold_all, resume
from symbl_aio.durable.items import Item, ItemState
from symbl_aio.durable.naming import no_item
from symbl_aio.durable.selection import ItemFilter, condition

Row: TypeAlias = sa.Row[Any]
T = TypeVar("T")

_MOST_CONVERSATIONS: Final = 500
_MOST_ITEMS: Final = 2000
"""Handed in to the conversations of one transaction, unless one alone has more."""
_MOST_IDS: Final = 5000
"""In one statement, which databases allow to be so long and no longer."""


class Decision(Protocol):
    """What is decided about each item."""

    usual: ClassVar[frozenset[ItemState]]
    """The states that a filter without one means."""
    possible: ClassVar[frozenset[ItemState]]

    def why_not(self, row: Row, conversation: Row, *, opens_again: bool) -> str | None:
        """Return why it cannot be decided about an item, ``None`` if it can.

        ``opens_again``: the item that opens its conversation is among the same.
        """
        ...

    def changes(self, database: Database) -> Mapping[str, Any]:
        """Return the new values of the items' columns."""
        ...


@frozen
class Resolve:
    """Ambiguous items were accepted, or were not and are sent again."""

    accepted: bool
    """Whether the server has them."""
    conversation_id: str | None = None
    """Of one that opens a conversation."""
    job_id: str | None = None
    """Of one whose job is to be followed."""

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
    """Items are sent again that ended in some way that sending them again may help."""

    possible: ClassVar = frozenset(
        {
            ItemState.FAILED,
            ItemState.LOST,
            ItemState.REFUSED,
            ItemState.BLOCKED,
            ItemState.DISCARDED,
        }
    )
    # Of all others the server may have the content already.
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
    """Items are taken back that are not on their way, nor were accepted for certain."""

    possible: ClassVar = frozenset({ItemState.QUEUED, ItemState.BLOCKED, ItemState.AMBIGUOUS})
    # Of an ambiguous one nobody would know any more that it may be there.
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
        # A webhook call about what was sent before says nothing about this.
        "in_doubt": False,
        "heard": None,
        "maybe_sent_since": None,
        "nonce": sa.literal(f"{secrets.token_urlsafe(16)}-") + sa.cast(table.c.id, sa.Text),
    }


@frozen
class Share:
    """The items of some conversations, which are decided about in one transaction."""

    conversations: tuple[str, ...]
    """Their names, in the order in which they are locked."""
    of: sa.ColumnElement[bool]
    """The condition for the items in them."""


@frozen
class Done:
    """What a share of a decision came to."""

    items: list[Item] = field(factory=list)
    """Those that were changed."""
    resumed: int = 0
    """Number of others that were queued again."""
    refused: dict[str, str] = field(factory=dict)
    """Why others were not changed, by key."""


class Deciding:
    """What ``Outbox.resolve``, ``retry`` and ``discard`` do. All of it blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def shares(self, decision: Decision, which: ItemFilter) -> list[Share]:
        """Return what a filter chooses now, in parts for one transaction each."""
        if which.state is None:
            which = evolve(which, state=sorted(decision.usual, key=lambda state: state.value))
        else:
            wrong = sorted(s.value for s in set(which.state) - decision.possible)
            if wrong:
                usable = ", ".join(sorted(state.value for state in decision.possible))
                raise ConfigurationError(f"state has {', '.join(wrong)}, and this is for {usable}")
        of = condition(self._database, which)
        conversations = self._database.conversations
        chosen = sa.select(self._database.items.c.conversation).where(of)
        with self._database.read() as connection:
            found = connection.execute(
                sa.select(conversations.c.name, conversations.c.last)
                .where(conversations.c.name.in_(chosen))
                .order_by(conversations.c.name)
            ).all()
        return [Share(names, of) for names in _parts((row.name, row.last) for row in found)]

    def shares_of(self, keys: Iterable[str]) -> tuple[list[Share], list[str]]:
        """Return the parts for one transaction each, and the keys that no item has."""
        table, conversations = self._database.items, self._database.conversations
        wanted = list(keys)
        found: set[str] = set()
        ids: dict[str, list[int]] = {}
        sizes: dict[str, int] = {}
        query = sa.select(table.c.id, table.c.key, table.c.conversation, conversations.c.last)
        query = query.join(conversations, conversations.c.name == table.c.conversation)
        for some in _slices(wanted, _MOST_IDS):
            with self._database.read() as connection:
                for row in connection.execute(query.where(table.c.key.in_(some))):
                    found.add(row.key)
                    ids.setdefault(row.conversation, []).append(row.id)
                    sizes[row.conversation] = row.last
        shares = [
            Share(names, _is_one_of(table.c.id, [id for name in names for id in ids[name]]))
            for names in _parts(sorted(sizes.items()))
        ]
        return shares, [key for key in wanted if key not in found]

    def decide(self, decision: Decision, share: Share, *, dry_run: bool) -> Done:
        """Decide about a share of items in one transaction, which a dry run undoes."""
        work = partial(self._decide, decision, share, dry_run)
        return self._database.until_not_stuck(work)

    def decide_one(self, decision: Decision, key: str, *, dry_run: bool) -> Item:
        """Decide about one item. Raises ``ConfigurationError`` and ``NotFoundError``."""
        shares, unknown = self.shares_of([key])
        if unknown:
            raise NotFoundError(404, no_item(key))
        done = self.decide(decision, shares[0], dry_run=dry_run)
        if done.refused:
            raise ConfigurationError(done.refused[key])
        return done.items[0]

    def _decide(self, decision: Decision, share: Share, dry_run: bool) -> Done:
        done = Done()
        with suppress(_DryRunError), self._database.begin() as connection:
            # In the order in which workers lock them. An item stays in its conversation.
            held = hold_all(self._database, connection, share.conversations)
            chosen, refused = self._choose(connection, decision, share, held)
            ids = [row.id for row in chosen]
            self._change(connection, decision, ids)
            going = self._go_on(connection, decision, chosen)
            touched = sorted({row.conversation for row in chosen})
            resumed = resume(self._database, connection, going)
            resumed -= advance_all(self._database, connection, touched)
            done = Done(self._items(connection, ids), len(resumed), refused)
            if dry_run:
                raise _DryRunError
            tell_ready(self._database, connection)
        return done

    def _choose(
        self,
        connection: sa.Connection,
        decision: Decision,
        share: Share,
        held: Mapping[str, Row],
    ) -> tuple[list[Row], dict[str, str]]:
        """Return the rows that are decided about, and why others are not, by their keys."""
        table = self._database.items
        columns = "id key conversation state opens sent_by".split()
        rows: Iterable[Row] = connection.execute(
            sa.select(*(table.c[name] for name in columns))
            .where(table.c.conversation.in_(share.conversations), share.of)
            .order_by(table.c.conversation, table.c.number)
            .with_for_update()
        ).all()
        chosen: list[Row] = []
        opening: set[str] = set()
        refused: dict[str, str] = {}
        for row in rows:
            why = decision.why_not(
                row, held[row.conversation], opens_again=row.conversation in opening
            )
            if why is not None:
                refused[row.key] = why
                continue
            chosen.append(row)
            if row.opens:
                opening.add(row.conversation)
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
        """Change items, so that no attempt which may still be under way has to do with them."""
        table = self._database.items
        values = {**FREE, "deaths": 0, "error": None, **decision.changes(self._database)}
        for some in _slices(ids, _MOST_IDS):
            connection.execute(
                sa.update(table)
                .where(_is_one_of(table.c.id, some))
                .values(attempt=table.c.attempt + 1, **values)
            )

    def _go_on(self, connection: sa.Connection, decision: Decision, chosen: list[Row]) -> list[str]:
        """Return the conversations whose blocked items go on, and note that nothing halts them."""
        if isinstance(decision, Retry):
            return sorted({row.conversation for row in chosen})
        doubted = [row for row in chosen if row.state == ItemState.AMBIGUOUS.value]
        table, items = self._database.conversations, self._database.items
        next_doubt = (
            sa.select(items.c.key)
            .where(items.c.conversation == table.c.name)
            .where(items.c.state == ItemState.AMBIGUOUS.value)
            .order_by(items.c.number)
            .limit(1)
        )
        values: dict[str, Any] = {"halted_by": next_doubt.scalar_subquery()}
        if isinstance(decision, Resolve) and decision.conversation_id is not None:
            values["conversation_id"] = decision.conversation_id
        changed = connection.execute(
            sa.update(table)
            .where(table.c.name.in_({row.conversation for row in doubted}))
            .values(**values)
            .returning(table.c.name, table.c.halted_by)
        )
        return sorted(row.name for row in changed if row.halted_by is None)

    def _items(self, connection: sa.Connection, ids: list[int]) -> list[Item]:
        """Return items as they are now, without their contents."""
        table = self._database.items
        items: list[Item] = []
        for some in _slices(ids, _MOST_IDS):
            query = sa.select(*self._database.without_content)
            query = query.where(_is_one_of(table.c.id, some))
            rows = connection.execute(query.order_by(table.c.conversation, table.c.number))
            items += [self._database.as_item(row) for row in rows]
        return items


class _DryRunError(Exception):
    """Roll back: it was asked what would change."""


def _parts(sizes: Iterable[tuple[str, int]]) -> Iterator[tuple[str, ...]]:
    """Yield names of conversations, as many as one transaction is for."""
    names: list[str] = []
    total = 0
    for name, size in sizes:
        if names and (len(names) == _MOST_CONVERSATIONS or total + size > _MOST_ITEMS):
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
    """Return the condition that a number is among these: as words, of which there may be many."""
    return column.in_(sa.bindparam("ids", ids, expanding=True, literal_execute=True))
