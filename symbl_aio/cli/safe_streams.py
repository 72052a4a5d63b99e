"""Standard streams whose reader may fail or pause: neither stops the work nor delays it.

Imported first by every command, so asyncio and attrs are imported on use.
"""

from __future__ import annotations

import codecs
import errno
import os
import select
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, Final, TextIO

GRACE: Final = 1.0
"""Seconds that a command waits for a paused reader after a stop signal, at most."""

MOST_CHARACTERS: Final = 64 * 2**20
"""Characters that are buffered for a reader; beyond them the stream counts as broken."""

FLUSH_TIMEOUT: Final = 0.05
"""Seconds that ``flush`` waits for a reader that has not paused, at most."""


class Writer:
    """Writes text to the file descriptor of ``stream`` in a daemon thread, in order.

    A reader that pauses never blocks the caller. ``write`` and ``flush`` raise the ``OSError``
    with which an earlier write failed, as the stream itself would. The stream's own buffer is
    bypassed: a thread blocked in it when Python exits would hold its lock.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._fd = stream.fileno()
        # Incremental: in UTF-16 only the first text has a byte order mark.
        self._encode: Callable[[str], bytes] = codecs.getincrementalencoder(stream.encoding)(
            "backslashreplace"
        ).encode
        self._texts: deque[str] = deque()
        self._pending = 0
        self._is_behind = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def behind(self) -> bool:
        """Whether the reader has paused: text is buffered, and ``flush`` does not wait."""
        return self._is_behind

    def write(self, text: str) -> int:
        if not isinstance(text, str):  # libraries probe for a text stream this way
            raise TypeError(f"a text stream takes no {type(text).__name__}")
        with self._changed:
            self._raise_error()
            if self._pending + len(text) > MOST_CHARACTERS:
                self._error = OSError(errno.ENOBUFS, "too much of it was not read")
                self._raise_error()
            if text:
                self._texts.append(text)
                self._pending += len(text)
        return len(text)

    def flush(self) -> None:
        """Start writing; wait for a reader that is not ``behind``, up to ``FLUSH_TIMEOUT``."""
        self.wait(0 if self._is_behind else FLUSH_TIMEOUT)
        with self._changed:
            self._raise_error()

    def push(self) -> None:
        """Start writing, and do not wait for the reader: a change of threads costs CPU."""
        with self._changed:
            self._raise_error()
            if self._pending:
                self._start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait up to ``timeout`` seconds; return whether no text is pending, or writing failed."""
        with self._changed:
            if self._pending and self._error is None:
                self._start()
                self._changed.wait_for(self._is_done, timeout)
            self._is_behind = not self._is_done()
            return not self._is_behind

    def abandon(self) -> None:
        """Drop the pending text; writing raises from now on."""
        with self._changed:
            self._error = self._error or OSError(errno.ETIMEDOUT, "it was not read")

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name=f"symbl-aio-writer-{self._fd}", daemon=True
            )
            self._thread.start()
        self._changed.notify_all()

    def _is_done(self) -> bool:
        return not self._pending or self._error is not None

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._texts)
                text = "".join(self._texts)
                self._texts.clear()
            try:
                # The stream would translate line ends, but its buffer is bypassed.
                self._write(self._encode(text.replace("\n", os.linesep)))
            except Exception as error:
                with self._changed:
                    self._error = self._error or error
            with self._changed:
                self._pending -= len(text)
                self._is_behind = self._is_behind and not self._is_done()
                self._changed.notify_all()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:  # a process that shares the terminal set it non-blocking
                select.select([], [self._fd], [])


def clean(text: str) -> str:
    """Return text without control characters, which would steer the terminal."""
    if text.isprintable():
        return text
    from symbl_aio._fields import CONTROLS

    return CONTROLS.sub(" ", text)


