"""The common part of streams and subscriptions: opened, read and closed as one block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import NoReturn, Self

import symbl_aio  # for annotations alone: their names are imported when evaluated
from symbl_aio._error_classes import ConfigurationError, SymblError
from symbl_aio._io.live_backend import LiveBackend
from symbl_aio._io.live_link import Link, Port
from symbl_aio._shared_futures import check_loop
from symbl_aio.errors import ClientClosedError
from symbl_aio.live.event_buffer import EventBuffer
from symbl_aio.live.events import Gap, LiveEvent, StateEvent


class LiveHandle:
    """Base of ``Stream`` and ``Subscription``: ``async with``, and ``async for`` inside of it.

    One task reads the events, and keeps up to ``MAX_EVENTS`` of them; older ones are dropped
    and counted by a ``Missed``. Leaving the block closes the connection, also when it is
    cancelled; no task and no socket is left.
    """

    def __init__(self, backend: LiveBackend, path: str, window: float) -> None:
        self._backend = backend
        self._path = path
        self._window = window
        self._link: Link | None = None
        self._events = EventBuffer()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be pickled or copied")

    @property
    def conversation(self) -> symbl_aio.Conversation:
        """The conversation. Raises ``ConfigurationError`` before the server has named it."""
        found = None if self._link is None else self._link.states.conversation_id
        if found is None:
            raise ConfigurationError(
                "the server has not named the conversation yet; open the block with async with, "
                "and wait for the first event of a subscription"
            )
        return self._backend.conversation(found)

    async def __aenter__(self) -> Self:
        if self._link is not None:
            raise ConfigurationError("it was opened already; make one for each block")
        self._backend.check_open()
        # Before the link, which would try again what has failed after all of its retries.
        await self._backend.ready()
        link = self._link = Link(self._backend, self._path, self._window, self._port())
        link.start()
        try:
            # Not ``listening``: the whole conversation may have come and gone by now.
            await link.until(lambda: link.has_listened)
        except BaseException:
            await link.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._opened().aclose()

    def __aiter__(self) -> AsyncIterator[LiveEvent]:
        self._opened()
        return self

    async def __anext__(self) -> LiveEvent:
        link = self._opened()
        try:
            return await self._events.next()
        except SymblError:
            link.is_error_known = True
            raise

    def _opened(self) -> Link:
        """Return the link. Raises outside of the block, and on another event loop."""
        if self._link is None:
            raise ClientClosedError("it is not open; use it in `async with`")
        check_loop(self._backend.tasks.loop)
        return self._link

    def _port(self) -> Port:
        return Port(self._hello, self._on_event, self._on_gap, self._events.end)

    def _hello(self) -> str | None:
        return None

    def _on_event(self, event: LiveEvent) -> None:
        self._events.put(event)
        if isinstance(event, StateEvent) and event.state == "conversation_completed":
            self._events.end()

    def _on_gap(self, seconds: float, position: int, bytes_lost: int) -> None:
        self._events.put(Gap(seconds=seconds, bytes_lost=bytes_lost, position=position))
