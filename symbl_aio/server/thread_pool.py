"""Thread pools of the server's own: the program under test may fill its event loop's pool.

Reading and writing of files has threads of its own, and so have computations: a recording is
not kept waiting by the analysis of long texts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_FILES: Final = ThreadPoolExecutor(4, "symbl_aio server")
_COMPUTING: Final = ThreadPoolExecutor(4, "symbl_aio computing")
# Of the threads that compute.
_SHARE: Final = 2


async def run_in_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call in a thread and return its result. Cancelling ends the wait, not the call."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_FILES, partial(call, *args, **kwargs))


class ComputingThreads:
    """The threads for computations of one application, which leave some to the others."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_SHARE)

    async def run(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call in a thread and return its result, after those that were there before."""
        loop = asyncio.get_running_loop()
        async with self._turns:
            return await loop.run_in_executor(_COMPUTING, partial(call, *args, **kwargs))
