"""Futures with many waiters, each bound to its own event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import TypeVar

from symbl_aio._error_classes import ConfigurationError, SymblError

T = TypeVar("T")

_LOG = logging.getLogger("symbl_aio")


def check_loop(loop: asyncio.AbstractEventLoop, what: str = "client") -> None:
    """Raise ``ConfigurationError`` unless ``loop``, on which ``what`` was started, runs here.

    Elsewhere nothing may be touched: a future of that loop would not wake its waiter.
    """
    try:
        is_here = asyncio.get_running_loop() is loop
    except RuntimeError:
        is_here = False
    if not is_here:
        raise ConfigurationError(
            f"the {what} was started on another event loop, or this is another thread; "
            "call it from the loop that started it (asyncio.run_coroutine_threadsafe)"
        )


async def result_of(shared: asyncio.Future[T]) -> T:
    """Return the result of a shared future. Cancelling this wait does not cancel the future.

    The result of a done future is read on any loop; else raises ``ConfigurationError`` on
    another loop than the future's.

    Not ``asyncio.shield``: from Python 3.14 on, once a waiter was cancelled, that logs the
    future's later exception as an error, though other waiters handle it.
    """
    if not shared.done():
        check_loop(shared.get_loop())
        await asyncio.wait([shared])
    return shared.result()


class Shared(asyncio.Future[T]):
    """The outcome of a piece of work, for any number of waiters.

    A failure that was not retrieved when the future is collected is logged, once, with the
    name of the work, instead of asyncio's own line, which has no name.
    """

    __slots__ = ("_unretrieved",)
    _unretrieved: str | None

    def fail(self, error: BaseException, work: str, *, expected: bool) -> None:
        """Set the error; ``expected``: it is not logged."""
        self.set_exception(error)
        super().exception()  # marks it as retrieved for asyncio
        if not expected:
            # Of a foreign error only its type: its message may hold a secret.
            detail = f": {error}" if isinstance(error, SymblError) else ""
            kind = type(error).__name__
            self._unretrieved = f"{work} ended with {kind}, and nobody awaited it{detail}"

    def mark_retrieved(self) -> None:
        """Mark the outcome as retrieved, so that it is not logged."""
        self._unretrieved = None

    def failed(self) -> bool:
        """Return whether the outcome is an error, without marking it as retrieved."""
        return self.done() and (self.cancelled() or super().exception() is not None)

    def result(self) -> T:
        self._unretrieved = None
        return super().result()

    def exception(self) -> BaseException | None:
        self.mark_retrieved()
        return super().exception()

    def __del__(self) -> None:
        if (message := getattr(self, "_unretrieved", None)) is not None:
            _LOG.error("%s", message)
