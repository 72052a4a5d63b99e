"""Stop signals of a process, observed before its web server acts on them.

A server waits for open responses before it ends the lifespan of an application, and a stream
of events is a response that lasts as long as its job. So the streams have to end on the
signal itself, or the server waits for them.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final, TypeAlias

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

Handler: TypeAlias = Callable[[int, FrameType | None], object]


@contextmanager
def on_stop_signal(callback: Callable[[], object]) -> Iterator[None]:
    """Call ``callback`` in the running event loop when SIGINT or SIGTERM arrives in the block.

    The server's handlers run as before; a signal without a handler keeps its default. Does
    nothing outside the main thread, where no signal arrives.
    """
    loop = asyncio.get_running_loop()
    installed: dict[signal.Signals, tuple[Handler, Handler]] = {}

    def chain(original: Handler) -> Handler:
        def handle(number: int, frame: FrameType | None) -> object:
            # A handler that was set later, and calls this one, may outlive the loop.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(callback)
            return original(number, frame)

        return handle

    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            original = signal.getsignal(number)
            if callable(original):
                handler = chain(original)
                installed[number] = original, handler
                signal.signal(number, handler)
    try:
        yield
    finally:
        for number, (original, handler) in installed.items():
            # Left alone if the server has replaced it since.
            if signal.getsignal(number) is handler:
                signal.signal(number, original)
