"""One WebSocket: texts and audio out, texts in, and pings that carry a position of the audio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import aiohttp
from aiohttp import WSMsgType

BROKEN: Final = (aiohttp.ClientError, OSError)
"""What a write raises once the connection is gone."""

BINARY: Final = WSMsgType.BINARY
"""The kind of an audio frame."""

_CLOSE_WITHIN: Final = 2.0
"""Seconds after which a connection is closed without the server's part."""


class Socket:
    """A WebSocket. ``on_received`` is called with each position that the server has confirmed."""

    def __init__(
        self, connection: aiohttp.ClientWebSocketResponse, on_received: Callable[[int], None]
    ) -> None:
        self._connection = connection
        self._on_received = on_received
        self._clock = asyncio.get_running_loop().time
        # The method itself, and not ``send_bytes``, which calls it: a stream has many small
        # frames, and each call in between costs.
        self.write = connection.send_frame
        self.last_frame_at = self._clock()
        self.start_sent_at = self.last_frame_at
        """When the start was asked for, which is with the opening, and with each restart."""
        self.dead_since: float | None = None
        """When the last frame came, of a connection that was given up."""
        self.close_code: int | None = None
        """The code with which the server closed; ``None`` if the connection broke."""
        self.close_reason = ""
        """The server's words with it."""

    async def send_text(self, text: str) -> None:
        """Send a text frame. Raises one of ``BROKEN`` if the connection is gone."""
        await self._connection.send_str(text)

    async def ping(self, position: int) -> None:
        """Send a ping, whose answer confirms all frames sent before it."""
        await self._connection.ping(position.to_bytes(8, "big"))

    async def read(self) -> str | None:
        """Return the next text frame; ``None`` once the connection has ended, however."""
        while True:
            message = await self._connection.receive()
            self.last_frame_at = self._clock()
            match message.type:
                case WSMsgType.TEXT:
                    text: str = message.data
                    return text
                case WSMsgType.PONG:
                    if len(message.data) == 8:
                        self._on_received(int.from_bytes(message.data, "big"))
                case WSMsgType.PING:
                    with suppress(*BROKEN):  # then the next frame is the end
                        await self._connection.pong(message.data)
                case WSMsgType.CLOSE:
                    # Not ``close_code`` of aiohttp, which is 1000 after a break, too.
                    self.close_code = message.data
                    self.close_reason = message.extra or ""
                    return None
                case WSMsgType.CLOSING | WSMsgType.CLOSED | WSMsgType.ERROR:
                    return None
                case _:
                    pass  # a binary frame, of which the API has none

    async def aclose(self) -> None:
        """Close the connection, also one that takes no more bytes, within two seconds.

        A dead one at once: its server would not answer.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_WITHIN if self.dead_since is None else 0):
                await self._connection.close()
