"""Outcomes with many waiters, each bound to its own event loop."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Final, Generic, TypeVar

from symbl_aio._error_classes import SymblError
from symbl_aio._fields import misuse
from symbl_aio._log import Log

T = TypeVar("T")

_LOG = Log("symbl_aio")


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop. Raises ``ConfigurationError`` without one, as under trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise misuse(
            "no event loop of asyncio runs here, as under trio; run it with asyncio.run, or use "
            "symbl_aio.sync in a thread"
        ) from None


def check_loop(loop: asyncio.AbstractEventLoop, what: str = "client") -> None:
    """Raise ``ConfigurationError`` unless ``loop``, on which ``what`` was started, runs here.

    Elsewhere nothing may be touched: a future of that loop would not wake its waiter.
    """
    try:
        is_here = asyncio.get_running_loop() is loop
    except RuntimeError:
        is_here = False
    if not is_here:
        raise misuse(
            f"the {what} was started on another event loop, or this is another thread; "
            "call it from the loop that started it (asyncio.run_coroutine_threadsafe), or start "
            "one in each loop"
        )


async def result_of(shared: asyncio.Future[T]) -> T:
    """Return the result of a task with many waiters. Cancelling this wait does not cancel it.

    The result of a done task is read on any loop; else raises ``ConfigurationError`` on
    another loop than the task's.

    Not ``asyncio.shield``: from Python 3.14 on, once a waiter was cancelled, that logs the
    future's later exception as an error, though other waiters handle it.
    """
    if not shared.done():
        check_loop(shared.get_loop())
        await asyncio.wait([shared])
    return shared.result()


class _State(Enum):
    PENDING = "pending"
    CANCELLED = "cancelled"


_PENDING: Final = _State.PENDING
_CANCELLED: Final = _State.CANCELLED


class _Failure:
    """An error, which is logged when it is collected and was not retrieved.

    Once, and with the name of the work, instead of asyncio's own line, which has no name.
    """

    __slots__ = ("error", "traceback", "unretrieved")

    def __init__(self, error: BaseException, unretrieved: str | None) -> None:
        self.error = error
        # With each raising it would grow, and keep the variables of every waiter.
        self.traceback = error.__traceback__
        self.unretrieved = unretrieved

    def __del__(self) -> None:
        if self.unretrieved is not None:
            _LOG.error("%s", self.unretrieved)


class Shared(Generic[T]):
    """The outcome of a piece of work, for any number of waiters on the loop that makes it.

    A future is made for each task that waits, and none before: of a hundred thousand handles
    few are waited for at a time.
    """

    __slots__ = ("_loop", "_outcome", "_waiters")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._outcome: T | _Failure | _State = _PENDING
        self._waiters: dict[asyncio.Future[None], None] | None = None

    def check_loop(self) -> None:
        """Raise ``ConfigurationError`` on another loop than that of the work."""
        check_loop(self._loop)

    async def wait(self) -> T:
        """Return the result, or raise the error. Cancelling this wait changes nothing else.

        The result of work that is done is read on any loop; else raises
        ``ConfigurationError`` on another loop.
        """
        if self._outcome is _PENDING:
            if asyncio.get_running_loop() is not self._loop:
                check_loop(self._loop)  # raises
            waiter: asyncio.Future[None] = self._loop.create_future()
            if self._waiters is None:
                self._waiters = {}
            self._waiters[waiter] = None
            try:
                await waiter
            finally:
                if self._waiters is not None:  # this wait was cancelled
                    del self._waiters[waiter]
                    self._waiters = self._waiters or None
        return self.result()

    def set_result(self, result: T) -> None:
        """End the work with a result."""
        self._settle(result)

    def cancel(self) -> None:
        """End the work as cancelled: ``result`` raises ``asyncio.CancelledError``."""
        self._settle(_CANCELLED)

    def fail(self, error: BaseException, work: str, *, expected: bool) -> None:
        """End the work with an error; ``expected``: it is not logged."""
        unretrieved = None
        if not expected:
            # Of a foreign error only its type: its message may hold a secret.
            detail = f": {error}" if isinstance(error, SymblError) else ""
            kind = type(error).__name__
            unretrieved = f"{work} ended with {kind}, and nobody awaited it{detail}"
        self._settle(_Failure(error, unretrieved))

    def _settle(self, outcome: T | _Failure | _State) -> None:
        self._outcome = outcome
        if self._waiters is not None:
            waiters, self._waiters = self._waiters, None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def mark_retrieved(self) -> None:
        """Mark the outcome as retrieved, so that it is not logged."""
        if isinstance(self._outcome, _Failure):
            self._outcome.unretrieved = None

    def done(self) -> bool:
        return self._outcome is not _PENDING

    def cancelled(self) -> bool:
        return self._outcome is _CANCELLED

    def failed(self) -> bool:
        """Return whether the outcome is an error, without marking it as retrieved."""
        return self._outcome is _CANCELLED or isinstance(self._outcome, _Failure)

    def result(self) -> T:
        """Return the result, or raise the error, once the work is done."""
        outcome = self._outcome
        if isinstance(outcome, _Failure):
            outcome.unretrieved = None
            raise outcome.error.with_traceback(outcome.traceback)
        if isinstance(outcome, _State):
            raise asyncio.CancelledError if outcome is _CANCELLED else asyncio.InvalidStateError
        return outcome

    def exception(self) -> BaseException | None:
        """Return the error, or ``None`` if there is none."""
        if isinstance(self._outcome, _Failure):
            self._outcome.unretrieved = None
            return self._outcome.error
        return None
