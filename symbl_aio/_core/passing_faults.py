"""Distinguish local faults that pass from those that stay. Knows no disk, thread or clock.

A process that is out of handles, a disk with an error, or a share whose server does not
answer, may be well again in a moment. A file that is missing or forbidden stays so until
the caller changes it.
"""

from __future__ import annotations

import errno
from typing import Final

CALLERS: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG}
)
"""Faults of the path that the caller gave."""

_STAYING: Final = CALLERS | {
    0,  # an error of this library's own, which no system raised
    errno.EBADF,
    errno.EFBIG,
    errno.EINVAL,
    errno.EISDIR,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.EOVERFLOW,
    errno.EROFS,
}
_WITHOUT_NUMBER: Final = (BlockingIOError, ConnectionError, InterruptedError, TimeoutError)
_NO_THREAD: Final = "can't start new thread"


def passes(error: BaseException) -> bool:
    """Return whether the same work may succeed another time, with nothing changed by the caller.

    True for errors of the system that are no answer about the file itself (``EMFILE``,
    ``ENFILE``, ``ENOMEM``, ``EIO``, ``ESTALE``, ``EAGAIN``, ``ENOBUFS``, ``ETIMEDOUT`` …), for
    memory that cannot be had, and for a thread that cannot start.
    """
    if isinstance(error, OSError):
        if error.errno is None:
            return isinstance(error, _WITHOUT_NUMBER)
        return error.errno not in _STAYING
    if isinstance(error, RuntimeError):
        return _NO_THREAD in str(error)
    return isinstance(error, MemoryError)
