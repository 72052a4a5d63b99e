"""The content of a submission, handed over once per attempt, and never after it was revoked.

Two rules keep a submission from being sent twice:

- aiohttp by itself sends an idempotent method (PUT!) again when a connection drops.
  Therefore every body, JSON too, is a ``Body``: it refuses to be iterated a second time.
- The last chunk is what completes a message. ``Body.complete`` turns true just before
  it is handed over, so "not complete" is proof that the server cannot have accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from symbl_aio._callback_checks import awaitable, must_go_on
from symbl_aio._io.deadlines import Deadline
from symbl_aio._io.sendfile import SendFile
from symbl_aio._media.upload_chunks import Chunk
from symbl_aio._threads import GRACE
from symbl_aio.config import Timeouts
from symbl_aio.errors import ConfigurationError, SymblError, UploadError

_PIECE: Final = 256 * 1024


class ReplayRefusedError(Exception):
    """Something tried to send a body a second time."""


class Body:
    """The body of one attempt: iterable once, of known size, and aware of how far it got.

    ``confirm`` is awaited before the last chunk is handed over. ``starved``: the source was
    asked for a chunk and has not given it (yet). ``kernel`` sends parts of a file between two
    chunks, unless ``is_traced``: then the caller's session watches each chunk.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[Chunk, None],
        size: int,
        report: Callable[[int, int], None],
        confirm: Callable[[], Awaitable[None]] | None = None,
        kernel: SendFile | None = None,
    ) -> None:
        self.size = size
        self.started = False
        self.complete = False
        self.is_traced = False
        self.error: SymblError | None = None
        self._chunks = chunks
        self._report = report
        self._confirm = confirm
        self._kernel = kernel
        self._asked = False
        self._taken = False
        self._stopped = False
        self._closes_itself = False
        self._sent = 0
        self._reading = asyncio.Lock()
        self._deadline: Deadline | None = None
        self._stall = self._answer = 0.0

    def watch(self, deadline: Deadline, times: Timeouts) -> None:
        """Postpone a deadline with each chunk handed over: the next one, or the answer, is due."""
        self._deadline, self._stall, self._answer = deadline, times.stall, times.answer

    @property
    def starved(self) -> bool:
        return self._asked and not (self._kernel is not None and self._kernel.is_waiting)

    def connected(self, writer: AbstractStreamWriter) -> None:
        """Allow the kernel to send parts of a file on the connection of this attempt."""
        if self._kernel is not None and not self.is_traced:
            self._kernel.attach(getattr(writer, "transport", None), self._passed)

    def _passed(self, sent: int) -> None:
        if self._stopped:
            raise ReplayRefusedError("this body was withdrawn")
        self._sent += sent
        if self._deadline is not None:
            self._deadline.postpone(self._stall)
        self._report(self._sent, self.size)

    def __aiter__(self) -> AsyncIterator[Chunk]:
        if self._taken:
            raise ReplayRefusedError("a body is sent once")
        self._taken = True
        return self

    async def __anext__(self) -> Chunk:
        async with self._reading:
            self.started = self._asked = True
            self._report(self._sent, self.size)
            try:
                chunk = await self._next()
                if self._confirm is not None and self._sent + len(chunk) == self.size:
                    await self._confirmed(self._confirm)
            except SymblError as error:
                self.error = error
                raise
            finally:
                if self._closes_itself:
                    await self._chunks.aclose()
            self._asked = False
            if self._stopped:
                raise ReplayRefusedError("this body was withdrawn")
            self._sent += len(chunk)
            complete = self._sent == self.size
            if self._deadline is not None:
                self._deadline.postpone(self._answer if complete else self._stall)
            # From here to the transport nothing waits: from "complete" on, it may arrive.
            self.complete = complete
            return chunk

    async def _next(self) -> Chunk:
        async for chunk in self._chunks:
            if self._sent + len(chunk) > self.size:
                raise UploadError(f"the body is longer than the {self.size} bytes announced")
            return chunk
        if not self.complete:
            raise UploadError(f"the body ended at {self._sent} of {self.size} bytes announced")
        raise StopAsyncIteration

    async def _confirmed(self, confirm: Callable[[], Awaitable[None]]) -> None:
        try:
            await awaitable("before_last_byte", confirm())
        except ConfigurationError:
            raise
        except BaseException as error:
            if must_go_on(error):
                raise
            raise UploadError(
                f"before_last_byte raised {type(error).__name__}; nothing complete was sent"
            ) from error

    def revoke(self) -> bool:
        """Stop handing over; false if the last byte was handed over already."""
        self._stopped = True
        return not self.complete

    def refused(self) -> None:
        """Record an answer by which nothing was accepted, though all was handed over."""
        self.complete = False

    async def aclose(self) -> None:
        """Close the source, once no read is under way; nothing is handed over after that.

        A read that is under way closes the source when it ends. It is waited for only a moment:
        a caller's, which waits for a thread, may go on although it was cancelled.
        """
        self._stopped = True
        if self._kernel is not None:
            self._kernel.detach()
        if self._reading.locked():
            self._closes_itself = True
            with suppress(TimeoutError):
                async with asyncio.timeout(2 * GRACE), self._reading:  # a disk has its own moment
                    pass
        else:
            async with self._reading:
                await self._chunks.aclose()


@aiohttp.payload_type(Body)
class _BodyPayload(aiohttp.AsyncIterablePayload):
    """What aiohttp makes of a ``Body``; it gives the body the connection of its attempt.

    Made for each attempt of aiohttp, so that a body still refuses the second one.
    """

    def __init__(self, body: Body, *args: Any, **kwargs: Any) -> None:
        super().__init__(body, *args, **kwargs)  # type: ignore[arg-type]  # memoryviews, too
        self._body = body

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        self._body.connected(writer)
        await super().write_with_length(writer, content_length)


class Payload:
    """The content of a submission: a fresh ``Body`` for each attempt, until it is revoked.

    ``chunks`` makes the pieces of an attempt, ``size`` bytes in all. ``report`` is called with
    the bytes handed over and ``size``; ``confirm`` and ``kernel`` as by ``Body``.
    """

    def __init__(
        self,
        chunks: Callable[[], AsyncGenerator[Chunk, None]],
        size: int,
        report: Callable[[int, int], None],
        confirm: Callable[[], Awaitable[None]] | None = None,
        kernel: SendFile | None = None,
    ) -> None:
        self._chunks = chunks
        self._size = size
        self._report = report
        self._confirm = confirm
        self._kernel = kernel
        self._body: Body | None = None
        self._revoked = False

    @property
    def complete(self) -> bool:
        """Whether all of the attempt under way was handed over."""
        return self._body is not None and self._body.complete

    def body(self) -> Body:
        """Make the body of the next attempt. Raises ``CancelledError`` once it was revoked."""
        if self._revoked:
            raise asyncio.CancelledError
        self._body = Body(self._chunks(), self._size, self._report, self._confirm, self._kernel)
        return self._body

    def revoke(self) -> bool:
        """Send nothing more; false if the last byte was handed over already.

        Even then there is no other attempt, should the server refuse this one.
        """
        self._revoked = True
        return self._body is None or self._body.revoke()


async def once(data: bytes) -> AsyncGenerator[bytes, None]:
    """Yield bytes that are in memory as the chunks of a ``Body``.

    In pieces, so that a long one is not complete before its first byte has left, and the
    time for the answer does not run while it is still on its way.
    """
    for at in range(0, len(data), _PIECE):
        yield data[at : at + _PIECE]
