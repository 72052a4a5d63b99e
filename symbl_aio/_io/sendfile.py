"""``os.sendfile`` for the middle of an upload: the kernel moves the bytes without a copy.

It needs a plain connection (TLS has to see the bytes) and a regular file. The first chunk goes
out through aiohttp, with the head of the request; so does the last one, which is withheld.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable


class SendFile:
    """Sends parts of one submission's file past the buffers of its connection.

    The kernel is called in a thread, since a disk may block. The wait for the server is here,
    on the event loop: the connection is still read, so an early answer is seen.
    """

    def __init__(self) -> None:
        self.is_waiting = False
        """Whether the server has to take earlier bytes first."""
        self._transport: asyncio.Transport | None = None
        self._record: Callable[[int], None]
        self._wake = asyncio.Event()

    def attach(self, transport: asyncio.Transport | None, record: Callable[[int], None]) -> None:
        """Use the connection of an attempt, if it allows that. ``record`` gets sent bytes."""
        self._record = record
        if transport is not None and hasattr(os, "sendfile"):
            is_plain = transport.get_extra_info("sslcontext") is None
            has_socket = transport.get_extra_info("socket") is not None
            self._transport = transport if is_plain and has_socket else None

    def detach(self) -> None:
        """Send nothing more on that connection, and end a wait for it."""
        self._transport = None
        self._wake.set()

    async def send(self, start: Callable[[int], Awaitable[int]]) -> int:
        """Send a part of the file, and return how many bytes went out.

        ``start`` calls ``os.sendfile`` with a descriptor of the socket, valid until it
        returns. 0: the bytes have to be read and written, which also raises the error of a
        broken file or connection.
        """
        while (transport := self._transport) is not None and not transport.is_closing():
            # Of its own: the transport watches its descriptor, and may close it, and the number
            # be used again, while bytes are still sent.
            try:
                descriptor = os.dup(transport.get_extra_info("socket").fileno())
            except OSError:  # this process has no descriptor left
                return 0
            try:
                await self._room(descriptor)
                # The room may have been used for what the transport still had.
                if self._transport is transport and not transport.get_write_buffer_size():
                    if sent := await start(descriptor):
                        self._record(sent)
                    return sent
            finally:
                os.close(descriptor)
        return 0

    async def _room(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        self._wake.clear()
        loop.add_writer(descriptor, self._wake.set)
        self.is_waiting = True
        try:
            await self._wake.wait()
        finally:
            self.is_waiting = False
            loop.remove_writer(descriptor)
