"""Hear that the process was asked to stop, before its server says so.

A server waits for the answers under way before it ends the lifespan of an application, and
a stream of events is an answer that lasts as long as its job. So whoever gives such answers
must hear of the signal itself, or the server waits, and its operator too.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, TypeAlias

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

Handler: TypeAlias = Callable[[int, FrameType | None], object]


@contextmanager
def told_of_stop(tell: Callable[[], object]) -> Iterator[None]:
    """Call ``tell`` in the running event loop when SIGINT or SIGTERM comes during the block.

    The handlers of the server do what they did; a signal that nobody handles is left alone.
    Does nothing outside the main thread, where no signal arrives.
    """
    loop = asyncio.get_running_loop()
    ours: dict[signal.Signals, tuple[Handler, Handler]] = {}

    def chained(theirs: Handler) -> Handler:
        def handle(number: int, frame: FrameType | None) -> object:
            loop.call_soon_threadsafe(tell)
            return theirs(number, frame)

        return handle

    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            theirs = signal.getsignal(number)
            if callable(theirs):
                ours[number] = theirs, chained(theirs)
                signal.signal(number, ours[number][1])
    try:
        yield
    finally:
        for number, (theirs, handler) in ours.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, theirs)
