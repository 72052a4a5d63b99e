"""Take in a body of any size: onto disk and through SHA-256, never into memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import mkstemp

from symbl_aio.server.thread_pool import run_in_thread

# One trip to a thread pays for about this much hashing and writing.
_BATCH_SIZE = 4 * 1024 * 1024


class SpooledBody:
    """A body on its way in. ``size`` and ``head`` (its first bytes) grow as it arrives.

    ``path`` is the file, or None when the bytes are not kept. ``close`` removes it.
    """

    def __init__(self, directory: Path, *, keep: bool, hashed: bool) -> None:
        self.size = 0
        self.head = b""
        self.sha256: str | None = None
        self.path: Path | None = None
        self._directory = directory
        self._keep = keep
        self._digest = hashlib.sha256() if hashed else None
        self._batch: list[bytes] = []
        self._batch_size = 0

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.size += len(chunk)
        if len(self.head) < 16:
            self.head = (self.head + chunk[:16])[:16]
        if not self._keep and self._digest is None:
            return
        self._batch.append(chunk)
        self._batch_size += len(chunk)
        if self._batch_size >= _BATCH_SIZE:
            await self._flush()

    async def finish(self) -> None:
        """The whole body is in: close its file and know its hash."""
        await self._flush()
        if self._digest is not None:
            self.sha256 = self._digest.hexdigest()

    async def _flush(self) -> None:
        batch, self._batch, self._batch_size = self._batch, [], 0
        if batch:
            await _finish_in_thread(lambda: self._write_batch(batch))

    def _write_batch(self, batch: list[bytes]) -> None:
        if self._keep:
            if self.path is None:
                descriptor, name = mkstemp(dir=self._directory)
                os.close(descriptor)
                self.path = Path(name)
            with self.path.open("ab", buffering=0) as file:
                for chunk in batch:
                    view = memoryview(chunk)
                    while view:
                        view = view[file.write(view) :]
        if self._digest is not None:
            for chunk in batch:
                self._digest.update(chunk)

    def close(self) -> None:
        """Remove the file. Closing twice is fine."""
        self._batch.clear()
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None


async def _finish_in_thread(work: Callable[[], None]) -> None:
    # A cancelled caller waits for the thread all the same: it must not find the file
    # closed, or leave one behind that was created after the caller had cleaned up.
    task = asyncio.ensure_future(run_in_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
