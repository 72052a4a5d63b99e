"""A network between a worker and its database that swallows all bytes, or ends all connections.

While it swallows, the kernel goes on acknowledging, as that of a proxy does, or of a server that
hangs: no connection is ever reset, none is refused, and none is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from sqlalchemy import make_url


class Hole:
    """A proxy for one PostgreSQL, at ``url``."""

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self.url = ""
        self._flows = asyncio.Event()
        self._flows.set()
        self._closed = False
        self._is_cut = False
        self._lost: set[object] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def swallow(self) -> None:
        """Forward nothing more, on no connection."""
        self._lost.update(self._writers)
        self._flows.clear()

    def cut(self) -> None:
        """End all connections, and each new one at once, as before a database that is down."""
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Forward what comes on new connections: those that were open stay silent for good."""
        self._is_cut = False
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        await self._flows.wait()
        if self._is_cut:
            writer.transport.abort()
        if self._closed or self._is_cut:
            return
        inner, outer = await asyncio.open_connection(self._target.host, self._target.port)
        self._writers.append(outer)
        self._start(self._forward(reader, outer, writer))
        self._start(self._forward(inner, writer, outer))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if to not in self._lost:
                    to.write(data)
                    await to.drain()
        if to not in self._lost:
            to.close()

    async def close(self) -> None:
        """End all connections."""
        self._closed = True
        self._flows.set()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def hole(url: str) -> AsyncIterator[Hole]:
    """Run a proxy beside the block."""
    found = Hole(url)
    server = await asyncio.start_server(found._serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    found.url = make_url(url).set(port=port).render_as_string(hide_password=False)
    try:
        yield found
    finally:
        server.close()
        await found.close()
