"""Items of an outbox: states, attempts, filters, and the checks of keys and names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from enum import Enum
from typing import ClassVar, Final, Literal, TypeAlias, TypeGuard

from attrs import field, frozen

from symbl_aio import ConfigurationError
from symbl_aio._fields import as_tuple, check, is_word
from symbl_aio.models.base import Model


class ItemState(Enum):
    """State of an item. All but the first two are final; an operator may undo some."""

    QUEUED = "queued"
    """Waits for a slot, or is being sent."""
    ACCEPTED = "accepted"
    """The server accepted it, and its job runs."""
    COMPLETED = "completed"
    FAILED = "failed"
    """The server accepted it, and its job failed."""
    LOST = "lost"
    """The server accepted it, and does not know the job any more."""
    REFUSED = "refused"
    """The server, or the client before it, rejected it; nothing was accepted."""
    AMBIGUOUS = "ambiguous"
    """It was sent whole, and it is unknown whether it was accepted: ``Outbox.resolve``."""
    BLOCKED = "blocked"
    """Nothing was sent: an earlier item of the conversation is ambiguous, or none opened it."""
    DISCARDED = "discarded"
    """An operator discarded it (``Outbox.discard``); it is not sent any more."""

    @property
    def is_ending(self) -> bool:
        """Whether the state is final: nothing more happens by itself."""
        return self not in (ItemState.QUEUED, ItemState.ACCEPTED)


@frozen(order=True)
class Attempt:
    """One attempt of an item: from its slot to its end, or until it is queued again."""

    key: str
    """Key of the item."""
    number: int
    """From 1."""

    SEPARATOR: ClassVar = "#"
    """Between the key and the number in an ``id``."""

    @property
    def id(self) -> str:
        """Id of its workflow in DBOS."""
        return f"{self.key}{self.SEPARATOR}{self.number}"

    @classmethod
    def parse(cls, id: str) -> Attempt:
        """Parse an ``id``."""
        key, _, number = id.rpartition(cls.SEPARATOR)
        return cls(key, int(number))


@frozen
class _Item(Model):
    """One submission in the outbox. Times are by the database's clock."""

    key: str
    """The submission's own key."""
    conversation: str
    """Key of the item that opens the conversation, or the conversation's id."""
    number: int
    """Place in its conversation, from 1."""
    state: ItemState
    """Its state."""
    sending: bool
    """Whether the server may have received it, and no answer is known yet."""
    conversation_id: str | None
    """The conversation's id, once known."""
    job_id: str | None
    """The job's id, once accepted."""
    error: str | None
    """Why it ended so, as text; else ``None``."""
    queued_at: float
    """When it was submitted to the outbox, Unix time in seconds."""
    accepted_at: float | None
    """When the server accepted it, Unix time in seconds."""
    ended_at: float | None
    """When it ended, Unix time in seconds."""
    source: str | None
    """Name of its file, or host and last part of its link; ``None`` for a text."""


@frozen
class CompletedItem(_Item):
    """A submission of the outbox whose job completed."""

    state: Literal[ItemState.COMPLETED]
    """Always ``ItemState.COMPLETED``."""
    conversation_id: str
    """The conversation's id."""
    error: None
    """``None``: it has not failed."""

    ok: ClassVar[Literal[True]] = True


@frozen
class UncompletedItem(_Item):
    """A submission of the outbox that waits, is being sent, or ended in any other state."""

    state: Literal[
        ItemState.QUEUED,
        ItemState.ACCEPTED,
        ItemState.FAILED,
        ItemState.LOST,
        ItemState.REFUSED,
        ItemState.AMBIGUOUS,
        ItemState.BLOCKED,
        ItemState.DISCARDED,
    ]
    """Its state."""

    ok: ClassVar[Literal[False]] = False


Item: TypeAlias = CompletedItem | UncompletedItem
"""One submission in the outbox.

``ok``: its job completed. Type checkers know that ``conversation_id`` is there after
``item.state is ItemState.COMPLETED``, ``isinstance`` and ``match``; mypy after ``if item.ok``
as well, pyright after ``if item.ok is True``.
``conversation``: the key of the item that opens it, or the conversation's id.
``number``: its place there, from 1. ``sending``: its last byte was, or may have been,
sent, and no answer is known yet. Times are seconds of the database's clock.
``error``: why it ended so, as text.
"""


@frozen
class ItemEvent(Model):
    """An item reached a state."""

    key: str
    """The item's key."""
    state: ItemState
    """The state that it reached."""
    at: float
    """When, Unix time in seconds of the database's clock."""


# Filters


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

    For ``resolve``, ``retry`` and ``discard``; without ``state`` each of them takes its usual
    states, which it documents.
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
    """Minimum seconds since the item's end, or since its submission while it has not ended."""
    newer_than: float | None = field(default=None, validator=_an_age)
    """Maximum of the same."""


Which: TypeAlias = list[str] | tuple[str, ...] | Set[str] | ItemFilter
"""Several items: by their keys, or by a filter. Not any iterable of strings, since one key is a
string, and so an iterable of strings itself."""


@frozen
class Decided:
    """Result of a decision about several items: the changes made, or those of a dry run."""

    items: tuple[Item, ...]
    """The items that it changed, as they are now, or would be; without those that it resumed."""
    resumed: int
    """Number of other items that were blocked, and are queued again."""
    refused: Mapping[str, str]
    """Why an item was not changed, by its key."""
    dry_run: bool
    """Whether nothing was changed at all."""


# Keys, conversations, priorities

_MAX_NAME_LENGTH: Final = 200
MAX_PRIORITY: Final = 1000
"""The minimum is its negative."""


def check_conversation(conversation: object) -> str:
    """Return the conversation's name, or raise ``ConfigurationError`` if it is none."""
    if not _is_name(conversation):
        raise ConfigurationError(
            f"conversation is {conversation!r}; give the key of the item that opens it, "
            "or the conversation's id"
        )
    return conversation


def check_key(key: object) -> str:
    """Return the key, or raise ``ConfigurationError`` if it cannot be one."""
    if not _is_name(key):
        raise ConfigurationError(
            f"key is {key!r}; give a non-empty string of at most {_MAX_NAME_LENGTH} "
            "characters, none of them a control character or line break"
        )
    return key


def check_priority(priority: object) -> int:
    """Return the priority, or raise ``ConfigurationError`` if it is out of range."""
    if type(priority) is not int or abs(priority) > MAX_PRIORITY:
        raise ConfigurationError(
            f"priority is {priority!r}; give a whole number from -{MAX_PRIORITY} "
            f"to {MAX_PRIORITY}, the higher the sooner"
        )
    return priority


def unknown_key(key: str) -> str:
    """Return the error message for a key that no item has."""
    return f"no item has the key {key!r}"


def _is_name(given: object) -> TypeGuard[str]:
    return is_word(given) and len(given) <= _MAX_NAME_LENGTH
