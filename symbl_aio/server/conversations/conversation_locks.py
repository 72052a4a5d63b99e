"""Locks of conversations, by their ids: one for each that is changed now, and none for others."""

from __future__ import annotations

import asyncio
from typing import Literal


class ConversationLocks(dict[str, "ConversationLock"]):
    """``async with locks[conversation_id]`` is a turn to change it. Ask for the lock each time."""

    def __missing__(self, conversation_id: str) -> ConversationLock:
        lock = self[conversation_id] = ConversationLock(self, conversation_id)
        return lock


class ConversationLock(asyncio.Lock):
    """Turns of one conversation, in the order of the calls. The last one takes it off ``locks``."""

    def __init__(self, locks: ConversationLocks, conversation_id: str) -> None:
        super().__init__()
        self._locks = locks
        self._id = conversation_id
        self._users = 0  # the tasks that hold it or wait for it

    async def acquire(self) -> Literal[True]:
        """Wait until no other task changes the conversation."""
        self._users += 1
        try:
            return await super().acquire()
        except BaseException:
            self._leave()
            raise

    def release(self) -> None:
        """End the turn; the next task that waits has its own."""
        super().release()
        self._leave()

    def _leave(self) -> None:
        self._users -= 1
        if not self._users:
            del self._locks[self._id]
