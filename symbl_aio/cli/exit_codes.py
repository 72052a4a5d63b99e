"""Exit codes: the outcome of a command, as one small number that a script can act on."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from typing import Final

from symbl_aio import (
    AmbiguousSubmissionError,
    APIError,
    AppendBlockedError,
    AuthenticationError,
    ConfigurationError,
    DecodeError,
    FileChangedError,
    JobFailedError,
    MediaRejectedError,
    NotFoundError,
    StreamRefusedError,
    TransportError,
)

OK: Final = 0
JOB_FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
AMBIGUOUS: Final = 4
REFUSED: Final = 5
EVICTED: Final = 6
UNWRITTEN: Final = 7
CUT_OFF: Final = 8
FAULT: Final = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED: Final = 130  # 128 + SIGINT, as a shell reports it

MEANINGS: Final = {
    OK: "all done",
    JOB_FAILED: "a job failed on the server",
    USAGE: "wrong usage, setting, credentials or file; nothing of it was accepted",
    UNREACHABLE: "the server or the database could not be reached, or a job could not be followed",
    AMBIGUOUS: "a submission may or may not have been accepted; it was not sent again",
    REFUSED: "the server answered with an error, or with something unreadable",
    EVICTED: "the other workers declared this one dead (no heartbeat); start it again",
    UNWRITTEN: "what was asked for could not be printed or written; other work goes on",
    CUT_OFF: "a worker had no answer from its database for too long; start it again",
    FAULT: "a fault of this program; please report the traceback",
    INTERRUPTED: "Ctrl-C, SIGTERM or SIGHUP; jobs still running on the server are listed",
}

# Of several outcomes the exit code is the one that most needs a person's attention.
_MOST_SEVERE_FIRST: Final = (
    FAULT, AMBIGUOUS, JOB_FAILED, REFUSED, UNREACHABLE, CUT_OFF, EVICTED, USAGE, UNWRITTEN,
    OK,
)  # fmt: skip

# First match wins, so a subclass comes before its base.
_CODES: Final[tuple[tuple[type[BaseException], int], ...]] = (
    (AmbiguousSubmissionError, AMBIGUOUS),
    (JobFailedError, JOB_FAILED),
    (ConfigurationError, USAGE),
    (MediaRejectedError, USAGE),
    (FileChangedError, USAGE),
    (AuthenticationError, USAGE),
    (UnicodeError, USAGE),
    (PermissionError, USAGE),
    (APIError, REFUSED),
    (DecodeError, REFUSED),
    (StreamRefusedError, REFUSED),
)

_REMEDIES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (AmbiguousSubmissionError, "look whether it arrived before you send it again"),
    (AuthenticationError, "check SYMBL_APP_ID and SYMBL_APP_SECRET, or SYMBL_ACCESS_TOKEN"),
    (NotFoundError, "check the id, and that it is of this account and host"),
    (
        TransportError,
        "check the network and the host (SYMBL_BASE_URL or --base-url), then try again",
    ),
    (DecodeError, "check that the host is the API's (SYMBL_BASE_URL or --base-url)"),
)

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)

# Errors are written for programs; a command has options, and no objects or methods. Compiled on
# use: most commands have none.
_WORDS: Final = (
    (r", or give Audio\(path\) if it is one of them", ""),
    (r", or give Audio\(\.\.\.\) if it is a sound recording", ""),
    (r", or set allow_platforms=True if it is one", ""),
    (r", or pass credentials=Credentials\(app_id, app_secret\)", ", or choose a --profile"),
    (r"\bset allow_http=True if you mean it", "add --allow-http if you mean it"),
    (r"\bset Config\.base_url to the former", "use --base-url with the former"),
    (r", error\.reconcile\(\) looks for proof", ""),
    (r"; give Job\.token unchanged", "; give it unchanged"),
    (r"client\.job\(job_id, conversation_id\) or client\.job\(token\)", "its token"),
    (r" until (?:conversation\.)?resume_appends\(\)", ""),
    (r"\b(?:Audio|Video)URL\.url\b", "the link"),
    (r"\b(?:Media|Text)Options\.language_code\b", "--language"),
    (r"\b(?:Media|Text)Options\.(\w+)\b", r"--\1"),
    (r"\bConfig\.base_url\b", "--base-url"),
    (r"\b(?:Recording|Audio|Video)\.(?:path|source)\b", "FILE"),
    (r"^media\b", "FILE"),
    (r"\bconversation_id\b", "CONVERSATION"),
    (r"\bjob_id\b", "TOKEN"),
    (r"\bGroupDraft\.|\bTrackerDraft\.|\bTracker\.", ""),
)


def in_words_of_commands(text: str) -> str:
    """Return an error's text with options and arguments in the place of Python's names."""
    for pattern, words in _WORDS:
        text = re.sub(pattern, words, text)
    return text


def code_of(error: BaseException) -> int:
    """Return the exit code for one error; a blocked append has that of the error that blocks it."""
    if isinstance(error, AppendBlockedError):
        return code_of(error.cause)
    if isinstance(error, OSError) and error.filename is not None:
        return USAGE  # a file; errors of connections name none
    # The default is for all that was out of reach: a host, a database, a job that cannot be
    # followed, an upload that did not go on, a client that closed.
    return next((code for cls, code in _CODES if isinstance(error, cls)), UNREACHABLE)


def most_severe(codes: Iterable[int]) -> int:
    """Return the one code for several outcomes."""
    return min(codes, key=_MOST_SEVERE_FIRST.index, default=OK)


def describe(error: BaseException) -> str:
    """Format an error as one line, with a remedy unless its message contains one."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        remedy = "free some of its disk" if error.errno in _FULL else "give another, or its rights"
        return f"{error.filename!r} cannot be used ({error.strerror}); {remedy}"
    text = in_words_of_commands(" ".join(str(error).split())) or type(error).__name__
    remedy = remedy_of(error)
    return f"{text}; {remedy}" if remedy else text


def remedy_of(error: BaseException) -> str:
    """Return the remedy for an error, empty if its own message contains one."""
    if isinstance(error, AppendBlockedError):
        error = error.cause
    return next((remedy for cls, remedy in _REMEDIES if isinstance(error, cls)), "")


def why_not_listening(error: OSError | UnicodeError) -> str:
    """Return why an address cannot be listened on, without the address: Python repeats it."""
    number = getattr(error, "errno", None) or 0
    if number > 0:
        return os.strerror(number)
    # Of getaddrinfo the number is negative. A name that IDNA cannot encode is a UnicodeError.
    return getattr(error, "strerror", None) or "no name of a host"
