"""Problem details (RFC 9457) for visitors: one table from errors to responses.

For a visitor's own mistake the detail is the error's message, without the folder of a file of
this machine. For all other errors it is a fixed sentence, which reveals neither the host that
this service calls nor its answer. No problem contains a credential.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, TypeAlias

from attrs import field, frozen

from symbl_aio import (
    AmbiguousSubmissionError,
    APIError,
    AppendBlockedError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConcurrencyLimitError,
    ConfigurationError,
    DecodeError,
    FileChangedError,
    FileUnavailableError,
    JobError,
    JobFailedError,
    JobLostError,
    JobTimeoutError,
    MediaRejectedError,
    NotFoundError,
    OutboxUnavailableError,
    QueueFullError,
    ServerError,
    StreamError,
    StreamTimeoutError,
    TransportError,
    UploadError,
    UploadStalledError,
)
from symbl_aio import BadUploadError as BadUploadError
from symbl_aio._log import Log

_LOG = Log("symbl_aio.contrib")

MEDIA_TYPE: Final = "application/problem+json"

RETRY_AFTER: Final = 10
"""Seconds after which to retry a 503, if the API named none."""

_MISTAKE: Final = "The service made a mistake."

_MAX_RETRY_AFTER: Final = 86_400

_QUOTED: Final = re.compile(r"""(?:^|(?<=[\s(]))(['"])((?:(?!\1).)*/)(.*?)\1""")
"""A path in quotes: the folder, and the file's name."""

Value: TypeAlias = str | int | None
"""The value of a member of a problem."""


@frozen
class Problem:
    """A problem detail: the response to an error, for any framework.

    ``title`` is the status in words, ``detail`` the cause. ``extra`` are the further members
    of the JSON object: ``error``, the name of the error's class, and its own members, such as
    ``key`` or ``job_id``.
    """

    status: int
    """The HTTP status to answer with."""
    title: str
    """The status in words."""
    detail: str
    """The cause, for the visitor."""
    headers: Mapping[str, str] = field(factory=dict)
    """Headers to answer with, such as ``Retry-After``."""
    extra: Mapping[str, Value] = field(factory=dict)
    """Further members of the JSON object."""

    def as_dict(self) -> dict[str, Value]:
        """Return the members of the JSON object."""
        return {
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }

    def to_json(self) -> bytes:
        """Return the body of a response of the type ``MEDIA_TYPE``."""
        return json.dumps(self.as_dict(), separators=(",", ":")).encode()


# First match wins, so a subclass comes before its base. Without a sentence the error is the
# visitor's mistake, and its message is the detail.
_TABLE: Final[tuple[tuple[type[BaseException], int, str | None], ...]] = (
    (AmbiguousSubmissionError, 502, "The recording was sent, and no usable answer came: it may "
     "have been accepted. It is not sent again."),
    (AppendBlockedError, 409, "Nothing was sent: an earlier addition to this conversation has to "
     "be settled first."),
    (QueueFullError, 503, "Too much is waiting to be sent. Nothing of this was accepted."),
    (ConcurrencyLimitError, 503, "The service behind this one has reached its limit. Nothing of "
     "this was accepted."),
    (ClientClosedError, 503, "The service is stopping or starting."),
    (OutboxUnavailableError, 503, "The service cannot reach its database. The same request may be "
     "repeated."),
    (MediaRejectedError, 415, None),
    (UploadStalledError, 504, "The recording could not be sent on in time. Nothing of it was "
     "accepted."),
    (FileChangedError, 409, "The recording changed while it was being sent. Nothing of it was "
     "accepted."),
    (FileUnavailableError, 503, "The recording cannot be read now. Nothing of it was accepted."),
    (UploadError, 400, None),
    (ConfigurationError, 400, None),
    (JobFailedError, 502, "The job failed; no reason was given."),
    (JobTimeoutError, 504, "The job has not ended in time. It goes on."),
    (JobLostError, 502, "The job can no longer be followed."),
    (AuthenticationError, 502, "This service was refused by the one behind it."),
    (NotFoundError, 404, "There is no such conversation, job or object."),
    (BadRequestError, 400, None),
    (ServerError, 502, "The service behind this one failed."),
    (APIError, 502, "The service behind this one refused."),
    (DecodeError, 502, "The service behind this one gave an answer that cannot be read."),
    (StreamTimeoutError, 504, "The service behind this one did not complete the stream in time."),
    (StreamError, 502, "The connection to the service behind this one was lost. It keeps what it "
     "received."),
    (TransportError, 502, "The service behind this one cannot be reached."),
)  # fmt: skip


def problem(error: BaseException) -> Problem:
    """Return the problem for an error of this library, or for a ``BadUploadError``.

    An error of any other class is a 500 without any detail of it, and so is a mistake in the
    service's program: a client that another thread or event loop uses, or that was not started.
    """
    if isinstance(error, ConfigurationError) and error.is_misuse:
        return _make(None, 500, _MISTAKE)
    if isinstance(error, BadUploadError):
        return _make(error, error.status, str(error))
    if isinstance(error, BadRequestError):
        # A redirect is not the visitor's mistake. Otherwise the detail is the server's message,
        # without the name of the call that ``str(error)`` begins with.
        if error.status < 400:
            return _make(error, 502, _sentence(APIError))
        detail = error.message or "The service behind this one refused the request as it is."
        return _make(error, 400, detail)
    if isinstance(error, ServerError) and error.status == 503 and error.retry_after is not None:
        # By which the API says that it took nothing.
        busy = "The service behind this one is busy. Nothing of this was accepted."
        return _make(error, 503, busy)
    for kind, status, sentence in _TABLE:
        if isinstance(error, kind):
            if sentence is None:
                sentence = _QUOTED.sub(r"\1\3\1", str(error))
            return _make(error, status, sentence)
    return _make(None, 500, _MISTAKE)


def log(problem: Problem, error: BaseException) -> None:
    """Log a warning for a problem of the service, with the message that the visitor misses."""
    if problem.status >= 500:
        _LOG.warning("answered %d: %s: %s", problem.status, type(error).__name__, error)


def _sentence(wanted: type[BaseException]) -> str:
    return next(sentence for kind, _, sentence in _TABLE if kind is wanted and sentence)


def _make(error: BaseException | None, status: int, detail: str) -> Problem:
    extra: dict[str, Value] = {}
    if error is not None:
        extra["error"] = type(error).__name__
    if isinstance(error, AmbiguousSubmissionError):
        extra |= {"key": error.key, "sent": "maybe"}
    if isinstance(error, JobError):
        extra |= {"job_id": error.job.id, "conversation_id": error.job.conversation_id}
    if isinstance(error, StreamError):
        extra["conversation_id"] = error.conversation_id
    headers = {}
    if status == 503:
        named = error.retry_after if isinstance(error, APIError) else None
        headers["Retry-After"] = str(math.ceil(min(named or RETRY_AFTER, _MAX_RETRY_AFTER)))
    return Problem(status, HTTPStatus(status).phrase, detail, headers, extra)
