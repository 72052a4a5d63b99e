"""Errors without a handle, and the base of all; ``errors`` is the public door."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

__all__ = [
    "APIError",
    "AppendBlockedError",
    "AuthenticationError",
    "BadRequestError",
    "BadUploadError",
    "ConcurrencyLimitError",
    "ConfigurationError",
    "DecodeError",
    "EarlyReadWarning",
    "FileChangedError",
    "FileUnavailableError",
    "MediaRejectedError",
    "NotFoundError",
    "OutboxUnavailableError",
    "PermissionDeniedError",
    "QueueFullError",
    "ServerError",
    "StillAmbiguousError",
    "StreamError",
    "StreamLostError",
    "StreamRefusedError",
    "StreamTimeoutError",
    "SymblError",
    "TransportError",
    "UntrustedServerError",
    "UploadError",
    "UploadStalledError",
]

Sent: TypeAlias = Literal["no", "partial", "maybe", "yes"]
"""How far a request got before it failed.

``"no"``: nothing left for the server. ``"partial"``: the last byte of the body was
never handed over, so the message is provably incomplete. ``"maybe"``: all of it
was handed over and no complete answer came. ``"yes"``: an HTTP status came.
"""


class EarlyReadWarning(UserWarning):
    """Insights were read while a job of the conversation still ran, so they are incomplete."""

    __module__ = "symbl_aio.errors"


# No ids: Python remembers every text of a warning for as long as the process lives.
EARLY_READ = (
    "a conversation is read while one of its jobs still runs: the answer is incomplete. Await the "
    "job first, or read with wait=True"
)


class SymblError(Exception):
    """Base of every error of this library."""

    __module__ = "symbl_aio.errors"

    def __init_subclass__(cls) -> None:
        # Tracebacks and pickles name the public door, whichever module defines the class.
        if cls.__module__ in ("symbl_aio._error_classes", "symbl_aio.job"):
            cls.__module__ = "symbl_aio.errors"

    def __str__(self) -> str:
        # A server's words may have half of a surrogate pair, which no log and no stream takes.
        return super().__str__().encode("utf-8", "backslashreplace").decode()

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: _portable(value) for name, value in self._state().items()}
        causes: list[object] = []
        cause = self.__cause__
        while cause is not None and cause not in causes:
            causes.append(_portable(cause))
            # An error of this library pickles its own causes, all others lose them.
            cause = None if isinstance(cause, SymblError) else cause.__cause__
        return _restored, (type(self), self.args, state, tuple(causes))

    def _state(self) -> dict[str, object]:
        """Return the attributes of a copy."""
        return self.__dict__


class ConfigurationError(SymblError, ValueError):
    """An argument, option, id, credential or setting is wrong; nothing was sent.

    The message names the field and the remedy.
    """

    is_misuse: bool = False
    """Whether no other value helps, since the program is wrong: it uses a client on another
    event loop, or before it was started."""
    has_other_worker: bool = False
    """Whether a worker was refused because another one has its SQLite file, until that one ends."""


class QueueFullError(SymblError):
    """More submissions are waiting than ``Limits.queued`` allows; this one was not taken."""


class OutboxUnavailableError(SymblError):
    """The database of an outbox cannot be used now. Its contents are kept.

    A call that writes may have committed before: the same submission with the same ``key``
    then returns the existing item.
    """


class DecodeError(SymblError):
    """An answer could not be decoded. ``raw`` is its text; empty if it may hold a token."""

    def __init__(self, message: str, raw: str) -> None:
        super().__init__(message)
        self.raw = raw


class TransportError(SymblError):
    """The exchange failed before an HTTP status came. ``sent`` is how far the request got.

    ``final``: a retry would not help, so there was none: a proxy requires a password, an
    answer's headers cannot be parsed, a session cannot be used.
    """

    def __init__(self, message: str, sent: Sent, *, final: bool = False) -> None:
        super().__init__(message)
        self.sent: Sent = sent
        self.final = final


class UntrustedServerError(TransportError):
    """The server's certificate does not verify; the message has the reason.

    Nothing was sent, and there is no retry.
    """


class StillAmbiguousError(TransportError):
    """``reconcile()`` found no evidence of acceptance, which is not evidence of refusal."""


class UploadError(SymblError):
    """The recording could not be sent as it is."""


class UploadStalledError(UploadError, TimeoutError):
    """For ``Timeouts.stall`` seconds the server, the stream or the disk made no progress."""


class FileUnavailableError(UploadError):
    """The file cannot be read for now; nothing complete was sent, and a later try may succeed.

    The process is out of handles or threads, the disk has an error, or the share that holds
    the file does not answer. It was retried according to ``Retries``. A missing or forbidden
    file is a ``MediaRejectedError`` instead, at once.
    """


class FileChangedError(UploadError):
    """The file changed while it was being read; the server got an incomplete message."""


class MediaRejectedError(UploadError):
    """The recording is missing, empty, of the wrong kind or too long; nothing was sent."""


class BadUploadError(SymblError):
    """A request to a web service cannot be passed on as it is; nothing of it was accepted.

    Raised by ``symbl_aio.contrib``. ``status`` is the HTTP status to answer with: 400, 408,
    411, 413 or 415. The message holds the remedy.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class APIError(SymblError):
    """The server answered with an error status.

    ``status`` is the HTTP status, ``message`` the server's own words (may be empty),
    ``body`` the answer's text, cut to 4096 characters. ``retry_after``: seconds until another
    try, if the server named any.
    """

    def __init__(
        self,
        status: int,
        message: str = "",
        body: str = "",
        *,
        where: str = "",
        retry_after: float | None = None,
    ) -> None:
        text = f"{status} {message}".rstrip() if message else f"{status} without a message"
        super().__init__(f"{where}: {text}" if where else text)
        self.status = status
        self.message = message
        self.body = body
        self.retry_after = retry_after


