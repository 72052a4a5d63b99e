"""The conversations of an application: create, find, change and delete them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from aiohttp import web

from symbl_aio.server.conversations.conversation import Conversation, ConversationHead
from symbl_aio.server.conversations.conversation_locks import ConversationLocks
from symbl_aio.server.http_json import ApiError, now
from symbl_aio.server.ids import random_id
from symbl_aio.server.storage.changes import Change, ConversationDeleted, ConversationSaved
from symbl_aio.server.storage.store import ListQuery, Store
from symbl_aio.server.thread_pool import ComputingThreads

UNKNOWN = "The conversation is unknown: its id is invalid or it was deleted."


class Conversations:
    """All conversations by id, in order of creation.

    The conversations that it returns are for reading. ``change()`` yields a copy to write to.
    What takes long to compute from them runs in ``threads``.
    """

    def __init__(self, store: Store) -> None:
        self.threads = ComputingThreads()
        # For a part of a list: one may have the members of many conversations.
        self.list_turns = asyncio.Semaphore(2)
        self._store = store
        self._locks = ConversationLocks()

    @property
    def by_id(self) -> Mapping[str, Conversation]:
        """The conversations in memory: all of them if the server keeps none on disk."""
        return self._store.loaded

    async def get(self, conversation_id: str) -> Conversation | None:
        """Return a conversation, or None."""
        return await self._store.conversation(conversation_id)

    async def require(self, conversation_id: str) -> Conversation:
        """Return a conversation. Raises a 404 ``ApiError``."""
        conversation = await self._store.conversation(conversation_id)
        if conversation is None:
            raise ApiError(404, UNKNOWN)
        return conversation

    async def from_request(self, request: web.Request) -> Conversation:
        """Return the conversation in the request's path. Raises a 404 ``ApiError``."""
        return await self.require(request.match_info["conversation_id"])

    async def analysed(self, request: web.Request) -> Conversation:
        """Return the conversation in the request's path, analysed. Raises a 404 ``ApiError``."""
        conversation = await self.from_request(request)
        await conversation.analyse(self.threads)
        return conversation

    def heads(self, query: ListQuery) -> AsyncIterator[Sequence[ConversationHead]]:
        """Yield the conversations that a query selects, as a list shows them, some at a time."""
        return self._store.heads(query)

    async def create(self, conversation: Conversation, *also: Change) -> None:
        """Store a new conversation, and other changes with it."""
        await self._store.commit(ConversationSaved(None, conversation), *also)

    def change(
        self, conversation_id: str, *also: Change
    ) -> AbstractAsyncContextManager[Conversation, None]:
        """Return a context with a copy to write to, which is stored at its end, and shown then.

        One change of a conversation at a time. ``also`` is committed with it. An exception in the
        block changes nothing. Raises a 404 ``ApiError`` if the conversation was deleted.
        """
        return _Change(self, conversation_id, also)

    async def commit(self, conversation_id: str, *changes: Change) -> None:
        """Commit changes that need the conversation. Raises a 404 ``ApiError`` without it."""
        async with self._locks[conversation_id]:
            await self.require(conversation_id)
            await self._store.commit(*changes)

    async def delete(self, conversation_id: str) -> None:
        """Delete a conversation with all its copies. Raises a 404 ``ApiError``."""
        await self.commit(conversation_id, ConversationDeleted(conversation_id))

    async def expire(self, conversation_id: str, cutoff: float) -> None:
        """Delete a conversation, unless it was changed since ``cutoff``."""
        async with self._locks[conversation_id]:
            if await self._store.expired(cutoff, conversation_id):
                await self._store.commit(ConversationDeleted(conversation_id))


class _Change:
    """The context of a change. A generator in its place takes twice as long."""

    def __init__(self, of: Conversations, conversation_id: str, also: Sequence[Change]) -> None:
        self._of = of
        self._id = conversation_id
        self._also = also

    async def __aenter__(self) -> Conversation:
        self._lock = self._of._locks[self._id]
        await self._lock.acquire()
        try:
            self._before = await self._of.require(self._id)
        except BaseException:
            self._lock.release()
            raise
        self._after = self._before.draft()
        return self._after

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                saved = ConversationSaved(self._before, self._after)
                await self._of._store.commit(saved, *self._also)
        finally:
            self._lock.release()


def new_conversation(name: str | None) -> Conversation:
    """Return a conversation with a new id, which is also its name if it has none."""
    conversation_id = random_id()
    return Conversation(conversation_id, name or conversation_id, now(), {})
