"""Everything in memory, and bodies in temporary files: nothing survives the server."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path

from symbl_aio.server.conversations.conversation import Conversation, ConversationHead
from symbl_aio.server.job import Job
from symbl_aio.server.storage.changes import Change, ConversationDeleted, ConversationSaved
from symbl_aio.server.storage.store import ListQuery, Store, StoredState
from symbl_aio.server.thread_pool import run_in_thread


class MemoryStore:
    """The conversations by id, in order of creation. Other changes have no effect here.

    The objects that commit them keep jobs, records and tokens in memory anyway. No call
    suspends, so a commit is atomic for everything else on the event loop.
    """

    def __init__(self) -> None:
        self.loaded: dict[str, Conversation] = {}

    async def state(self) -> StoredState:
        return StoredState()

    async def commit(self, *changes: Change) -> None:
        self.post(*changes)

    def post(self, *changes: Change) -> None:
        for change in changes:
            if isinstance(change, ConversationSaved):
                self.loaded[change.after.id] = change.after
            elif isinstance(change, ConversationDeleted):
                del self.loaded[change.id]

    async def conversation(self, conversation_id: str) -> Conversation | None:
        return self.loaded.get(conversation_id)

    async def heads(self, query: ListQuery) -> AsyncIterator[Sequence[ConversationHead]]:
        found = [head for head in self.loaded.values() if is_selected(query, head)]
        found.sort(key=lambda head: head.started_at)
        if query.descending:
            found.reverse()
        yield page(query, found)

    async def finished_job(self, job_id: str) -> Job | None:
        return None

    async def expired(self, cutoff: float, conversation_id: str | None = None) -> list[str]:
        return []

    async def forget_jobs(self, cutoff: float) -> None:
        pass


class TemporaryStorage:
    """A temporary directory for bodies, below ``parent``, and stores in memory."""

    def __init__(self, parent: Path | str | None) -> None:
        self.survives = self.keeps_bodies = False
        self._parent = parent
        self._bodies: Path | None = None

    @property
    def bodies(self) -> Path:
        assert self._bodies is not None, "it is not open"
        return self._bodies

    def store(self, application: str) -> Store:
        return MemoryStore()

    async def applications(self) -> Collection[str]:
        return ()

    async def open(self) -> None:
        self._bodies = Path(tempfile.mkdtemp(prefix="symbl-aio-", dir=self._parent))

    def obstacle(self) -> str | None:
        return None

    async def aclose(self) -> None:
        if self._bodies is not None:
            await run_in_thread(shutil.rmtree, self._bodies, ignore_errors=True)


def is_selected(query: ListQuery, head: ConversationHead) -> bool:
    """Return whether a conversation is in the range of a query and matches it."""
    return (
        (query.start is None or query.start <= head.started_at)
        and (query.end is None or head.started_at <= query.end)
        and (query.matches is None or query.matches(head))
    )


def page(query: ListQuery, found: list[Conversation]) -> list[Conversation]:
    """Return the part of a list that a query wants."""
    end = None if query.limit is None else query.offset + query.limit
    return found[query.offset : end]
