"""Evidence that the server has a recording whose answer was lost. Sends reads alone.

A conversation that a recording opens has a name of its own, which no other submission has.
An appended recording adds messages to a conversation that only this ledger appends to.
Absence proves nothing: without evidence the recording stays ambiguous, for a person.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Final

from symbl_aio import NotFoundError, SymblClient
from symbl_aio.cli.upload.ledger import Item

_SKEW: Final = timedelta(days=1)
"""How far the clocks of the server and of this machine may be apart."""
_PAUSES: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Seconds between two looks; the last one repeats."""
_PAGE: Final = 1000


class Evidence:
    """Looks for evidence, at most ``patience`` seconds for each recording."""

    def __init__(self, client: SymblClient, patience: float) -> None:
        self._client = client
        self._patience = patience
        self._listing = asyncio.Lock()
        self._listed_at = -1.0
        self._since = math.inf
        self._names: dict[str, str] = {}

    async def conversation_of(self, item: Item) -> str | None:
        """Return the conversation that has the recording, or ``None`` without evidence.

        Raises ``SymblError`` when the server does not answer.
        """
        began = monotonic()
        for attempt in range(1_000_000):
            found = await self._find(item)
            if found is not None:
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
        asked_at = monotonic()
        # Each listing begins with the oldest recording of all: it answers those that wait, too.
        self._since = min(self._since, item.since)
        async with self._listing:
            if self._listed_at < asked_at:
                await self._list()
        return self._names.get(item.name)

    async def _list(self) -> None:
        began = monotonic()
        oldest = datetime.fromtimestamp(self._since, UTC) - _SKEW
        listed = self._client.conversations(start_time=oldest, order="desc", page_size=_PAGE)
        async with aclosing(listed):
            async for info in listed:
                if info.name:
                    self._names[info.name] = info.id
        self._listed_at = began
