"""Which local faults pass, and which stay."""

import errno
import io

from symbl_aio._core.passing_faults import passes
from tests.tables import table

PASSING = (
    "EMFILE ENFILE ENOMEM EIO ESTALE EAGAIN ENOBUFS EBUSY EINTR ENOTCONN EHOSTDOWN ETIMEDOUT "
    "ECONNRESET EHOSTUNREACH ENETUNREACH EREMOTEIO ENOLCK"
).split()
STAYING = "ENOENT ENOTDIR EACCES EPERM ELOOP ENAMETOOLONG EISDIR EINVAL EBADF EROFS".split()


def test_faults_of_the_machine_pass():
    assert [n for n in PASSING if not passes(OSError(getattr(errno, n), "so"))] == []


def test_faults_of_the_file_stay():
    assert [n for n in STAYING if passes(OSError(getattr(errno, n), "so"))] == []


@table(
    "error, expected",
    [
        (RuntimeError("can't start new thread"), True),
        (MemoryError(), True),
        (TimeoutError(), True),
        (BlockingIOError(), True),
        (RuntimeError("cannot schedule new futures after shutdown"), False),
        (OSError(0, "it is no regular file"), False),
        (OSError("a wrapper's"), False),
        (io.UnsupportedOperation("seek"), False),
        (ValueError("embedded null byte"), False),
    ],
)
def test_what_has_no_number(error: BaseException, expected: bool):
    assert passes(error) is expected
