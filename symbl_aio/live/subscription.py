"""A subscription: the events of a stream or a call, without audio of one's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from symbl_aio._io.live_backend import LiveBackend
from symbl_aio._protocol import live
from symbl_aio.live.events import LiveEvent
from symbl_aio.live.handle import LiveHandle

__all__ = ["Subscription"]

_WINDOW: Final = 30.0
"""Seconds in which a lost connection is replaced."""


class Subscription(LiveHandle):
    """The events of one stream, from now on, until its conversation is completed.

    ``client.subscribe(id)`` and ``call.events()`` make one::

        async with symbl.subscribe(id) as events:
            async for event in events:
                ...

    A lost connection is replaced within 30 seconds, and a ``Gap`` states that events may be
    missing; none is sent twice. The Conversation API has what they were about.
    """

    def __init__(self, backend: LiveBackend, id: str, *, path: str | None = None) -> None:
        super().__init__(backend, live.subscription(id) if path is None else path, _WINDOW)
        self.id = id

    def __repr__(self) -> str:
        return f"<Subscription of {self.id}>"

    def __aiter__(self) -> AsyncIterator[LiveEvent]:
        # ``async for event in symbl.subscribe(id)`` is short, and opens a block of its own.
        return self._alone() if self._link is None else self

    async def _alone(self) -> AsyncIterator[LiveEvent]:
        async with self:
            async for event in self:
                yield event