class BadRequestError(APIError):
    """400, and every other 3xx or 4xx without a class of its own."""


class AuthenticationError(APIError):
    """401: the credentials, or the token obtained with them, were refused."""


class PermissionDeniedError(APIError):
    """403."""


class NotFoundError(APIError):
    """404."""


class ConcurrencyLimitError(APIError):
    """429: the account has no free job slot.

    Raised only for a one-shot source, or when ``Limits.wait_for_slot`` ran out; and by a
    call that is no submission, when ``Retries`` are used up.
    """


class ServerError(APIError):
    """5xx."""


class AppendBlockedError(SymblError):
    """An earlier submission of the conversation halted its appends; nothing was sent.

    ``cause`` is the error of that submission. ``conversation.resume_appends()``
    resumes them, once the caller has reconciled that submission. If that submission was to
    create the conversation, there is nothing to resume.
    """

    def __init__(self, message: str, cause: BaseException) -> None:
        super().__init__(message)
        self.cause = cause
        self.__cause__ = cause


class StreamError(SymblError):
    """A live connection ended early.

    ``conversation_id`` names the conversation that has what the server received, if there is
    one: ``client.conversation(id)`` reads it.
    """

    def __init__(self, message: str, conversation_id: str | None = None) -> None:
        super().__init__(message)
        self.conversation_id = conversation_id


class StreamLostError(StreamError):
    """The connection was lost, and not resumed: in time, or because a stop was on its way.

    ``__cause__`` is the last error of a connection, if there was one.
    """


class StreamRefusedError(StreamError):
    """The server answered the start of a stream with an error; the message has its words."""


class StreamTimeoutError(StreamError, TimeoutError):
    """The server did not start to listen, or did not complete the conversation, in time."""


def api_error(
    status: int, message: str, body: str, *, where: str, retry_after: float | None = None
) -> APIError:
    """Return the error for an HTTP status (Errors page): the only such table."""
    by_status: dict[int, type[APIError]] = {
        401: AuthenticationError,
        403: PermissionDeniedError,
        404: NotFoundError,
        429: ConcurrencyLimitError,
    }
    fallback = ServerError if status >= 500 else BadRequestError
    error = by_status.get(status, fallback)
    return error(status, message, body, where=where, retry_after=retry_after)


def _restored(
    cls: type[SymblError],
    args: tuple[object, ...],
    state: dict[str, object],
    causes: tuple[BaseException, ...],
) -> SymblError:
    """Return the copy of an error, made without the constructor: each class has another."""
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    last: BaseException = error
    for cause in causes:
        last.__cause__ = cause
        last = cause
    return error


def _portable(value: object) -> object:
    """Return a substitute for ``value`` that can be pickled: itself, for errors of this library.

    A foreign error may fail only when it is unpickled, which hangs a process pool.
    """
    if not isinstance(value, BaseException) or isinstance(value, SymblError):
        return value
    import pickle

    try:
        pickle.loads(pickle.dumps(value))
    except Exception:
        # Not its message: that of a token provider may hold a secret.
        return SymblError(f"{type(value).__name__}, which cannot be pickled")
    return value
