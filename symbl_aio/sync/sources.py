"""Sources of ``map`` that the caller's own thread reads, for an iteration in another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

from symbl_aio.sync.portal import SLICE

S = TypeVar("S")

_END: Final = object()


class Sources(Generic[S]):
    """An async iterable over ``sources``, which the thread that calls ``wait`` reads.

    So a cursor of a database stays in its thread, a source may call the client, and one that
    blocks keeps no other thread waiting, and ends at Ctrl-C.
    """

    def __init__(self, sources: Iterable[S]) -> None:
        self._sources = sources
        self._iterator: Iterator[S] | None = None
        # A request for the next source; ``None`` after the end of a step of the iteration.
        self._requests: SimpleQueue[Future[S | object] | None] = SimpleQueue()

    async def __aiter__(self) -> AsyncIterator[S]:
        while True:
            request: Future[S | object] = Future()
            self._requests.put(request)
            source = await asyncio.wrap_future(request)
            if source is _END:
                return
            yield source  # type: ignore[misc]  # no type checker knows the sentinel

    def wait(self, step: Future[Any]) -> None:
        """Wait until ``step`` has ended, and read the sources that are requested until then."""
        step.add_done_callback(lambda _: self._requests.put(None))
        while (request := self._next_request()) is not None:
            if request.set_running_or_notify_cancel():
                self._read(request)

    def _next_request(self) -> Future[S | object] | None:
        while True:
            with suppress(Empty):
                return self._requests.get(timeout=SLICE)

    def _read(self, request: Future[S | object]) -> None:
        try:
            if self._iterator is None:
                self._iterator = iter(self._sources)
            request.set_result(next(self._iterator, _END))
        except Exception as error:
            request.set_exception(error)
