"""Recordings to send: sparse mp4 files of any size; and a certificate for one run."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MIB: Final = 2**20
GIB: Final = 2**30
# With an index, though an empty one: without it the client takes it for an interrupted recording.
HEAD: Final = struct.pack(">I4s4sI4sI4s", 20, b"ftyp", b"isom", 0, b"isom", 8, b"moov")


@contextmanager
def recordings(*sizes: int, read: bool = True) -> Iterator[list[str]]:
    """Create a sparse file of each size for the block.

    ``read``: read each once, so that it is in the page cache for all contenders.
    """
    with tempfile.TemporaryDirectory(prefix="symbl-bench-") as folder:
        paths = [Path(folder) / f"{number}.mp4" for number in range(len(sizes))]
        for path, size in zip(paths, sizes, strict=True):
            with path.open("wb") as file:
                file.write(HEAD + struct.pack(">I4sQ", 1, b"mdat", size - len(HEAD)))
                file.truncate(size)
            if read:
                with path.open("rb", buffering=0) as file:
                    while file.read(MIB):
                        pass
        yield [str(path) for path in paths]


@contextmanager
def certificate() -> Iterator[str]:
    """Create a self-signed certificate of 127.0.0.1, with its key, in one PEM file."""
    with tempfile.TemporaryDirectory(prefix="symbl-bench-") as folder:
        key, made, both = (str(Path(folder) / name) for name in ("key", "made", "both"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
             "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", key, "-out", made],
            check=True, capture_output=True,
        )  # fmt: skip
        Path(both).write_text(Path(key).read_text() + Path(made).read_text())
        yield both


def tool(name: str) -> str | None:
    """Return the version of a program, or ``None`` if it is not installed."""
    if shutil.which(name) is None:
        return None
    flag = "version" if name == "openssl" else "--version"
    printed = subprocess.run([name, flag], capture_output=True, text=True, check=True).stdout
    return " ".join(printed.split()[:2])
