"""The disk space of uploads: looked at before a body is read, and shared by those on their way."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from symbl_aio.server.http_json import ApiError
from symbl_aio.server.server_limits import MIB, ServerLimits
from symbl_aio.server.spooled_body import SpooledBody
from symbl_aio.server.storage.store import StorageError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_RETRY_AFTER = 60

# What a body of unknown length is granted at a time.
_STEP = 16 * MIB


class UploadSpace:
    """Grants space in ``directory``, down to the reserve of the limits."""

    def __init__(self, directory: Path, limits: ServerLimits) -> None:
        self.directory = directory
        self._limits = limits
        self._arriving: dict[SpooledBody, int] = {}

    @contextmanager
    def granted(self, body: SpooledBody, size: int | None) -> Iterator[None]:
        """Grant ``size`` bytes to a body. A 413 or 503 ``ApiError``, also if a write fails.

        None is a body of unknown length: call ``extend()`` as it arrives. Raises StorageError if
        the disk fails, or has gone.
        """
        try:
            self._grant(body, size or 0)
            yield
        except (ConnectionError, TimeoutError):
            raise  # of the caller
        except OSError as error:
            if error.errno in _FULL:
                raise _full() from error
            raise StorageError(f"a recording cannot be written: {error.strerror}") from error
        finally:
            self._arriving.pop(body, None)

    def extend(self, body: SpooledBody) -> None:
        """Grant more to a body that has arrived beyond its grant. A 413 or 503 ``ApiError``."""
        if body.size > self._arriving[body]:
            limit = self._limits.upload
            self._grant(body, body.size if body.size > limit else min(body.size + _STEP, limit))

    def _grant(self, body: SpooledBody, size: int) -> None:
        if size > self._limits.upload:
            raise ApiError(413, f"A recording has {self._limits.upload} bytes at most.")
        arriving = {**self._arriving, body: size}
        missing = sum(max(0, total - b.size) for b, total in arriving.items())
        if missing > self.free():
            raise _full()
        self._arriving = arriving

    def obstacle(self) -> str | None:
        """Return why no recording can be stored now, or None."""
        try:
            return "the disk is full" if self.free() <= 0 else None
        except OSError as error:
            return f"the directory of recordings cannot be used: {error.strerror}"

    def free(self) -> int:
        """Return the bytes that uploads may still use. Raises OSError."""
        return shutil.disk_usage(self.directory).free - self._limits.disk_reserve


def _full() -> ApiError:
    return ApiError(503, "The disk of the server is full.", retry_after=_RETRY_AFTER)
