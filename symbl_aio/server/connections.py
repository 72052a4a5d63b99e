"""Connections: how many, how long, and how much of a request's head each may hold.

aiohttp limits the fields of a head, and has a timer between requests. It has no limit on
connections, and none on a head that stops arriving. Here the oldest connection that has shown
no token makes room for a new one: who opens many loses them, and others are served.
A connection counts from the moment it is accepted, before a TLS handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
import socket
import ssl
import traceback
from collections import Counter, deque
from collections.abc import Mapping
from time import monotonic
from typing import Any

from aiohttp import hdrs, web

from symbl_aio.server.background_tasks import BackgroundTasks
from symbl_aio.server.connection import Connection, Holder
from symbl_aio.server.half_closed import HalfClosableProtocol
from symbl_aio.server.http_json import ApiError
from symbl_aio.server.listening import listening_sockets, until_readable
from symbl_aio.server.server_limits import SMALL, BufferBudget, ServerLimits

logger = logging.getLogger("symbl_aio.server")

# A line of a head, or a chunk of one byte, takes as long as a kilobyte of a body. Where more lines
# than these arrive at once, so many bytes are parsed in a turn of the event loop.
_MOST_LINES = 1000
_PIECE = 4096

_BURST = 16
# Seconds for which a server that stops responds to what is on its way.
_GRACE = 0.25
# More than this in the buffer of a transport means that its caller does not read.
_UNREAD = 64 * 1024
_HANDSHAKE_SECONDS = 10.0
# No handles or no memory: accept() fails at once and again, until a connection ends.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class ServerProtocol(HalfClosableProtocol):
    """The protocol of one connection: counts bytes of heads, and parses many lines in pieces."""

    __slots__ = ("connection", "_owner", "_pieces")

    def __init__(
        self, owner: Connections, connection: Connection, server: web.Server, **options: Any
    ) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self.connection = connection
        self._owner = owner
        # Those that are not parsed yet. While there are some, the transport is not read.
        self._pieces: deque[bytes] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connection.protocol = self
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._pieces.clear()
        self._owner.closed(self.connection)
        self.connection.release()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # Without data the library parses what it has kept of earlier data.
        if data:
            if not self._owner.accepts(self.connection, data):
                self._owner.refused += 1
                self.connection.abort()
                return
            if self._pieces or (self.connection.has_lines and data.count(b"\r\n") > _MOST_LINES):
                self._put_off(data)
                return
        super().data_received(data)

    def _put_off(self, data: bytes) -> None:
        if not self._pieces:
            self._owner.parse_later(self)
        self._pieces.extend(data[at : at + _PIECE] for at in range(0, len(data), _PIECE))
        assert self.transport is not None
        self.transport.pause_reading()

    def parse_piece(self) -> bool:
        """Parse a piece of what has arrived; return whether more of it waits."""
        if self._pieces:
            super().data_received(self._pieces.popleft())
        # The library may have paused it, too: the caller is ahead of the handlers then.
        is_paused = self._pieces or self._reading_paused or self._buffer_paused
        if self.transport is not None and not is_paused:
            self.transport.resume_reading()
        return bool(self._pieces)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Called for each chunk that a handler reads, also where nothing was paused."""
        if self._reading_paused:
            super().resume_reading(resume_parser)
            if self._pieces and self.transport is not None:
                self.transport.pause_reading()

    def pause_writing(self) -> None:
        """Called as soon as a caller does not keep up with its response."""
        super().pause_writing()
        self._owner.bound_unread(self.connection)

    def resume_writing(self) -> None:
        self._owner.unread.discard(self.connection)
        super().resume_writing()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response; record when all of it was made and most of it has left."""
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self.connection.is_answered = True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Respond to a request that cannot be parsed, or that broke the server.

        Neither its bytes nor the text of an error are logged: they may contain a secret.
        """
        if status < 500:
            logger.info("a request of %s was refused with %d: malformed", request.remote, status)
            response = ApiError(status, "The request is malformed.").response()
        else:
            self.log_exception(exc_info=exc)
            response = ApiError(status, "The server has made a mistake.").response()
        response.force_close()
        return response

    def log_exception(self, *args: object, **kw: object) -> None:
        """Log the kind of an error only: its text may contain a part of the request."""
        error = kw.get("exc_info")
        places = error.__traceback__ if isinstance(error, BaseException) else None
        where = traceback.format_tb(places)[-1:] or ["?"]
        logger.error("a request broke with %s: %s", type(error).__name__, where[0].strip())


