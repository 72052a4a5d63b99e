"""What a visitor is told when something went wrong: one table, from errors to RFC 9457.

A visitor's own mistakes are told in the words of the error. Of everything else only the
kind is told, in a fixed sentence: which host this service calls, and what it said there,
is nobody's business. No problem holds a credential.
"""

from __future__ import annotations

import json
import logging
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
    TransportError,
    UploadError,
    UploadStalledError,
)
from symbl_aio import BadUploadError as BadUploadError

_LOG = logging.getLogger("symbl_aio.contrib")

MEDIA_TYPE: Final = "application/problem+json"

RETRY_AFTER: Final = 10
"""Seconds that a visitor is asked to wait when there is no room, or no client, just now."""

Told: TypeAlias = str | int | None
"""What an extra member of a problem may be."""


@frozen
class Problem:
    """A problem detail: what to answer with, whatever the framework.

    ``title`` is the status in words, ``detail`` what happened. ``extra`` are the further
    members of the JSON object: ``error``, the name of the error's class, and what belongs
    to it, such as ``key`` or ``job_id``.
    """

    status: int
    """The HTTP status to answer with."""
    title: str
    """The status in words."""
    detail: str
    """What happened, for the visitor."""
    headers: Mapping[str, str] = field(factory=dict)
    """Headers to answer with, such as ``Retry-After``."""
    extra: Mapping[str, Told] = field(factory=dict)
    """Further members of the JSON object."""

    def as_dict(self) -> dict[str, Told]:
        """Give the members of the JSON object."""
        return {
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }

    def to_json(self) -> bytes:
        """Give the body of an answer of the type ``MEDIA_TYPE``."""
        return json.dumps(self.as_dict(), separators=(",", ":")).encode()


# First match wins, so the more special class stands first. Without a sentence of its own an
# error is the visitor's, and is told in its own words.
_TABLE: Final[tuple[tuple[type[BaseException], int, str | None], ...]] = (
    (AmbiguousSubmissionError, 502, "The recording was sent, and no usable answer came: it may "
     "have been accepted. It is not sent again."),
    (AppendBlockedError, 409, "Nothing was sent: an earlier addition to this conversation has to "
     "be settled first."),
    (QueueFullError, 503, "Too much is waiting to be sent. Nothing of this was accepted."),
    (ConcurrencyLimitError, 503, "The account has no free place for a job. Nothing of this was "
     "accepted."),
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
    (TransportError, 502, "The service behind this one cannot be reached."),
)  # fmt: skip


def problem(error: BaseException) -> Problem:
    """Give the problem that an error is: of this library, or a ``BadUploadError``.

    An error of any other class is a 500 without a word about it.
    """
    if isinstance(error, BadUploadError):
        return _made(error, error.status, str(error))
    if isinstance(error, BadRequestError):
        # A redirect is no fault of the visitor's; and of the rest the server's words are enough.
        told = error.message or "The service behind this one refused the request as it is."
        return _made(error, *((400, told) if error.status >= 400 else (502, _sentence(APIError))))
    for kind, status, sentence in _TABLE:
        if isinstance(error, kind):
            return _made(error, status, str(error) if sentence is None else sentence)
    return _made(None, 500, "The service made a mistake.")


def log(told: Problem, error: BaseException) -> None:
    """Warn of a problem that is not the visitor's, in the words that he is not told."""
    if told.status >= 500:
        _LOG.warning("answered %d: %s: %s", told.status, type(error).__name__, error)


def _sentence(wanted: type[BaseException]) -> str:
    return next(sentence for kind, _, sentence in _TABLE if kind is wanted and sentence)


def _made(error: BaseException | None, status: int, detail: str) -> Problem:
    extra: dict[str, Told] = {}
    if error is not None:
        extra["error"] = type(error).__name__
    if isinstance(error, AmbiguousSubmissionError):
        extra |= {"key": error.key, "sent": "maybe"}
    if isinstance(error, JobError):
        extra |= {"job_id": error.job.id, "conversation_id": error.job.conversation_id}
    headers = {"Retry-After": str(RETRY_AFTER)} if status == 503 else {}
    return Problem(status, HTTPStatus(status).phrase, detail, headers, extra)