class Output:
    """A text stream that never raises when it is written to.

    Once a write fails (a closed pipe, a full disk, a closed terminal) the rest is dropped and
    ``broken`` is the reason; ``on_break`` is called with it, once. Characters that the
    stream's encoding lacks are written as ``\\u2501``. A ``Writer`` buffers the text that a
    paused reader has not read yet.
    """

    def __init__(
        self,
        stream: TextIO | Writer | None,
        on_break: Callable[[Exception], None] | None = None,
    ) -> None:
        self.broken: Exception | None = None
        self._on_break = on_break
        # ``sys.stdout`` is None in a process without the descriptor (``>&-``); a write fails then.
        self._stream = open(os.devnull) if stream is None else stream  # noqa: SIM115
        with suppress(AttributeError, OSError, ValueError):
            self._stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "ascii"

    def write(self, text: str) -> int:
        if self.broken is None:
            try:
                self._stream.write(text)
            except (OSError, ValueError) as error:
                self._break(error)
        return len(text)

    def flush(self) -> None:
        if self.broken is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._break(error)

    def line(self, text: str) -> None:
        """Write a line, and flush it."""
        self.write(text + "\n")
        self.flush()

    def push(self) -> None:
        """Begin to write what is buffered, as ``flush`` does, without a wait for the reader."""
        if isinstance(self._stream, Writer):
            if self.broken is None:
                try:
                    self._stream.push()
                except OSError as error:
                    self._break(error)
        else:
            self.flush()

    @property
    def behind(self) -> bool:
        """Whether the reader has paused, so that more lines would only be buffered."""
        return self.broken is None and isinstance(self._stream, Writer) and self._stream.behind

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until all was read, up to ``timeout`` seconds; return whether it was written."""
        if self.broken is None and isinstance(self._stream, Writer):
            self._stream.wait(timeout)
            self.flush()
        return self.broken is None and not self.behind

    async def read(self) -> None:
        """Wait until a paused reader has read all of it, without blocking the event loop."""
        import asyncio

        while not self.drain(0) and self.broken is None:  # noqa: ASYNC110, a thread writes
            await asyncio.sleep(FLUSH_TIMEOUT)

    def abandon(self) -> None:
        """Drop the text that a paused reader has not read; the stream is broken from now on."""
        if self.behind and isinstance(self._stream, Writer):
            self._on_break = None
            self._stream.abandon()
            self.flush()

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self.broken is None and self._stream.isatty()
        return False

    def _break(self, error: Exception) -> None:
        self.broken = error
        # Python flushes the buffer again when it exits; a failure there changes the exit code.
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
        if self._on_break is not None:
            self._on_break(error)


def stdout() -> Output:
    """Return the standard output, whose failure is reported once on stderr."""
    found = sys.stdout
    return found if isinstance(found, Output) else Output(found, _report)


def stderr() -> Output:
    """Return the standard error stream; its failure cannot be reported."""
    found = sys.stderr
    return found if isinstance(found, Output) else Output(found)


def stdin() -> IO[bytes] | None:
    """Return a reader of the standard input; ``None`` for a process without the descriptor.

    Its buffer is not that of ``sys.stdin``, whose lock Python needs to end: it aborts if a thread
    still waits there for input.
    """
    if sys.stdin is None:
        return None
    try:
        # A program that shares the pipe may leave it in non-blocking mode, in which a slow writer
        # is the end of the input.
        os.set_blocking(sys.stdin.fileno(), True)
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except (AttributeError, OSError, ValueError):  # a stream without a descriptor
        return sys.stdin.buffer


def protect() -> None:
    """Replace both standard streams by ``Output``, for click, logs and all other writers."""
    # The next socket or file would get the number of a closed standard stream, and children
    # would write to it.
    while (lowest := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(lowest)
    for stream in (sys.stdout, sys.stderr):
        # A parent may leave a pipe in non-blocking mode, in which a slow reader is an error.
        with suppress(AttributeError, OSError, ValueError):
            os.set_blocking(stream.fileno(), True)
    sys.stdout, sys.stderr = Output(_buffered(sys.stdout), _report), Output(_buffered(sys.stderr))


def leave(timeout: float | None = None) -> None:
    """Wait until both standard streams are read; drop the rest after ``timeout`` seconds."""
    until = None if timeout is None else time.monotonic() + timeout
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Output):
            # At least 0.1 s for each, even if the other used up the time.
            stream.drain(None if until is None else max(0.1, until - time.monotonic()))
            stream.abandon()
            if isinstance(stream._stream, Writer) and stream.broken is None:
                # While Python exits no thread runs, so later text goes to the stream itself.
                stream._stream = stream._stream._stream


def _buffered(stream: TextIO | None) -> TextIO | Writer | None:
    """Return a ``Writer`` for a stream with a reader; a file is written to directly."""
    with suppress(AttributeError, OSError, ValueError):
        if stream is not None and not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return Writer(stream)
    return stream


def _report(error: Exception) -> None:
    reason = getattr(error, "strerror", None) or error
    out = stderr()
    out.write(f"symbl-aio: the output cannot be written ({reason}); the work goes on\n")
    out.flush()