class Connections:
    """Accepts connections for an aiohttp server, and owns them.

    ``options`` are those of ``web.RequestHandler``.
    """

    def __init__(
        self,
        limits: ServerLimits,
        buffers: BufferBudget,
        *,
        tls: ssl.SSLContext | None = None,
        options: Mapping[str, Any],
    ) -> None:
        self._limits = limits
        self._buffers = buffers
        self._tls = tls
        self._options = options
        # The oldest first.
        self._open: dict[Connection, None] = {}
        self._listeners: list[socket.socket] = []
        self._tasks = BackgroundTasks()
        self._accepting = BackgroundTasks()
        self.unread: set[Connection] = set()
        self._unparsed: deque[ServerProtocol] = deque()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._held: Counter[Holder] = Counter()
        self._share = max(1, limits.connections * 3 // 4)
        self.refused = 0
        # Whether each connection ends with its next response.
        self.are_closing = False

    def __len__(self) -> int:
        return len(self._open)

    async def listen(self, server: web.Server, host: str, port: int) -> int:
        """Listen on every address of a host, and return the port. Raises OSError."""
        async for listener in listening_sockets(host, port):
            self._listeners.append(listener)
        for listener in self._listeners:
            port = listener.getsockname()[1]
            self._accepting.spawn(self._accept(listener, server), name=f"listener on {port}")
        self._tasks.spawn(self._close_silent(), name="silent connections")
        return port

    async def hang_up(self, server: web.Server) -> None:
        """Accept no more connections, and wait for a moment until those that are open have ended.

        A request that its caller sends meanwhile is responded to; an idle connection stays.
        """
        await self._accepting.aclose()
        for listener in self._listeners:
            # The callers of those that wait may have sent a request.
            with contextlib.suppress(OSError):
                while True:
                    self._admit(listener.accept()[0], server)
            listener.close()
        self._listeners.clear()
        if self._open:
            self._emptied.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                await self._emptied.wait()

    async def stop(self) -> None:
        """Accept no more connections. Those that are open stay open."""
        await self._accepting.aclose()
        await self._tasks.aclose()
        for connection in [c for c in self._open if c.protocol is None]:
            # Its task was cancelled before it began.
            connection.sock.close()
            self.closed(connection)
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def begin(self, connection: Connection, request: web.BaseRequest) -> None:
        """Record that a head has arrived whole: from now on the server is at work."""
        if connection.kept:
            self._release_head(connection)
        connection.kept, connection.head, connection.whole = connection.head, 0, False
        connection.waiting_since = None
        connection.body, connection.response = request.content, request.writer
        connection.in_chunks = hdrs.TRANSFER_ENCODING in request.headers
        connection.taken, connection.is_answered = 0, False

    def trust(self, connection: Connection, holder: Holder) -> None:
        """Record that a request has shown a token: newer connections do not take its place.

        Those of a holder of three in four do. Raises a 503 ``ApiError`` if none of them is idle,
        or if the holder has too many large requests on their way.
        """
        if connection.holder is not holder:
            self._give_to(connection, holder)
        if size := connection.kept:
            self._buffers.release(size)
            connection.kept = 0
            if size > SMALL:
                if not holder.buffers.allows(0, size):
                    raise ApiError(503, "Too many large requests at a time.", retry_after=1)
                connection.kept, connection.kept_in = size, holder.buffers

    def _release_head(self, connection: Connection) -> None:
        (connection.kept_in or self._buffers).release(connection.kept)
        connection.kept, connection.kept_in = 0, None

    def _give_to(self, connection: Connection, holder: Holder) -> None:
        if self._held[holder] >= self._share:
            mine = (c for c in self._open if c.holder is holder and c.waiting_since is not None)
            if (idle := next(mine, None)) is None:
                raise ApiError(503, "The application has too many connections.", retry_after=1)
            self.refused += 1
            self.closed(idle)
            idle.abort()
        self._take_back(connection)
        connection.holder = holder
        self._held[holder] += 1

    def _take_back(self, connection: Connection) -> None:
        if connection.holder is not None:
            self._held[connection.holder] -= 1
            connection.holder = None

    def end(self, connection: Connection) -> None:
        """Record that the caller's turn begins: to read a response, which may grow meanwhile."""
        connection.waiting_since = monotonic()

    def accepts(self, connection: Connection, data: bytes) -> bool:
        """Count bytes that belong to no body; return False if there are too many of them."""
        if connection.whole or (connection.body is not None and not connection.body.is_eof()):
            return True
        assert connection.protocol is not None
        transport = connection.protocol.transport
        # One more request, and the last responses were not read: they would pile up.
        if transport is None or transport.get_write_buffer_size() > _UNREAD:
            return False
        size = len(data)
        if connection.waiting_since is not None:
            if not connection.head:
                connection.waiting_since = monotonic()
            # An end in two pieces is not found; then a part of the body is counted, too.
            if (end := data.find(b"\r\n\r\n")) >= 0:
                connection.whole, size = True, end
        if not self._buffers.allows(connection.head, size):
            return False
        connection.head += size
        return True

    def parse_later(self, protocol: ServerProtocol) -> None:
        """Parse the pieces of a connection, one at each of its turns among those that have some."""
        self._unparsed.append(protocol)
        if len(self._unparsed) == 1:
            asyncio.get_running_loop().call_soon(self._parse_next)

    def _parse_next(self) -> None:
        protocol = self._unparsed.popleft()
        if self._unparsed:
            asyncio.get_running_loop().call_soon(self._parse_next)
        if protocol.parse_piece():
            self.parse_later(protocol)

    def bound_unread(self, connection: Connection) -> None:
        """Record that a response waits for its caller; end some if too much waits in memory.

        First those who have taken least of theirs: a slow reader takes more than one who reads
        nothing. The one who has taken most stays.
        """
        self.unread.add(connection)
        too_many = sum(each.buffered for each in self.unread) - self._limits.unread
        if too_many <= 0:
            return
        for least in sorted(self.unread, key=lambda each: each.sent)[:-1]:
            if too_many > 0:
                too_many -= least.buffered
                self.refused += 1
                self.closed(least)
                least.abort()

    def closed(self, connection: Connection) -> None:
        """Forget a connection. A second call is harmless."""
        self.unread.discard(connection)
        self._take_back(connection)
        if self._open.pop(connection, connection) is None:
            self._buffers.release(connection.head)
            connection.head = 0
            self._release_head(connection)
            if not self._open:
                self._emptied.set()

    async def _accept(self, listener: socket.socket, server: web.Server) -> None:
        exhausted = False
        for number in itertools.count(1):
            # While more are waiting, nothing below gives a turn to the others.
            if number % _BURST == 0:
                await asyncio.sleep(0)
            try:
                # Not sock_accept(): cancelled in the wrong moment, it loses what it has accepted.
                self._admit(listener.accept()[0], server)
            except BlockingIOError:
                await until_readable(listener)
                continue
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    continue  # the caller left before it was accepted
                if not exhausted:
                    logger.warning("no more connections can be accepted: %s", error.strerror)
                exhausted = True
                self._make_room()
                await asyncio.sleep(0.05)
                continue
            exhausted = False

    def _admit(self, sock: socket.socket, server: web.Server) -> None:
        sock.setblocking(False)
        if len(self._open) >= self._limits.connections and not self._make_room():
            self.refused += 1
            sock.close()
            return
        connection = Connection(sock, monotonic())
        self._open[connection] = None
        self._tasks.spawn(self._connect(connection, server), name="new connection")

    async def _connect(self, connection: Connection, server: web.Server) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: ServerProtocol(self, connection, server, **self._options),
                connection.sock,
                ssl=self._tls,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS if self._tls else None,
            )
        except (OSError, asyncio.CancelledError):
            connection.sock.close()
            self.closed(connection)

    def _make_room(self) -> bool:
        """Close the oldest connection that has shown no token, or else the oldest idle one."""
        oldest = next((c for c in self._open if c.holder is None), None) or next(
            (c for c in self._open if c.waiting_since is not None), None
        )
        if oldest is None:
            return False
        self.refused += 1
        self.closed(oldest)
        oldest.abort()
        return True

    async def _close_silent(self) -> None:
        """Close, each second, the connections whose callers have taken too long."""
        limits = self._limits
        while True:
            await asyncio.sleep(min(1.0, limits.head / 4, limits.idle / 4))
            for connection in list(self._open):
                if connection.waiting_since is None:
                    continue
                now, unsent = monotonic(), connection.unsent()
                if connection.response is not None:
                    taken = connection.response.output_size - unsent
                    # A slow reader gains time, but no more than its bytes are worth.
                    gained = (taken - connection.taken) / limits.min_rate
                    connection.taken = taken
                    connection.waiting_since = min(now, connection.waiting_since + gained)
                    if not (unsent or connection.is_answered):
                        connection.waiting_since = now  # it waits for the server
                if connection.head:
                    patience = limits.head
                else:
                    patience = limits.silence if unsent else limits.idle
                if now - connection.waiting_since > patience:
                    self.closed(connection)
                    connection.abort()


def hand_over(request: web.Request) -> None:
    """Count no more bytes of a connection: after an upgrade they belong to no HTTP head."""
    connection_of(request).whole = True


def connection_of(request: web.BaseRequest) -> Connection:
    """Return the connection on which a request has arrived."""
    protocol = request.protocol
    assert isinstance(protocol, ServerProtocol)
    return protocol.connection
