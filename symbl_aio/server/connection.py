"""One connection: whose turn it is, for how long, and what it holds in memory."""

from __future__ import annotations

import array
import contextlib
import fcntl
import socket
import termios
from typing import Protocol

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from attrs import define

from symbl_aio.server.server_limits import BufferBudget


class _Body(Protocol):
    def is_eof(self) -> bool: ...
    def feed_eof(self) -> None: ...


class Holder(Protocol):
    """An application with connections. ``buffers``: for its requests on their way."""

    @property
    def buffers(self) -> BufferBudget: ...


@define(eq=False)
class Connection:
    """One accepted socket. ``protocol`` is None during a TLS handshake.

    ``waiting_since``: the time at which the caller's turn began; None while a request is
    handled. ``head``: bytes that have arrived of the next head; ``kept``: those of the last one,
    which stays until the next one, in ``kept_in``; a small one counts until it has shown a token.
    ``whole``: the head has arrived, and what follows is a body. ``in_chunks``: the last body has no
    known length. ``holder``: the application whose token was shown last. ``response``: counts the
    bytes of the last response; ``taken``: those that had left at the last look. ``is_answered``:
    all of it was made.
    """

    sock: socket.socket
    waiting_since: float | None
    protocol: web.RequestHandler | None = None
    body: _Body | None = None
    head: int = 0
    kept: int = 0
    kept_in: BufferBudget | None = None
    whole: bool = False
    in_chunks: bool = False
    holder: Holder | None = None
    response: AbstractStreamWriter | None = None
    taken: int = 0
    is_answered: bool = True

    @property
    def has_lines(self) -> bool:
        """Whether lines may arrive, of a head or of a body in chunks."""
        return self.in_chunks or self.body is None or self.body.is_eof()

    @property
    def buffered(self) -> int:
        """The bytes of responses that wait in memory for the caller to read."""
        if self.protocol is None or self.protocol.transport is None:
            return 0
        return self.protocol.transport.get_write_buffer_size()

    @property
    def sent(self) -> int:
        """The bytes of the last response that have left memory."""
        return 0 if self.response is None else self.response.output_size - self.buffered

    def unsent(self) -> int:
        """Return the bytes of the last response that the caller has not taken yet."""
        if self.protocol is None or self.protocol.transport is None:
            return 0
        # Those in the kernel, too: it takes some megabytes at a time, so that a slow reader would
        # seem to read nothing for minutes.
        queued = array.array("i", [0])
        with contextlib.suppress(OSError, ValueError):
            fcntl.ioctl(self.sock, termios.TIOCOUTQ, queued)
        return self.buffered + queued[0]

    def release(self) -> None:
        """Drop what refers back to this connection, once it is lost."""
        if self.is_answered and self.body is not None and not self.body.is_eof():
            # The library waits ten seconds for the rest of a body that nothing reads, with the
            # request in memory.
            self.body.feed_eof()
        # Else the head of its last request, of up to a megabyte, would stay in memory until the
        # garbage collector finds the circle.
        self.protocol = self.body = self.response = None

    def abort(self) -> None:
        if self.protocol is not None and self.protocol.transport is not None:
            self.protocol.transport.abort()
        else:
            # The handshake fails with it.
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)
