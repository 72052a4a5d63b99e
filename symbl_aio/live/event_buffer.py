"""Events that wait for their reader, with a bound on their memory."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from symbl_aio._error_classes import SymblError
from symbl_aio.live.events import Gap, LiveEvent, Missed, Recognition

MAX_EVENTS: Final = 1000
"""Events that wait at most. The server's largest frame bounds the size of each."""


_BEHIND: Final = 100
"""Events after which the reader counts as slow."""


class EventBuffer:
    """A queue of events. Above ``MAX_EVENTS`` the oldest are dropped, and ``Missed`` counts them.

    A ``Gap`` goes last: the Conversation API has the other events, and no lost audio.
    The connection is read all the same: it carries the answers to ``stop`` and to pings, so a
    reader that is slow, or is not there, must not block it.
    """

    def __init__(self) -> None:
        self._events: deque[LiveEvent] = deque()
        self._missed = 0
        self._wake = asyncio.Event()
        self._ended = False
        self._error: SymblError | None = None

    def put(self, event: LiveEvent) -> None:
        """Append an event. With many before it, a recognition replaces one that was not final."""
        waiting = self._events
        if len(waiting) > _BEHIND and isinstance(event, Recognition):
            match waiting[-1]:
                case Recognition(is_final=False, speaker=event.speaker):
                    waiting.pop()
        if len(waiting) >= MAX_EVENTS:
            oldest = next((i for i, one in enumerate(waiting) if not isinstance(one, Gap)), 0)
            del waiting[oldest]
            self._missed += 1
        waiting.append(event)
        self._wake.set()

    def end(self, error: SymblError | None = None) -> None:
        """End the iteration after the events that wait, with ``error`` if there is one."""
        self._ended, self._error = True, error
        self._wake.set()

    def reopen(self) -> None:
        """Accept events again, after an end without an error."""
        self._ended = False

    async def next(self) -> LiveEvent:
        """Return the next event. Raises the error of the end, or ``StopAsyncIteration``.

        Cancelling it loses no event.
        """
        while not self._events:
            if self._ended:
                if self._error is not None:
                    # Without the frames of an earlier reader.
                    raise self._error.with_traceback(None)
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        if self._missed:
            # First, since they are older than all that wait, but for a gap.
            missed, self._missed = Missed(events=self._missed), 0
            return missed
        return self._events.popleft()
