"""The connections of one client, kept for a while between two requests."""

from __future__ import annotations

import os
import time
from typing import Any, Final
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.connector import Connection

_ALWAYS_ON: Final = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
"""A clock that goes on while the machine sleeps: of Linux, else of macOS; ``None`` on Windows."""
_NAP: Final = 0.5
"""Seconds of sleep after which a connection may be gone."""


class Pool(aiohttp.TCPConnector):
    """A connection pool with three rules of its own.

    A connection on which something came between two requests, such as an answer for the second
    time, is not used again: it would be taken for the answer to the next request.

    Nor is one that was used before the machine slept. The clock by which aiohttp measures how
    long it was idle stands still in a sleep; the server may have closed it hours ago, and a
    submission on it would be ambiguous.

    A forked process lets go of the pool without closing its connections. The fork shares the
    selector of the parent's event loop: by closing a connection it would stop the parent from
    noticing data on it, and the parent's next request would wait in vain.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._pid = os.getpid()
        self._used: WeakKeyDictionary[object, float] = WeakKeyDictionary()
        """The seconds that the machine had slept when a connection was last used."""

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        """Return a connection, a new one or one on which nothing is left over."""
        slept = 0.0
        if _ALWAYS_ON is not None:
            slept = time.clock_gettime(_ALWAYS_ON) - time.monotonic()
        while True:
            connection = await super().connect(*args, **kwargs)
            protocol = connection.protocol
            if protocol is None:
                return connection
            before = self._used.get(protocol)
            # A server that speaks first does so on a new one as well.
            if before is None or not (protocol.should_close or slept - before > _NAP):
                self._used[protocol] = slept
                return connection
            connection.close()

    def __del__(self, *arguments: Any) -> None:
        if self._pid == os.getpid():
            super().__del__(*arguments)
