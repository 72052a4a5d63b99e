"""Evidence that the server has a recording whose answer was lost. Sends reads alone.

A conversation that a recording opens has a name of its own, which no other submission has.
An appended recording adds messages to a conversation that only this ledger appends to.
Absence proves nothing: without evidence the recording stays ambiguous, for a person.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Final

from symbl_aio import NotFoundError, SymblClient
from symbl_aio.cli.upload.ledger import Item

_SKEW: Final = timedelta(days=1)
"""How far the clocks of the server and of this machine may be apart."""
_EARLIER: Final = 3 * _SKEW
"""Age of a submission whose conversation is there by now, or never will be."""
_HOUR: Final = 3600
_PAUSES: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Seconds between two looks; the last one repeats."""
_PAGE: Final = 1000


class Evidence:
    """Looks for evidence, at most ``patience`` seconds for each recording.

    About one that was sent days ago the server is asked once.
    """

    def __init__(self, client: SymblClient, patience: float) -> None:
        self._client = client
        self._patience = patience
        self._listing = asyncio.Lock()
        self._listed_at = -1.0
        self._since = math.inf
        self._hours: set[int] = set()
        self._names: dict[str, str] = {}

    async def conversation_of(self, item: Item) -> str | None:
        """Return the conversation that has the recording, or ``None`` without evidence.

        Raises ``SymblError`` when the server does not answer.
        """
        began = monotonic()
        for attempt in range(1_000_000):
            found = await self._find(item)
            if found is not None or _is_earlier(item):
                return found
            pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
            if monotonic() + pause > began + self._patience:
                break
            await asyncio.sleep(pause)
        return None

    async def processed(self, conversation: str) -> None:
        """Wait until a conversation has messages, at most ``patience`` seconds.

        For a job whose token is not known.
        """
        until = monotonic() + self._patience
        while not await self._client.conversation(conversation).messages():
            if monotonic() + _PAUSES[1] > until:
                return
            await asyncio.sleep(_PAUSES[1])

    async def _find(self, item: Item) -> str | None:
        if item.conversation is None:
            return await self._named(item)
        if item.messages is None:
            return None
        try:
            messages = await self._client.conversation(item.conversation).messages()
        except NotFoundError:
            return None
        return item.conversation if len(messages) > item.messages else None

    async def _named(self, item: Item) -> str | None:
        if _is_earlier(item):
            # Listed by itself: the newer ones would be read with it, and those that wait for
            # evidence of a moment ago would wait for ten thousand conversations of each day.
            hour = int(item.since) // _HOUR
            async with self._listing:
                if hour not in self._hours:
                    await self._list(hour * _HOUR, (hour + 1) * _HOUR)
                    self._hours.add(hour)
            return self._names.get(item.name)
        asked_at = monotonic()
        # Each listing begins with the oldest recording of all: it answers those that wait, too.
        self._since = min(self._since, item.since)
        async with self._listing:
            if self._listed_at < asked_at:
                began = monotonic()
                await self._list(self._since)
                self._listed_at = began
        return self._names.get(item.name)

    async def _list(self, since: float, until: float | None = None) -> None:
        listed = self._client.conversations(
            start_time=datetime.fromtimestamp(since, UTC) - _SKEW,
            end_time=None if until is None else datetime.fromtimestamp(until, UTC) + _SKEW,
            order="desc",
            page_size=_PAGE,
        )
        async with aclosing(listed):
            async for info in listed:
                if info.name:
                    self._names[info.name] = info.id


def _is_earlier(item: Item) -> bool:
    return time.time() - item.since > _EARLIER.total_seconds()
