"""Wait for what others wait for, too, and on its own event loop alone."""

from __future__ import annotations

import asyncio
import logging
from typing import TypeVar

from symbl_aio._errors import ConfigurationError, SymblError

T = TypeVar("T")

_LOG = logging.getLogger("symbl_aio")


def check_loop(loop: asyncio.AbstractEventLoop, what: str = "client") -> None:
    """Raise ``ConfigurationError`` unless ``loop``, on which ``what`` was started, runs here.

    Elsewhere nothing may be touched: no future of the loop would wake who waits for it.
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
    """Return the result of a future that is not the caller's alone. Cancelling this leaves it be.

    One that is done is read anywhere; else raises ``ConfigurationError`` on another loop.

    Not ``asyncio.shield``: from Python 3.14 on, once a waiter was cancelled, that logs as an
    error whatever the future raises later, though others handle it.
    """
    if not shared.done():
        check_loop(shared.get_loop())
        await asyncio.wait([shared])
    return shared.result()


class Shared(asyncio.Future[T]):
    """The end of a piece of work, for any number of waiters.

    A failure that none of them has asked for when it is forgotten is logged, once, with the
    name of the work, in the place of asyncio's own line that names nothing.
    """

    __slots__ = ("_unheard",)
    _unheard: str | None

    def fail(self, error: BaseException, work: str, *, expected: bool) -> None:
        """End it with an error; ``expected``: no log need say so."""
        self.set_exception(error)
        super().exception()  # by which asyncio takes it for heard
        if not expected:
            # Of a stranger's error only its type: its words may be more than a log should hold.
            said = f": {error}" if isinstance(error, SymblError) else ""
            self._unheard = f"{work} ended with {type(error).__name__}, and nobody awaited it{said}"

    def hear(self) -> None:
        """Somebody knows of it, however it ended."""
        self._unheard = None

    def failed(self) -> bool:
        """Return whether it ended with an error, which nobody has heard of by that."""
        return self.done() and (self.cancelled() or super().exception() is not None)

    def result(self) -> T:
        self.hear()
        return super().result()

    def exception(self) -> BaseException | None:
        self.hear()
        return super().exception()

    def __del__(self) -> None:
        if (unheard := getattr(self, "_unheard", None)) is not None:
            _LOG.error("%s", unheard)
