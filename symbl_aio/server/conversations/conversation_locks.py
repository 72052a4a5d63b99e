"""Locks of conversations, by their ids: one for each that is changed now, and none for others."""

from __future__ import annotations

import asyncio


class _Lock(asyncio.Lock):
    """``users``: the tasks that hold it or wait for it."""

    users = 0


class ConversationLocks:
    """Turns to change a conversation: one task at a time, in the order of their calls."""

    def __init__(self) -> None:
        self._locks: dict[str, _Lock] = {}

    def __len__(self) -> int:
        return len(self._locks)

    async def acquire(self, conversation_id: str) -> None:
        """Wait until no other task changes the conversation; ``release()`` ends the turn."""
        lock = self._locks.get(conversation_id)
        if lock is None:
            lock = self._locks[conversation_id] = _Lock()
        lock.users += 1
        try:
            await lock.acquire()
        except BaseException:
            self._leave(conversation_id, lock)
            raise

    def release(self, conversation_id: str) -> None:
        """End the turn; the next task that waits has its own."""
        lock = self._locks[conversation_id]
        lock.release()
        self._leave(conversation_id, lock)

    def _leave(self, conversation_id: str, lock: _Lock) -> None:
        lock.users -= 1
        if not lock.users:
            del self._locks[conversation_id]
