"""What waits in the outbox, and how far it has come."""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, Literal, TypeAlias

from attrs import frozen


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


@frozen
class CompletedItem:
    """A submission of the outbox whose job completed. The fields are those of ``Item``."""

    key: str
    conversation: str
    number: int
    state: Literal[ItemState.COMPLETED]
    sending: Literal[False]
    conversation_id: str
    job_id: str | None
    error: None
    queued_at: float
    accepted_at: float | None
    ended_at: float | None

    ok: ClassVar[Literal[True]] = True


@frozen
class UncompletedItem:
    """A submission of the outbox that waits, is on its way, or ended in any other state.

    The fields are those of ``Item``.
    """

    key: str
    conversation: str
    number: int
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
    sending: bool
    conversation_id: str | None
    job_id: str | None
    error: str | None
    queued_at: float
    accepted_at: float | None
    ended_at: float | None

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
class ItemEvent:
    """An item reached a state. ``at``: seconds of the database's clock."""

    key: str
    state: ItemState
    at: float
