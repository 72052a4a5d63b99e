"""Streams that may fail at any time: what cannot be written ends the printing, not the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

from symbl_aio._fields import is_control


def clean(text: str) -> str:
    """Return text without what would steer the terminal; a server may send anything."""
    if text.isprintable():
        return text
    return "".join(" " if is_control(c) else c for c in text)


class Output:
    """A text stream that never raises when it is written to.

    Once a write fails (a closed pipe, a full disk, a terminal that is gone) the rest is dropped
    and ``broken`` is the reason; ``on_break`` is called with it, once. Characters that the
    stream's encoding has not are written as ``\\u2501``.
    """

    def __init__(
        self, stream: TextIO | None, on_break: Callable[[Exception], None] | None = None
    ) -> None:
        self.broken: Exception | None = None
        self._on_break = on_break
        self._stream = open(os.devnull, "w") if stream is None else stream  # noqa: SIM115
        with suppress(AttributeError, OSError, ValueError):
            self._stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]
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
    sys.stdout, sys.stderr = stdout(), stderr()


def _report(error: Exception) -> None:
    reason = getattr(error, "strerror", None) or error
    out = stderr()
    out.write(f"symbl-aio: the output cannot be written ({reason}); the work goes on\n")
    out.flush()
