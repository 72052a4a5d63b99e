"""A file open for an upload: read, sent and checked in threads, with a time limit on each wait."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager, contextmanager, suppress
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import aiofiles

from symbl_aio._core.passing_faults import passes
from symbl_aio._error_classes import (
    FileChangedError,
    FileUnavailableError,
    SymblError,
    UploadError,
    UploadStalledError,
)
from symbl_aio._media.inspect import Identity
from symbl_aio._threads import GRACE, Stalled, Watch

if TYPE_CHECKING:
    from aiofiles.threadpool.binary import AsyncFileIO

T = TypeVar("T")
P = ParamSpec("P")

_SEND_SECONDS: Final = 0.05
"""For which a thread goes on with a socket whose server takes all."""
_ROOM_MILLISECONDS: Final = 5
"""For which a thread waits until it does. A change of threads costs as much CPU as a megabyte that
the kernel sends; a slower server is waited for on the event loop, which takes no thread."""

SUBMIT_AGAIN: Final = "nothing complete was sent: submit it again once nobody writes to it"


class _Calls(Executor):
    """Executor for the calls of one file, one at a time; it keeps the last one."""

    def __init__(self, threads: Executor) -> None:
        self._threads = threads
        self.last: Future[Any] | None = None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future = self._threads.submit(fn, *args, **kwargs)
        self.last = future
        return future

    def running(self) -> Future[Any] | None:
        """Return the last call."""
        return self.last


class OpenFile:
    """An open file, never closed while a thread reads it.

    Else its handle's number might already belong to another file. A thread that does not
    answer closes the file itself, should it ever return.
    """

    def __init__(
        self, file: AsyncFileIO, raw: IO[bytes], calls: _Calls, shown: str, files: Watch
    ) -> None:
        self._file = file
        self._raw = raw
        self._calls = calls
        self._shown = shown
        self._files = files

    def read(self, size: int) -> asyncio.Task[bytes]:
        """Start to read up to ``size`` bytes."""
        return asyncio.ensure_future(self._file.read(size))

    async def seek(self, offset: int) -> None:
        """Make the next ``read`` begin at ``offset``."""
        await self.wait(asyncio.ensure_future(self._file.seek(offset)))

    async def send(self, offset: int, count: int, piece: int, socket: int) -> int:
        """Send up to ``count`` bytes to a socket by the kernel, and return how many went out.

        0: the bytes have to be read, which raises the disk's error, if there is one.
        """
        try:
            own = os.dup(socket)  # the thread's, like the file, should it return too late
        except OSError:  # no descriptor is left
            return 0
        try:
            with translated(self._shown):
                sending = self._calls.submit(_send, own, self._raw.fileno(), offset, count, piece)
        except BaseException:
            os.close(own)
            raise
        sending.add_done_callback(lambda _: os.close(own))
        return await self.wait(asyncio.wrap_future(sending))

    async def wait(self, work: asyncio.Future[T]) -> T:
        """Wait for a call, with a time limit."""
        with translated(self._shown):
            return await self._files.wait(work, self._calls.running)

    async def refuse_change(self, seen: Identity) -> None:
        """Raise ``FileChangedError`` if the file is no longer what it was."""
        with translated(self._shown):
            future = self._calls.submit(os.fstat, self._raw.fileno())
        now = Identity.of(await self.wait(asyncio.wrap_future(future)))
        if change := seen.change(now):
            raise FileChangedError(
                f"{self._shown} changed after it was examined: {change}; {SUBMIT_AGAIN}"
            )

    async def discard(self, reading: asyncio.Task[bytes]) -> None:
        """Wait a moment for a read ahead, since its file is about to be closed."""
        if reading.cancelling():
            return  # it was waited for, and given up
        if not reading.done():
            with suppress(Exception):  # its bytes were not requested, so its error is not raised
                await self._files.wait(reading, self._calls.running, GRACE)
        elif not reading.cancelled():
            reading.exception()

    async def close(self) -> None:
        """Close the file; if a thread still reads it, that thread closes it."""
        last = self._calls.last
        if last is not None and not last.done():
            last.add_done_callback(lambda _: self._raw.close())
            return
        closing = asyncio.ensure_future(self._file.close())
        try:
            with suppress(Stalled):
                await self._files.wait(closing, self._calls.running)
        finally:
            # At the end of a loop every task is cancelled, this one perhaps before its first step.
            if (last := self._calls.last) is not None and not self._raw.closed:
                last.add_done_callback(lambda _: self._raw.close())


@asynccontextmanager
async def opened(path: str | os.PathLike[str], shown: str, files: Watch) -> AsyncIterator[OpenFile]:
    """Open a file for the block, and close it even if cancelled while it is being opened."""
    calls = _Calls(files.threads)
    opening = asyncio.ensure_future(aiofiles.open(path, "rb", buffering=0, executor=calls))
    try:
        with translated(shown):
            file = await files.wait(opening, calls.running)
    except BaseException:
        if calls.last is not None:
            calls.last.add_done_callback(_close_unwanted)
        raise
    assert calls.last is not None
    found = OpenFile(file, calls.last.result(), calls, shown, files)
    try:
        yield found
    finally:
        await found.close()


def _send(socket: int, file: int, offset: int, count: int, piece: int) -> int:
    """Send piece by piece until the server is slow to take more, or some time is over."""
    sent, until = 0, monotonic() + _SEND_SECONDS
    room = select.poll()
    room.register(socket, select.POLLOUT)
    # An error of the disk or of the connection shows again when the bytes are read and written.
    with suppress(OSError):
        while sent < count and monotonic() < until and room.poll(_ROOM_MILLISECONDS):
            part = os.sendfile(socket, file, offset + sent, min(piece, count - sent))
            sent += part
            if not part:  # the file became shorter
                break
    return sent


def _close_unwanted(opening: Future[IO[bytes]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


@contextmanager
def translated(shown: str) -> Iterator[None]:
    """Raise what a disk raises in the block as the error of an upload of ``shown``."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileChangedError(f"{shown} is no longer there; {SUBMIT_AGAIN}") from error
    except Stalled as error:
        raise UploadStalledError(f"{shown} cannot be read (the disk gives {error})") from None
    except (OSError, RuntimeError, MemoryError) as error:
        if isinstance(error, SymblError) or not (isinstance(error, OSError) or passes(error)):
            raise
        raise unreadable(shown, error) from error


def unreadable(shown: str, error: BaseException) -> UploadError:
    """Return the error of an upload whose file cannot be read."""
    why = error.strerror if isinstance(error, OSError) else str(error)
    kind = FileUnavailableError if passes(error) else UploadError
    return kind(f"{shown} cannot be read ({why or type(error).__name__})")


def reason(error: OSError) -> str:
    """Return the cause of an error of a disk."""
    return error.strerror or type(error).__name__
