"""The faults of one socket, as a test has injected them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from symbl_aio.server.live.live_socket import LiveSocket

_ERROR = "The server was told to send an error."


class SocketFaults:
    """The faults that a socket carries from its handshake on; ``closing``: the server closes.

    ``names``: each fault with the text after its colon. Frames of the client are counted.
    """

    def __init__(self, names: Mapping[str, str], closing: asyncio.Event) -> None:
        self._closing = closing
        self._frames = 0
        self._drop_after = _count(names, "drop_after_frames")
        self._freeze_after = _count(names, "freeze_after_frames")
        self._late = float(names["late_completed"] or 1) if "late_completed" in names else 0.0
        self.no_pong = "no_pong" in names
        self.error = _ERROR if "error_frame" in names else None

    async def apply(self, socket: LiveSocket, frame: str | bytes | None = None) -> bool:
        """Apply the faults after a frame, or after the handshake; return whether it is the end."""
        self._frames += frame is not None
        if self._frames == self._drop_after:
            socket.abort()
            return True
        if self._frames == self._freeze_after:
            # It reads nothing and sends nothing, so that the connection looks alive.
            socket.frozen = True
            await self._closing.wait()
            socket.abort()
            return True
        return False

    async def delay_completed(self) -> None:
        """Wait as long as the last frame is to be late; closing the server ends the delay."""
        if self._late:
            try:
                async with asyncio.timeout(self._late):
                    await self._closing.wait()
            except TimeoutError:
                pass


def _count(names: Mapping[str, str], name: str) -> int | None:
    return int(names[name] or 0) if name in names else None
