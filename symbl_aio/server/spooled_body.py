"""Spool a request body of any size to disk and hash it, without keeping it in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import mkstemp

from symbl_aio.server.thread_pool import run_in_thread

# The cost of switching to a thread is small beside hashing and writing this much.
_BATCH_SIZE = 4 * 1024 * 1024


class SpooledBody:
    """A body that is being received. ``size`` and ``head`` (its first 16 bytes) grow with it.

    ``path`` is the file, or None if the bytes are not kept. ``close()`` removes the file.
    ``synced``: a finished body is on the disk, so that a power failure does not take it.
    """

    def __init__(self, directory: Path, *, keep: bool, hashed: bool, synced: bool = False) -> None:
        self.size = 0
        self.head = b""
        self.sha256: str | None = None
        self.path: Path | None = None
        self._directory = directory
        self._keep = keep
        self._synced = synced
        self._digest = hashlib.sha256() if hashed else None
        self._batch: list[bytes] = []
        self._batch_size = 0

    @classmethod
    def stored(cls, path: Path, size: int, sha256: str | None) -> SpooledBody:
        """Return a body that was received whole by an earlier process."""
        body = cls(path.parent, keep=True, hashed=False)
        body.path, body.size, body.sha256 = path, size, sha256
        return body

    async def write(self, chunk: bytes) -> None:
        """Append a chunk; the disk is written in batches, in a thread. Raises OSError."""
        self.size += len(chunk)
        if len(self.head) < 16:
            self.head = (self.head + chunk[:16])[:16]
        # Nothing to do with the bytes: count them only.
        if not self._keep and self._digest is None:
            return
        self._batch.append(chunk)
        self._batch_size += len(chunk)
        if self._batch_size >= _BATCH_SIZE:
            await self._flush()

    async def finish(self) -> None:
        """Flush the last batch and set ``sha256``. Raises OSError."""
        await self._flush()
        if self._synced and self.path is not None:
            await run_in_thread(_sync, self.path)
        if self._digest is not None:
            self.sha256 = self._digest.hexdigest()

    async def _flush(self) -> None:
        batch, self._batch, self._batch_size = self._batch, [], 0
        if batch:
            await _finish_in_thread(lambda: self._write_batch(batch))

    def _write_batch(self, batch: list[bytes]) -> None:
        if self._keep:
            # Created with the first batch: a body that is refused early leaves no file.
            if self.path is None:
                descriptor, name = mkstemp(dir=self._directory)
                os.close(descriptor)
                self.path = Path(name)
            with self.path.open("ab", buffering=0) as file:
                for chunk in batch:
                    view = memoryview(chunk)
                    while view:
                        # An unbuffered write may write only a part.
                        view = view[file.write(view) :]
        if self._digest is not None:
            for chunk in batch:
                self._digest.update(chunk)

    def close(self) -> None:
        """Remove the file. Closing twice is safe."""
        self._batch.clear()
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None


def _sync(path: Path) -> None:
    """Flush a file and its directory entry to the disk."""
    # Windows cannot open a directory, and writes its entries at once.
    for each in (path,) if os.name == "nt" else (path, path.parent):
        descriptor = os.open(each, os.O_RDWR if each is path else os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


async def _finish_in_thread(work: Callable[[], None]) -> None:
    # Otherwise the thread could write to a closed file, or create a file after the
    # cancelled caller has cleaned up.
    """Run ``work`` in a thread, and wait for its end even when the caller is cancelled."""
    task = asyncio.ensure_future(run_in_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
