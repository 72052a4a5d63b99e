"""The interface of a store, and the values that it returns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from attrs import field, frozen

from symbl_aio.server.conversations.conversation import Conversation, ConversationHead
from symbl_aio.server.http_json import JSON
from symbl_aio.server.job import Job, Status
from symbl_aio.server.storage.changes import Change


class StorageError(Exception):
    """The disk is full, or failed: the change was not committed. The message has the reason."""


@frozen
class ListQuery:
    """Which conversations a list contains: those that ``start`` from ... to ... and match.

    The order is that of their start, or of their creation where two are equal; ``descending`` is
    the reverse of it.
    """

    start: datetime | None = None
    end: datetime | None = None
    matches: Callable[[ConversationHead], bool] | None = None
    descending: bool = False
    offset: int = 0
    limit: int | None = None


@frozen
class StoredState:
    """The state that a server continues with, of one application.

    ``jobs``: unfinished ones, in order of acceptance. ``webhooks``: jobs with the statuses that
    their webhooks were not called for. ``records``: by kind, then by id, in order of creation.
    ``access_tokens``: expiry by SHA-256, in seconds. ``refresh_tokens``: SHA-256.
    """

    jobs: Sequence[Job] = ()
    webhooks: Sequence[tuple[Job, Sequence[Status]]] = ()
    records: Mapping[str, Mapping[str, dict[str, JSON]]] = field(factory=dict)
    access_tokens: Mapping[bytes, float] = field(factory=dict)
    refresh_tokens: frozenset[bytes] = frozenset()
    page_key: bytes | None = None


class Store(Protocol):
    """The state of one application of the server.

    Each call raises ``StorageError`` if the disk is full or fails.
    """

    @property
    def loaded(self) -> Mapping[str, Conversation]:
        """The conversations in memory, by id."""
        ...

    async def state(self) -> StoredState:
        """Return the state of the last server on this store."""
        ...

    async def commit(self, *changes: Change) -> None:
        """Commit all changes, or none: they survive a crash once this returns.

        Cancelling the wait does not cancel the commit.
        """
        ...

    def post(self, *changes: Change) -> None:
        """Commit changes without a wait, after those before; a failure is logged."""
        ...

    async def conversation(self, conversation_id: str) -> Conversation | None:
        """Return a conversation, from memory or loaded."""
        ...

    def heads(self, query: ListQuery) -> AsyncIterator[Sequence[ConversationHead]]:
        """Yield the heads of the conversations that a query selects, some at a time."""
        ...

    async def finished_job(self, job_id: str) -> Job | None:
        """Return a finished job, or None for an unknown or unfinished one."""
        ...

    async def expired(self, cutoff: float, conversation_id: str | None = None) -> list[str]:
        """Return ids of conversations that were not changed since ``cutoff``, at most 100.

        They have no unfinished job. ``conversation_id``: of this one only. ``cutoff`` is in
        seconds since 1970.
        """
        ...

    async def forget_jobs(self, cutoff: float) -> None:
        """Forget jobs that ended before ``cutoff``: their recordings, where they were kept.

        A job whose conversation was deleted is forgotten whole.
        """
        ...


class Storage(Protocol):
    """Where a server keeps its state, and the bodies of its unfinished jobs."""

    @property
    def bodies(self) -> Path:
        """The directory of the bodies, once it is open."""
        ...

    @property
    def survives(self) -> bool:
        """Whether the next server continues with the state of this one."""
        ...

    @property
    def keeps_bodies(self) -> bool:
        """Whether recordings outlive their jobs."""
        ...

    def store(self, application: str) -> Store:
        """Return the store of an application. It can be used while this is open."""
        ...

    async def applications(self) -> Collection[str]:
        """Return the applications of which conversations or jobs are stored."""
        ...

    async def open(self) -> None:
        """Open it. Raises OSError or ``StorageError``."""
        ...

    def obstacle(self) -> str | None:
        """Return why nothing can be stored now, or None."""
        ...

    async def aclose(self) -> None:
        """Close it, after all changes were committed. Closing twice is safe."""
        ...
