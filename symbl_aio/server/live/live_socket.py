"""One WebSocket: the handshake, and frames to a client that may not read them.

Frames wait in a bounded queue, so that one client that does not read keeps no other waiting and
fills no memory: it loses its connection instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections import deque
from collections.abc import AsyncIterator

from aiohttp import WSMsgType, hdrs, web

from symbl_aio.server.connections import hand_over
from symbl_aio.server.http_json import JSON, ApiError, encode_json
from symbl_aio.server.server_limits import LIMITS

logger = logging.getLogger("symbl_aio.server")

# A listener sends nothing. One that is gone is found by a ping.
_PING_SECONDS = 60.0

_MOST_PROTOCOLS = 32

# Never sent: the code of a connection that ended without a close frame.
_ABORTED = 1006


def wants_websocket(request: web.Request) -> bool:
    """Return whether a request is the handshake of a WebSocket."""
    return request.headers.get(hdrs.UPGRADE, "").strip().lower() == "websocket"


def wanted_protocols(request: web.Request) -> list[str]:
    """Return the subprotocols that a handshake offers. Raises a 431 ``ApiError`` for many."""
    offered = ",".join(request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ()))
    # Each is looked up as a token, before the caller has shown one.
    if offered.count(",") >= _MOST_PROTOCOLS:
        raise ApiError(431, f"A handshake offers {_MOST_PROTOCOLS} subprotocols at most.")
    return [name for name in (part.strip() for part in offered.split(",")) if name]


def encode_frame(frame: dict[str, JSON]) -> str:
    """Return a frame as the text that is sent."""
    # A character that has no UTF-8 becomes "?", as in the responses.
    text = encode_json(frame)
    return text.encode(errors="replace").decode()


def log_break(what: str, error: Exception) -> None:
    """Log the kind and the place of an error only: its text may have a secret."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    name = type(error).__name__
    logger.error("%s broke with %s at %s:%s", what, name, place.filename, place.lineno)


class LiveSocket:
    """An open WebSocket. ``run()`` writes the frames; without it nothing is sent.

    ``roomy``: less than half of the allowed bytes are unread. ``closed``: ``run()`` has ended.
    ``frozen``: a fault, after which no frame is written.
    """

    def __init__(self, request: web.Request, ws: web.WebSocketResponse, largest: int) -> None:
        self._request = request
        self._ws = ws
        self._largest = largest
        self._waiting: deque[str] = deque()
        self._size = 0
        self._close_code: int | None = None
        self._changed = asyncio.Event()
        self.frozen = False
        self.closed = asyncio.Event()
        self.roomy = asyncio.Event()
        self.roomy.set()

    @classmethod
    async def open(cls, request: web.Request, *, listens: bool = False) -> LiveSocket:
        """Answer the handshake. ``listens``: the client is not expected to send anything."""
        limits = request.app[LIMITS]
        ws = web.WebSocketResponse(
            # The first offered protocol is echoed whatever it is: with clients that cannot set a
            # header it is the token, and they refuse an answer without it.
            protocols=wanted_protocols(request),
            max_msg_size=limits.live_frame,
            # A small frame may inflate to any size.
            compress=False,
            heartbeat=_PING_SECONDS if listens else None,
            receive_timeout=None if listens else limits.live_idle,
            timeout=5.0,
        )
        await ws.prepare(request)
        hand_over(request)
        return cls(request, ws, limits.live_unread)

    @property
    def response(self) -> web.StreamResponse:
        return self._ws

    def send(self, text: str) -> None:
        """Queue a frame. A client with more than ``live_unread`` unread bytes is disconnected."""
        if self._close_code is not None or self.frozen:
            return
        self._size += len(text)
        if self._size > self._largest:
            self.abort()
            return
        if self._size > self._largest // 2:
            self.roomy.clear()
        self._waiting.append(text)
        self._changed.set()

    def close(self, code: int = 1000) -> None:
        """Close the socket after the frames that were queued before."""
        if self._close_code is None:
            self._close_code = code
            self._changed.set()

    def abort(self) -> None:
        """Drop the connection without a close frame."""
        self._close_code = _ABORTED
        self._waiting.clear()
        self._changed.set()
        if self._request.transport is not None:
            self._request.transport.abort()

    async def frames(self) -> AsyncIterator[str | bytes]:
        """Yield the frames of the client until it leaves, or sends nothing for ``live_idle``."""
        with contextlib.suppress(TimeoutError):
            # A socket that closes is read by ``run()``, until the client's own close frame.
            while self._close_code is None:
                message = await self._ws.receive()
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    return
                yield message.data

    async def run(self) -> None:
        """Write the queued frames until the socket closes."""
        try:
            await self._write()
        except ConnectionError:
            pass
        finally:
            self.closed.set()
            self.roomy.set()

    async def _write(self) -> None:
        while True:
            while self._waiting and not self.frozen:
                text = self._waiting.popleft()
                await self._ws.send_str(text)
                self._size -= len(text)
                if self._size <= self._largest // 2:
                    self.roomy.set()
            if self._close_code == _ABORTED:
                return
            if self._close_code is not None and not self.frozen:
                await self._ws.close(code=self._close_code)
                return
            self._changed.clear()
            await self._changed.wait()
