"""A text stream written to by a thread, so that a reader that pauses never blocks the caller."""

from __future__ import annotations

import codecs
import errno
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TextIO

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
