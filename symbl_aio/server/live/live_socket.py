"""One WebSocket: the handshake, and frames to a client that may not read them.

Frames wait in a bounded queue, so that one client that does not read keeps no other waiting and
fills no memory: it loses its connection instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import traceback
from collections import deque
from collections.abc import AsyncIterator, Awaitable

from aiohttp import WSMessage, WSMsgType, hdrs, web

from symbl_aio.server.connections import hand_over
from symbl_aio.server.http_json import JSON, ApiError, encode_json
from symbl_aio.server.server_limits import LIMITS

logger = logging.getLogger("symbl_aio.server")

# A client that is gone without a word is found by a ping, once it has been silent for so long;
# another silence of that length ends it. Not the heartbeat of aiohttp: it would end a client whose
# audio, and the pong behind it, wait for the recognition.
_PING_SECONDS = 60.0

# After so many frames the other tasks have a turn: a burst of small ones is in memory at once.
_BURST = 32

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

    ``roomy``: less than half of the allowed bytes are unread, or it is not waited for any more.
    ``closed``: ``run()`` has ended. ``idle``: the seconds for which the client may send nothing.
    ``frozen``: a fault, after which no frame is written.
    """

    def __init__(
        self, request: web.Request, ws: web.WebSocketResponse, *, idle: float | None
    ) -> None:
        limits = request.app[LIMITS]
        self._request = request
        self._ws = ws
        self._idle = idle
        self._largest = limits.live_unread
        self._silence, self._answer = limits.silence, limits.live_answer
        # Whether nothing came since the last ping, and whether a frame is waited for.
        self._is_silent = self._is_receiving = False
        self._waiting: deque[str] = deque()
        self._size = 0
        self._close_code: int | None = None
        self._deadline: asyncio.TimerHandle | None = None
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
            autoping=False,
            timeout=5.0,
        )
        await ws.prepare(request)
        hand_over(request)
        return cls(request, ws, idle=None if listens else limits.live_idle)

    @property
    def response(self) -> web.StreamResponse:
        return self._ws

    def send(self, text: str) -> None:
        """Queue a frame. A client with more than ``live_unread`` unread bytes is disconnected."""
        if self._close_code is not None or self.frozen:
            return
        half = self._largest // 2
        was_roomy = self._size <= half
        self._size += len(text)
        if self._size > self._largest:
            self.abort()
            return
        if was_roomy and self._size > half:
            self.roomy.clear()
        self._waiting.append(text)
        self._changed.set()

    def close(self, code: int = 1000) -> None:
        """Close the socket after the frames that were queued before.

        It is aborted if the client does not read them within ``silence`` seconds.
        """
        if self._close_code is None:
            self._close_code = code
            self._changed.set()
            if not self.closed.is_set():
                loop = asyncio.get_running_loop()
                self._deadline = loop.call_later(self._silence, self.abort)

    def abort(self) -> None:
        """Drop the connection without a close frame."""
        self._close_code = _ABORTED
        self._waiting.clear()
        self._changed.set()
        if self._request.transport is not None:
            self._request.transport.abort()

    async def frames(self) -> AsyncIterator[str | bytes]:
        """Yield the frames of the client until it leaves, or sends nothing for ``live_idle``."""
        clock = asyncio.get_running_loop().time
        heard_at = clock()
        with contextlib.suppress(TimeoutError):
            # A socket that closes is read by ``run()``, until the client's own close frame.
            for count in itertools.count(1):
                if self._close_code is not None:
                    return
                idle = math.inf if self._idle is None else heard_at + self._idle - clock()
                message = await self._receive(idle)
                if message.type is not WSMsgType.PONG:
                    heard_at = clock()
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    yield message.data
                elif message.type is WSMsgType.PING:
                    await self._in_time(self._ws.pong(message.data))
                elif message.type is not WSMsgType.PONG:
                    return
                if count % _BURST == 0:
                    await asyncio.sleep(0)

    async def _receive(self, seconds: float) -> WSMessage:
        """Return the next message. Raises ``TimeoutError`` for a client that is gone, or idle."""
        self._is_receiving = True
        try:
            if seconds > _PING_SECONDS:
                with contextlib.suppress(TimeoutError):
                    return await self._ws.receive(_PING_SECONDS)
                seconds -= _PING_SECONDS
                await self._in_time(self._ws.ping())
            # A limit of 0 is none for the library.
            return await self._ws.receive(max(0.001, min(seconds, _PING_SECONDS)))
        except TimeoutError:
            if seconds > _PING_SECONDS:
                self.abort()  # it is gone, and would answer no close frame either
            raise
        finally:
            self._is_silent = self._is_receiving = False

    async def _in_time(self, writing: Awaitable[None]) -> None:
        """Write a ping or a pong. Raises ``TimeoutError`` for a client that reads nothing."""
        # One that has left may have sent more before.
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(_PING_SECONDS):
                await writing

    async def probe(self) -> None:
        """Drop the connection if the client does not answer a ping within ``live_answer``."""
        self._is_silent = True
        with contextlib.suppress(TimeoutError):
            await self._in_time(self._ws.ping())
        await asyncio.sleep(self._answer)
        # Otherwise its frames have to wait for the server.
        if self._is_silent and self._is_receiving:
            self.abort()

    async def run(self) -> None:
        """Write the queued frames until the socket closes."""
        try:
            await self._write()
        except ConnectionError:
            pass
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
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
