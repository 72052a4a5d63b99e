"""The disk space of uploads: looked at before a body is read, and shared by those on their way."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from symbl_aio.server.http_json import ApiError
from symbl_aio.server.server_limits import ServerLimits
from symbl_aio.server.spooled_body import SpooledBody

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_RETRY_AFTER = 60


class UploadSpace:
    """Grants space in ``directory``, down to the reserve of the limits."""

    def __init__(self, directory: Path, limits: ServerLimits) -> None:
        self._directory = directory
        self._limits = limits
        self._arriving: dict[SpooledBody, int] = {}

    @contextmanager
    def granted(self, body: SpooledBody, size: int) -> Iterator[None]:
        """Grant ``size`` bytes to a body. A 413 or 503 ``ApiError``, also if a write fails."""
        if size > self._limits.upload:
            raise ApiError(413, f"A recording has {self._limits.upload} bytes at most.")
        missing = sum(max(0, total - b.size) for b, total in self._arriving.items())
        if size + missing > self.free():
            raise _full()
        self._arriving[body] = size
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise _full() from error
            raise
        finally:
            del self._arriving[body]

    def free(self) -> int:
        """Return the bytes that uploads may still use."""
        return shutil.disk_usage(self._directory).free - self._limits.disk_reserve


def _full() -> ApiError:
    return ApiError(503, "The disk of the server is full.", retry_after=_RETRY_AFTER)
