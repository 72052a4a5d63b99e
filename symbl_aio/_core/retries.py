"""Decide whether a failed exchange is retried. No clock, no network, no random source.

A read may be repeated. A submission may be repeated only while it is certain that the
server accepted nothing: the API has no idempotency key, and a second one is a second
bill, or a second append.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final, Literal, TypeAlias

from symbl_aio.config import Retries
from symbl_aio.errors import Sent

Purpose: TypeAlias = Literal["read", "submission"]


class Verdict(Enum):
    """What to do about one exchange."""

    RETRY = "try again after a pause"
    REAUTHENTICATE = "try again with another token"
    WAIT_FOR_SLOT = "try again when a slot is free"
    AMBIGUOUS = "perhaps accepted: never send it again"
    RAISE = "raise the answer's error"


_READS: Final = {
    401: Verdict.REAUTHENTICATE,
    408: Verdict.RETRY,
    425: Verdict.RETRY,
    429: Verdict.RETRY,
    501: Verdict.RAISE,
    505: Verdict.RAISE,
}
_SUBMISSIONS: Final = {
    401: Verdict.REAUTHENTICATE,
    408: Verdict.AMBIGUOUS,
    425: Verdict.RETRY,
    429: Verdict.WAIT_FOR_SLOT,
    # Of all 5xx, these alone mean by definition that the request had no effect: a method that
    # the server does not have, a version of HTTP that it does not speak (RFC 9110), and a
    # network that let nothing through to it (RFC 6585).
    501: Verdict.RAISE,
    505: Verdict.RAISE,
    511: Verdict.RETRY,
}


def on_status(
    status: int, purpose: Purpose, *, has_retry_after: bool = False, complete: bool = True
) -> Verdict:
    """Return the verdict on an answer that is not 2xx (Errors page; the API is not idempotent).

    ``complete``: the last byte of the request was handed over before the answer came.
    """
    if purpose == "read":
        return _READS.get(status, Verdict.RETRY if status >= 500 else Verdict.RAISE)
    if status == 503 and has_retry_after:
        # The one assumption: a server that names a time to come back took nothing.
        return Verdict.RETRY
    # Below 300 is 101: a gateway that changes the protocol, and gives the answer in the other one.
    verdict = _SUBMISSIONS.get(status, Verdict.RAISE if 300 <= status < 500 else Verdict.AMBIGUOUS)
    if verdict is Verdict.AMBIGUOUS and not complete:
        # The failure came before the end of the message: nothing was accepted.
        return on_status(status, "read")
    return verdict


def on_fault(sent: Sent, purpose: Purpose, *, final: bool = False) -> Verdict:
    """Return the verdict on an exchange that gave no status, by how far it got.

    ``final``: trying again changes nothing.
    """
    if purpose == "submission" and sent in ("maybe", "yes"):
        return Verdict.AMBIGUOUS
    return Verdict.RAISE if final else Verdict.RETRY


class Attempts:
    """How often, and how soon, one request may be tried again."""

    def __init__(self, policy: Retries) -> None:
        self._policy = policy
        self._first_failure: float | None = None
        self._failed = 0

    def pause(self, now: float, *, jitter: float, retry_after: float | None = None) -> float | None:
        """Record a failure. Returns the seconds to wait, or ``None`` after the last attempt.

        ``jitter``: a number from 0 to 1 (full jitter, so that clients do not retry in step).
        """
        policy = self._policy
        self._failed += 1
        # Counted from the first failure: an upload may take an hour before it breaks.
        if self._first_failure is None:
            self._first_failure = now
        if self._failed >= policy.attempts:
            return None
        if retry_after is not None:
            wait = min(retry_after, policy.max_retry_after)
        else:
            doublings = min(self._failed - 1, 1000)  # as many as a float bears
            wait = jitter * min(policy.cap, policy.base * 2.0**doublings)
        return wait if now + wait - self._first_failure <= policy.max_elapsed else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After`` (names in lower case): seconds, or a date by the server's clock."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, wait.total_seconds())
