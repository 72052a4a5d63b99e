"""Wait for what others wait for, too, and on its own event loop alone."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from symbl_aio.errors import ConfigurationError

T = TypeVar("T")


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
