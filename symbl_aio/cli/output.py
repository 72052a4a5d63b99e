"""Streams that may fail or pause at any time: neither ends the work, nor delays it."""

from __future__ import annotations

import asyncio
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
from typing import Any, Final, TextIO

from symbl_aio._fields import is_control

GRACE: Final = 1.0
"""Longest time in seconds that a command which was told to stop waits for a paused reader."""

MOST_CHARACTERS: Final = 64 * 2**20
"""So much waits for a reader; beyond it the stream counts as one that cannot be written."""

PATIENCE: Final = 0.05
"""Longest time in seconds that ``flush`` waits for a reader that has read all before."""


class Writer:
    """Writes text to the descriptor of ``stream`` in a daemon thread, in order, losing none.

    ``write`` and ``flush`` raise the ``OSError`` with which an earlier write failed, as the
    stream itself would. The stream's own buffer is passed by: a thread that is blocked in it
    when Python ends would hold its lock.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._fd = stream.fileno()
        self._encode: Callable[[str], bytes] = codecs.getincrementalencoder(stream.encoding)(
            "backslashreplace"
        ).encode
        self._texts: deque[str] = deque()
        self._waiting = 0
        self._late = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def behind(self) -> bool:
        """Whether a reader has paused: text waits for it, and ``flush`` does not."""
        return self._late

    def write(self, text: str) -> int:
        if not isinstance(text, str):  # by which others learn what kind of stream it is
            raise TypeError(f"a text stream takes no {type(text).__name__}")
        with self._changed:
            self._raise()
            if self._waiting + len(text) > MOST_CHARACTERS:
                self._error = OSError(errno.ENOBUFS, "too much of it was not read")
                self._raise()
            if text:
                self._texts.append(text)
                self._waiting += len(text)
        return len(text)

    def flush(self) -> None:
        """Hand over what was written, and wait for a reader that reads, at most ``PATIENCE``."""
        self.wait(0 if self._late else PATIENCE)
        with self._changed:
            self._raise()

    def wait(self, timeout: float | None = None) -> bool:
        """Return whether nothing waits any longer: all was taken, or it never will be."""
        with self._changed:
            if self._waiting and self._error is None:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._run, name=f"symbl-aio-writer-{self._fd}", daemon=True
                    )
                    self._thread.start()
                self._changed.notify_all()
                self._changed.wait_for(self._over, timeout)
            self._late = not self._over()
            return not self._late

    def abandon(self) -> None:
        """Drop what still waits; writing raises from now on."""
        with self._changed:
            self._error = self._error or OSError(errno.ETIMEDOUT, "it was not read")

    def _over(self) -> bool:
        return not self._waiting or self._error is not None

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._texts)
                text = "".join(self._texts)
                self._texts.clear()
            try:
                self._put(self._encode(text.replace("\n", os.linesep)))
            except Exception as error:
                with self._changed:
                    self._error = self._error or error
            with self._changed:
                self._waiting -= len(text)
                self._late = self._late and not self._over()
                self._changed.notify_all()

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:  # another process set the shared terminal or pipe so
                select.select([], [self._fd], [])


def clean(text: str) -> str:
    """Return text without what would steer the terminal; a server may send anything."""
    if text.isprintable():
        return text
    return "".join(" " if is_control(c) else c for c in text)


class Output:
    """A text stream that never raises when it is written to.

    Once a write fails (a closed pipe, a full disk, a terminal that is gone) the rest is dropped
    and ``broken`` is the reason; ``on_break`` is called with it, once. Characters that the
    stream's encoding has not are written as ``\\u2501``. What a paused reader has not taken yet
    waits in a ``Writer``, if the stream is one.
    """

    def __init__(
        self,
        stream: TextIO | Writer | None,
        on_break: Callable[[Exception], None] | None = None,
    ) -> None:
        self.broken: Exception | None = None
        self._on_break = on_break
        self._stream = open(os.devnull, "w") if stream is None else stream  # noqa: SIM115
        with suppress(AttributeError, OSError, ValueError):
            self._stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        if stream is None:
            self.broken = OSError("it was closed from the beginning")

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

    @property
    def behind(self) -> bool:
        """Whether its reader has paused, so that more lines would only wait."""
        return self.broken is None and isinstance(self._stream, Writer) and self._stream.behind

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until all was taken, ``timeout`` seconds at most; return whether it was written."""
        if self.broken is None and isinstance(self._stream, Writer):
            self._stream.wait(timeout)
            self.flush()
        return self.broken is None and not self.behind

    async def read(self) -> None:
        """Wait until a paused reader has taken all of it; the event loop goes on."""
        while not self.drain(0) and self.broken is None:  # noqa: ASYNC110, a thread writes
            await asyncio.sleep(PATIENCE)

    def abandon(self) -> None:
        """Drop what a paused reader has not taken; it counts as broken from now on."""
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
        # What is still buffered would be tried again when Python ends, and change the exit code.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        if self._on_break is not None:
            self._on_break(error)


def stdout() -> Output:
    """Return the standard output, whose failure is reported once on stderr."""
    found = sys.stdout
    return found if isinstance(found, Output) else Output(found, _report)


def stderr() -> Output:
    """Return the standard error stream; nobody can be told of its failure."""
    found = sys.stderr
    return found if isinstance(found, Output) else Output(found)


def protect() -> None:
    """Put ``Output`` in place of both standard streams, for click, logs and all else."""
    # A closed descriptor would be given to the next socket or file, and be written to by children.
    while (lowest := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(lowest)
    for stream in (sys.stdout, sys.stderr):
        # A parent may leave a pipe in non-blocking mode, in which a slow reader is an error.
        with suppress(AttributeError, OSError, ValueError):
            os.set_blocking(stream.fileno(), True)
    sys.stdout, sys.stderr = Output(_paused(sys.stdout), _report), Output(_paused(sys.stderr))


def leave(patience: float | None = None) -> None:
    """Wait until both standard streams are taken; drop what is not within ``patience`` seconds."""
    until = None if patience is None else time.monotonic() + patience
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Output):
            stream.drain(None if until is None else max(0.1, until - time.monotonic()))
            stream.abandon()
            if isinstance(stream._stream, Writer) and stream.broken is None:
                # What is printed while Python ends finds no thread to write it.
                stream._stream = stream._stream._stream


def _paused(stream: TextIO | None) -> TextIO | Writer | None:
    """Return a stream whose reader may pause; a file has none, and is written to directly."""
    with suppress(AttributeError, OSError, ValueError):
        if stream is not None and not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return Writer(stream)
    return stream


def _report(error: Exception) -> None:
    reason = getattr(error, "strerror", None) or error
    out = stderr()
    out.write(f"symbl-aio: the output cannot be written ({reason}); the work goes on\n")
    out.flush()
