"""Inspection of media before the upload, and its bytes in chunks, afresh for each attempt.

The last chunk is held back until the whole is known to be as announced: an upload that
stops in front of it has provably sent an incomplete message.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from inspect import isawaitable
from typing import Final, TypeAlias

from attrs import evolve

from symbl_aio._callback_checks import must_go_on
from symbl_aio._core.passing_faults import CALLERS
from symbl_aio._error_classes import (
    FileChangedError,
    MediaRejectedError,
    SymblError,
    UploadError,
)
from symbl_aio._fields import type_name
from symbl_aio._log import Log
from symbl_aio._media.containers import MP4_HEAD_BYTES, sniff
from symbl_aio._media.inspect import (
    Identity,
    Prepared,
    content_type,
    examine,
    feed,
    require_mp4,
)
from symbl_aio._media.open_file import SUBMIT_AGAIN, opened, reason, translated, unreadable
from symbl_aio._threads import Threads, Watch
from symbl_aio.media import (
    Audio,
    AudioURL,
    Media,
    OneShot,
    Recording,
    SealedPath,
    Text,
    Video,
    VideoURL,
    describe,
)

try:
    import resource
except ImportError:  # on Windows, which has no such limit
    resource = None  # type: ignore[assignment]

_LOG = Log("symbl_aio")

Chunk: TypeAlias = bytes | memoryview
"""Immutable bytes, or a view of them, cut without copying."""

SendPart: TypeAlias = Callable[[Callable[[int], Awaitable[int]]], Awaitable[int]]
"""Calls a function with the descriptor of a socket that has room, and returns its result: how
many bytes the kernel sent there. 0 without a call where there is no such socket."""

_HANDLES_PER_UPLOAD: Final = 4
"""Of the descriptors a process may open. An upload takes two, a file and a socket; half of all
are left to the rest of the process."""
_MAX_THREADS: Final = 8
_PIECE: Final = 3 * 2**17
"""Bytes at most that are handed over at once. asyncio encrypts them in one go, in memory of twice
their size, and lets a writer wait from 512 KiB on."""


def max_uploads() -> int:
    """Return how many uploads may run at once, by the descriptors that this process may open."""
    if resource is None:
        return sys.maxsize
    handles, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = handles == resource.RLIM_INFINITY
    return sys.maxsize if unlimited else max(1, handles // _HANDLES_PER_UPLOAD)


def file_threads(stall: float) -> Watch:
    """Return the threads for the files of one client. None starts before it is needed.

    ``stall``: seconds that a disk may take to answer.
    """
    return Watch(Threads("symbl_aio files", _MAX_THREADS), stall)


async def prepare(media: Media | Recording, files: Watch) -> Prepared:
    """Settle the kind of media, and check that the API could accept it.

    Reads a few kilobytes of a file, independent of its size, and nothing from a stream, which is
    checked when it is sent. Raises ``MediaRejectedError`` for a file that is missing,
    unreadable, empty, of the wrong kind or longer than four hours, and ``UploadError`` if
    the disk fails, as ``chunks`` does.
    """
    if isinstance(media, Text | AudioURL | VideoURL):
        return Prepared(media)
    # One trip to a thread for all the small reads of a file; ``with`` closes it there even if
    # the waiting task was cancelled.
    if isinstance(media, Recording):
        return await _inspect(media, media.path, files)
    source = media.source
    if isinstance(source, OneShot):
        return Prepared(media, media.size, content_type(media))
    if isinstance(source, bytes):
        return feed(examine(media, len(source)), lambda at, count: source[at : at + count])
    return await _inspect(media, source, files)


async def _inspect(
    media: Audio | Video | Recording, path: str | os.PathLike[str], files: Watch
) -> Prepared:
    with translated(describe(media)):
        return await files.run(partial(_inspect_file, media, path, files))


def _inspect_file(
    media: Audio | Video | Recording, path: str | os.PathLike[str], files: Watch
) -> Prepared:
    try:
        # Before it is opened: opening a pipe would block until a process writes to it.
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            what = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
            raise MediaRejectedError(f"{describe(media)} is {what}; give the path of a recording")
        with open(path, "rb", buffering=0) as file:
            identity = Identity.of(os.fstat(file.fileno()))

            def read(offset: int, length: int) -> bytes:
                file.seek(offset)
                return file.read(length)

            found = feed(examine(media, identity.size), read)
            return evolve(found, identity=identity, files=files)
    except OSError as error:
        if error.errno in CALLERS:
            raise MediaRejectedError(
                f"{describe(media)} cannot be opened ({reason(error)}); "
                "check the path and its permissions"
            ) from error
        raise unreadable(describe(media), error) from error


def chunks(
    prepared: Prepared, chunk_size: int, send_part: SendPart | None = None
) -> AsyncGenerator[Chunk, None]:
    """Return the body in pieces of at most ``chunk_size`` bytes, ``size`` bytes in all.

    A file is read ``chunk_size`` bytes at a time, one such chunk ahead of the yielded one.
    With ``send_part``, parts between the first piece and the last one may go out without
    being yielded.
    Every call starts afresh; only a stream can be read once, and raises ``UploadError``
    after that. No piece is ever reused. Before the last piece is yielded, everything is
    checked again: ``FileChangedError`` if the file is no longer what it was,
    ``UploadError`` if it cannot be read (``FileUnavailableError`` if that may pass,
    ``UploadStalledError`` if the disk does not answer in time) or a stream is not of the
    announced length, ``MediaRejectedError`` (before the first piece) if a ``Video`` stream
    is no mp4. Nothing stays open however the reading ends.
    """
    media = prepared.media
    if not isinstance(media, Audio | Video) or prepared.size is None:
        raise TypeError(f"{type(media).__name__} has no bytes of its own: its body is JSON")
    if isinstance(media.source, OneShot):
        return _stream_chunks(media, media.source, prepared.size, chunk_size)
    if isinstance(media.source, bytes):
        return _bytes_chunks(media.source, chunk_size)
    identity, files = prepared.identity, prepared.files
    assert identity is not None
    assert files is not None
    shown = describe(media)
    return _file_chunks(media.source, shown, identity, chunk_size, files, send_part)


def _cut(data: Chunk, chunk_size: int) -> Iterator[Chunk]:
    size = min(chunk_size, _PIECE)
    if len(data) <= size:
        if data:
            yield data
        return
    view = memoryview(data)
    for at in range(0, len(data), size):
        yield view[at : at + size]


async def _bytes_chunks(data: bytes, chunk_size: int) -> AsyncGenerator[Chunk, None]:
    for chunk in _cut(data, chunk_size):
        yield chunk


async def _file_chunks(
    path: str | os.PathLike[str],
    shown: str,
    seen: Identity,
    chunk_size: int,
    files: Watch,
    send_part: SendPart | None,
) -> AsyncGenerator[Chunk, None]:
    chunk = b""
    async with opened(path, shown, files) as file:
        await file.refuse_change(seen)
        left = seen.size
        sealed = path.sha256 if isinstance(path, SealedPath) else None
        digest = hashlib.sha256()
        if send_part is not None and sealed is None and left > 2 * chunk_size:
            # The head of the request goes out with the first chunk.
            chunk = await file.wait(file.read(chunk_size))
            left -= len(chunk)
            yield memoryview(chunk)
            chunk = b""  # it is sent, and need not stay in memory
            while left > chunk_size and (
                sent := await send_part(
                    partial(file.send, seen.size - left, left - chunk_size, chunk_size)
                )
            ):
                left -= sent
            await file.seek(seen.size - left)
        reading = file.read(min(chunk_size, left))
        try:
            while left:
                chunk = await file.wait(reading)
                left -= len(chunk)
                if not left or not chunk:
                    await file.refuse_change(seen)
                if not chunk:
                    raise FileChangedError(f"{shown} ended {left} bytes early; {SUBMIT_AGAIN}")
                if left:
                    reading = file.read(min(chunk_size, left))
                    # A task takes its first step at the next turn of the loop. Without one
                    # here, the disk would begin only once the socket is full.
                    await asyncio.sleep(0)
                if sealed is not None:  # beside the reading of the next chunk
                    await files.run(partial(digest.update, chunk))
                    if not left and digest.hexdigest() != sealed:
                        raise FileChangedError(
                            f"{shown} has another content (SHA-256); {SUBMIT_AGAIN}"
                        )
                if left:
                    # A view, so that the transport can drop the sent part without a copy.
                    for piece in _cut(memoryview(chunk), chunk_size):
                        yield piece
        finally:
            await file.discard(reading)
    # After the file is closed, which takes a thread: a fast server's answer would come before, and
    # aiohttp closes the connection of a body that is not at its end.
    for piece in _cut(memoryview(chunk), chunk_size):
        yield piece


async def _stream_chunks(
    media: Audio | Video, stream: OneShot, size: int, chunk_size: int
) -> AsyncGenerator[Chunk, None]:
    with _of_source(media):
        iterator = aiter(stream)
    # The latest item waits for its successor, so that the end is known before it is yielded.
    held, received = b"", 0
    video = media if isinstance(media, Video) else None
    try:
        while (item := await _next_item(media, iterator)) is not None:
            received += len(item)
            if received > size:
                raise UploadError(
                    f"{media!r} gave more than it announced; give its exact size, in bytes"
                )
            if video is not None:
                held += item
                if len(held) >= MP4_HEAD_BYTES or received == size:
                    require_mp4(video, sniff(held))
                    video = None
                continue
            for chunk in _cut(held, chunk_size):
                yield chunk
            held = item
        if received < size:
            raise UploadError(
                f"{media!r} ended after {received} bytes; give its exact size, in bytes"
            )
        for chunk in _cut(held, chunk_size):
            yield chunk
    finally:
        await _close(media, iterator)


async def _next_item(media: Audio | Video, iterator: AsyncIterator[bytes]) -> bytes | None:
    """Return the next non-empty item of the caller's stream, ``None`` at its end."""
    item: bytes | bytearray | memoryview = b""
    while not item:
        with _of_source(media):
            try:
                item = await anext(iterator)
            except StopAsyncIteration:
                return None
        given: object = item
        if not isinstance(given, bytes | bytearray | memoryview):
            raise UploadError(f"{media!r} gave {type_name(given)}; it must give bytes")
    # A snapshot, for a producer that reuses its buffer; bytes are not copied.
    return bytes(item)


@contextmanager
def _of_source(media: Audio | Video) -> Iterator[None]:
    """Raise the errors of the caller's stream as an ``UploadError``.

    A ``ConnectionResetError`` of *its* connection must not be mistaken for one of the API's
    connection, nor work of its own that was cancelled for the end of the upload.
    """
    try:
        yield
    except SymblError:
        raise
    except BaseException as error:
        if must_go_on(error):
            raise
        raise UploadError(f"{media!r} broke: {type(error).__name__}") from error


async def _close(media: Audio | Video, iterator: AsyncIterator[bytes]) -> None:
    """Close the caller's stream. An error of that takes back nothing of what was sent."""
    close = getattr(iterator, "aclose", None)
    try:
        closing = None if close is None else close()
        if isawaitable(closing):
            await closing
    except BaseException as error:
        if must_go_on(error):
            raise
        _LOG.warning("%r could not be closed: %s", media, type(error).__name__)
