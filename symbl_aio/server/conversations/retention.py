"""Deletion of old conversations and recordings, once an hour."""

from __future__ import annotations

import asyncio
import logging
import time

from symbl_aio.server.background_tasks import BackgroundTasks
from symbl_aio.server.conversations.registry import Conversations
from symbl_aio.server.storage.store import StorageError, Store

logger = logging.getLogger("symbl_aio.server")

_DAY = 86400.0
_PAUSE = 3600.0
# A clock that goes forward by more, beside the time that passes, may be wrong.
_MOST_JUMP = 600.0
# The job of a deleted conversation can be asked for until then.
_JOB_DAYS = 30.0


class Retention:
    """Deletes conversations that were not changed for ``days``, and recordings of that age.

    None deletes no conversation.
    """

    def __init__(self, conversations: Conversations, store: Store, days: float | None) -> None:
        self._conversations = conversations
        self._store = store
        self._days = days
        self._tasks = BackgroundTasks()

    def start(self) -> None:
        """Sweep now and every hour, until ``aclose()``, but not after a jump of the clock."""
        self._tasks.spawn(self._sweep_for_ever(), name="retention")

    async def aclose(self) -> None:
        """Stop. Closing twice is safe."""
        await self._tasks.aclose()

    async def sweep(self, now: float) -> None:
        """Delete everything that is older than its time at ``now`` (seconds since 1970)."""
        if self._days is not None:
            cutoff = now - self._days * _DAY
            while ids := await self._store.expired(cutoff):
                for conversation_id in ids:
                    await self._conversations.expire(conversation_id, cutoff)
                logger.info("deleted %d conversations after %g days", len(ids), self._days)
        days = _JOB_DAYS if self._days is None else self._days
        await self._store.forget_jobs(now - days * _DAY)

    async def _sweep_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        difference = time.time() - loop.time()
        while True:
            before, difference = difference, time.time() - loop.time()
            if (jump := difference - before) > _MOST_JUMP:
                # A deletion cannot be undone when the clock is put right.
                logger.warning("the clock went forward by %d s: nothing is deleted now", jump)
            else:
                try:
                    await self.sweep(time.time())
                except StorageError as error:
                    logger.error("old conversations could not be deleted: %s", error)
            await asyncio.sleep(_PAUSE)
