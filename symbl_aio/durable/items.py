"""What waits in the outbox, and how far it has come."""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, Literal, TypeAlias

from attrs import frozen

from symbl_aio.models.base import Model


class ItemState(Enum):
    """How far an item has come. All but the first two are endings; a person may undo some."""

    QUEUED = "queued"
    """Waits for its turn, or is on its way; whatever happens, nothing is lost."""
    ACCEPTED = "accepted"
    """The server has it, and its job runs."""
    COMPLETED = "completed"
    FAILED = "failed"
    """The server took it, and its job failed."""
    LOST = "lost"
    """The server took it, and does not know the job any more."""
    REFUSED = "refused"
    """The server, or the client before it, said no; nothing was accepted."""
    AMBIGUOUS = "ambiguous"
    """It was sent whole, and nobody knows whether it was accepted: ``Outbox.resolve``."""
    BLOCKED = "blocked"
    """Nothing was sent, for an earlier item of the conversation is ambiguous, or none opened it."""
    DISCARDED = "discarded"
    """Somebody took it back (``Outbox.discard``); it is not sent any more."""

    @property
    def is_ending(self) -> bool:
        """Whether nothing more happens by itself."""
        return self not in (ItemState.QUEUED, ItemState.ACCEPTED)


@frozen(order=True)
class Turn:
    """One attempt of an item: from its slot to its end, or until it is queued again."""

    key: str
    attempt: int

    @property
    def id(self) -> str:
        """The engine's name for it."""
        return f"{self.key}#{self.attempt}"

    @classmethod
    def of(cls, id: str) -> Turn:
        """Parse an ``id``."""
        key, _, attempt = id.rpartition("#")
        return cls(key, int(attempt))


@frozen
class _Item(Model):
    """One submission in the outbox. Times are by the database's clock."""

    key: str
    """The submission's own name."""
    conversation: str
    """Key of the item that opens the conversation, or the conversation's id."""
    number: int
    """Place in its conversation, from 1."""
    state: ItemState
    """How far it has come."""
    sending: bool
    """Whether the server may have it, and no answer is known yet."""
    conversation_id: str | None
    """The conversation's id, once known."""
    job_id: str | None
    """The job's id, once accepted."""
    error: str | None
    """Why it ended as it did, in words; else ``None``."""
    queued_at: float
    """When it was handed in, Unix time in seconds."""
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
    """Completed, and nothing else."""
    conversation_id: str
    """The conversation's id."""
    error: None
    """``None``: nothing went wrong."""

    ok: ClassVar[Literal[True]] = True


@frozen
class UncompletedItem(_Item):
    """A submission of the outbox that waits, is on its way, or ended in any other state."""

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
    """How far it has come."""

    ok: ClassVar[Literal[False]] = False


Item: TypeAlias = CompletedItem | UncompletedItem
"""One submission in the outbox.

``ok``: its job completed. Type checkers know that ``conversation_id`` is there after
``item.state is ItemState.COMPLETED``, ``isinstance`` and ``match``; mypy after ``if item.ok``
as well, pyright after ``if item.ok is True``.
``conversation``: the key of the item that opens it, or the conversation's id.
``number``: its place there, from 1. ``sending``: its last byte was, or may have been,
handed over, and no answer is known yet. Times are seconds of the database's clock.
``error``: why it ended as it did, in words.
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
