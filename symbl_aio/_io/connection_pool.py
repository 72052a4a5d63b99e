"""The connections of one client, kept for a while between two requests."""

from __future__ import annotations

import os
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp.connector import Connection


class Pool(aiohttp.TCPConnector):
    """A connection pool with two rules of its own.

    A connection on which something came between two requests, such as an answer for the second
    time, is not used again: it would be taken for the answer to the next request.

    A forked process lets go of the pool without closing its connections. The fork shares the
    selector of the parent's event loop: by closing a connection it would stop the parent from
    noticing data on it, and the parent's next request would wait in vain.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._pid = os.getpid()
        self._used: WeakSet[object] = WeakSet()

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        """Return a connection, a new one or one on which nothing is left over."""
        while True:
            connection = await super().connect(*args, **kwargs)
            protocol = connection.protocol
            if protocol is None:
                return connection
            # A server that speaks first does so on a new one as well.
            if protocol not in self._used or not protocol.should_close:
                self._used.add(protocol)
                return connection
            connection.close()

    def __del__(self, *arguments: Any) -> None:
        if self._pid == os.getpid():
            super().__del__(*arguments)
