"""Which items a decision is about, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import TypeAlias

import sqlalchemy as sa
from attrs import field, frozen

from symbl_aio._fields import as_tuple, check, is_word
from symbl_aio.durable._database.database import Database
from symbl_aio.durable.items import Item, ItemState


def _as_states(
    value: ItemState | Iterable[ItemState] | None,
) -> tuple[ItemState, ...] | None:
    return (value,) if isinstance(value, ItemState) else as_tuple(value)


def _are_states(value: object) -> bool:
    return value is None or (
        isinstance(value, tuple)
        and bool(value)
        and all(isinstance(state, ItemState) for state in value)
    )


def _is_age(value: object) -> bool:
    return value is None or (
        isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    )


_an_age = check(_is_age, "seconds, 0 or more")


@frozen
class ItemFilter:
    """The items that meet every condition that is given; without any, all of them.

    Of ``resolve``, ``retry`` and ``discard``; a ``state`` that is left out means the usual
    ones of the decision, which each of them names.
    """

    state: tuple[ItemState, ...] | None = field(
        default=None,
        converter=_as_states,
        validator=check(_are_states, "an ItemState, or several of them"),
    )
    """An ``ItemState``, or several."""
    conversation: str | None = field(
        default=None,
        validator=check(
            lambda value: value is None or is_word(value),
            "the key of the item that opens it, or the conversation's id",
        ),
    )
    """Key of the item that opens the conversation, or the conversation's id."""
    older_than: float | None = field(default=None, validator=_an_age)
    """Seconds since the item's end, or since its handing in while it has not ended, at least."""
    newer_than: float | None = field(default=None, validator=_an_age)
    """The same, at most."""


Which: TypeAlias = list[str] | tuple[str, ...] | Set[str] | ItemFilter
"""Several items: by their keys, or by what they have in common. Not any iterable of strings,
since a string, which is one key, is one, too."""


@frozen
class Decided:
    """What a decision about several items changed, or, of a dry run, would change."""

    items: tuple[Item, ...]
    """The items that it is about, as they are now, or would be; without what they resume."""
    resumed: int
    """Number of other items that were blocked, and are queued again."""
    refused: Mapping[str, str]
    """Why nothing was changed about an item, by its key."""
    dry_run: bool
    """Whether nothing was changed at all."""


def condition(database: Database, which: ItemFilter) -> sa.ColumnElement[bool]:
    """Return a filter as a condition on the rows of items."""
    table, conversations = database.items, database.conversations
    conditions = [table.c.queue == database.queue_name]
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
