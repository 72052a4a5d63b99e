"""A store in a database: the rows of one application, and the conversations read last."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TypeVar

from symbl_aio.server.conversations.conversation import Conversation, ConversationHead
from symbl_aio.server.job import Job
from symbl_aio.server.storage.changes import Change, ConversationDeleted, ConversationSaved
from symbl_aio.server.storage.database import Database
from symbl_aio.server.storage.documents import StoredHead
from symbl_aio.server.storage.rows import Position, Rows
from symbl_aio.server.storage.store import ListQuery, Storage, StoredState
from symbl_aio.server.thread_pool import run_in_thread

logger = logging.getLogger("symbl_aio.server")

T = TypeVar("T")

# Of the conversations that stay in memory. They need about twenty times as many bytes.
_LOADED_SIZE = 512 * 1024
# A conversation without a word has a size, too.
_LEAST_SIZE = 1024
# Rows that a list reads at a time, so that no commit waits for a long one.
_CHUNK = 500


class SQLiteStore:
    """The state of one application, whose recordings are in ``storage``."""

    def __init__(self, database: Database, application: str, storage: Storage) -> None:
        self._database = database
        self._application = application
        self._storage = storage
        # Least recently used first.
        self.loaded: OrderedDict[str, Conversation] = OrderedDict()
        self._sizes: dict[str, int] = {}

    async def state(self) -> StoredState:
        return await self._read(Rows.state)

    async def commit(self, *changes: Change) -> None:
        written = self._write(changes)
        try:
            names = await asyncio.shield(written)
        except asyncio.CancelledError:
            # A lock of the caller must not be released before the change is shown.
            await asyncio.wait([written])
            raise
        if names:
            await self._remove_bodies(names)

    def post(self, *changes: Change) -> None:
        self._write(changes).add_done_callback(_log_failure)

    async def conversation(self, conversation_id: str) -> Conversation | None:
        found = self.loaded.get(conversation_id)
        if found is not None:
            self.loaded.move_to_end(conversation_id)
            return found
        if not conversation_id.isascii():
            return None  # SQLite takes no lone surrogate
        return await self._read(
            lambda rows: rows.conversation(conversation_id), then=self._keep_loaded
        )

    async def heads(self, query: ListQuery) -> AsyncIterator[Sequence[ConversationHead]]:
        matches, position = query.matches, None
        # Without a filter the database skips; with one, each head has to be seen.
        skip, drop = (query.offset, 0) if matches is None else (0, query.offset)
        left = sys.maxsize if query.limit is None else query.limit
        while left:
            count = _CHUNK if matches else min(_CHUNK, left)
            heads, position = await self._read(partial(_read_heads, query, position, skip, count))
            matching = [head for head in heads if matches is None or matches(head)]
            found = matching[drop:][:left]
            drop, left, skip = max(0, drop - len(matching)), left - len(found), 0
            yield found
            if position is None:
                break

    async def finished_job(self, job_id: str) -> Job | None:
        if not job_id.isascii():
            return None
        return await self._read(lambda rows: rows.finished_job(job_id))

    async def expired(self, cutoff: float, conversation_id: str | None = None) -> list[str]:
        return await self._read(lambda rows: rows.expired(cutoff, conversation_id))

    async def forget_jobs(self, cutoff: float) -> None:
        while True:
            found, names = await self._read(lambda rows: rows.forget_jobs(cutoff))
            await self._remove_bodies(names)
            if not found:
                return

    def _rows(self, connection: sqlite3.Connection) -> Rows:
        storage = self._storage
        return Rows(connection, self._application, storage.bodies, storage.keeps_bodies)

    def _read(
        self, call: Callable[[Rows], T], then: Callable[[T], None] | None = None
    ) -> asyncio.Future[T]:
        return self._database.submit(lambda connection: call(self._rows(connection)), then=then)

    def _write(self, changes: Sequence[Change]) -> asyncio.Future[list[str]]:
        def write(connection: sqlite3.Connection) -> list[str]:
            rows = self._rows(connection)
            return [name for change in changes for name in rows.write(change)]

        def show(_: list[str]) -> None:
            for change in changes:
                if isinstance(change, ConversationSaved):
                    self._unload(change.after.id)
                    self._keep_loaded(change.after)
                elif isinstance(change, ConversationDeleted):
                    self._unload(change.id)

        erases = any(isinstance(change, ConversationDeleted) for change in changes)
        return self._database.submit(write, then=show, erases=erases)

    def _keep_loaded(self, conversation: Conversation | None) -> None:
        """Keep a conversation in memory, and drop those that were not used for longest."""
        # One that is there already is as new: commits and reads are shown in their order.
        if conversation is None or conversation.id in self.loaded:
            return
        self.loaded[conversation.id] = conversation
        self._sizes[conversation.id] = max(conversation.size, _LEAST_SIZE)
        while len(self.loaded) > 1 and sum(self._sizes.values()) > _LOADED_SIZE:
            self._unload(next(iter(self.loaded)))

    def _unload(self, conversation_id: str) -> None:
        if self.loaded.pop(conversation_id, None) is not None:
            del self._sizes[conversation_id]

    async def _remove_bodies(self, names: Sequence[str]) -> None:
        # After the commit: a crash in between leaves a file that the next start removes.
        for name in names:
            await run_in_thread((self._storage.bodies / name).unlink, missing_ok=True)


def _read_heads(
    query: ListQuery, after: Position | None, skip: int, count: int, rows: Rows
) -> tuple[list[StoredHead], Position | None]:
    return rows.heads(query, after, skip, count)


def _log_failure(written: asyncio.Future[list[str]]) -> None:
    if not written.cancelled() and (error := written.exception()) is not None:
        logger.error("a change could not be stored: %s", error)
