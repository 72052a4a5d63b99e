"""Decide what a webhook call may be believed. Knows no clock, network or event loop.

The API's webhooks are unsigned and carry a job id and a status (Webhook section of the
Async API pages). So every submission gets a URL of its own, ``{base}/{nonce}/{mark}``,
whose mark only a holder of the secret can make; and still a call is only a hint that
brings a poll forward.
"""

from __future__ import annotations

import hmac
import json
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl

from attrs import define, frozen

from symbl_aio._protocol.encode import read_id

PARKED_FOR: Final = 60.0
"""Seconds that a call is kept which overtook the answer to its own submission."""

MOST_PARKED: Final = 10_000

_MOST_FIELDS: Final = 100


def mark(secret: str, nonce: str) -> str:
    """Give what proves that a nonce was made by a holder of ``secret``."""
    return hmac.new(secret.encode(), _encoded(nonce), sha256).hexdigest()


def webhook_url(base_url: str, secret: str, nonce: str) -> str:
    """Give the URL that a submission of this nonce carries."""
    return f"{base_url.rstrip('/')}/{nonce}/{mark(secret, nonce)}"


def is_genuine(secret: str, nonce: object, shown: object) -> bool:
    """Say whether a call came to a URL that a holder of ``secret`` made, in constant time.

    Whatever stands in the path of a request may be asked about, and anything else.
    """
    if not isinstance(nonce, str) or not isinstance(shown, str):
        return False
    return hmac.compare_digest(mark(secret, nonce).encode(), _encoded(shown))


def _encoded(text: str) -> bytes:
    # Servers give bytes of a path that are no UTF-8 as halves of surrogate pairs.
    return text.encode("utf-8", "surrogatepass")


@frozen
class Told:
    """What a call says: a job, and its status in the server's own word."""

    job_id: str
    status: str


def read(body: bytes) -> Told | None:
    """Read what a call says, JSON or a form, whatever its header; ``None`` if it says nothing.

    The documentation has ``jobId``, the vendor's own sample prints ``id``.
    """
    fields = _fields(body)
    job_id = read_id(fields.get("jobId")) or read_id(fields.get("id"))
    status = fields.get("status")
    return Told(job_id, status) if job_id is not None and isinstance(status, str) else None


def _fields(body: bytes) -> Mapping[str, object]:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    try:
        return dict(parse_qsl(body.decode(), max_num_fields=_MOST_FIELDS))
    except ValueError:
        return {}


@define
class _Parked:
    job_id: str
    ended: bool
    until: float


class Callbacks:
    """Genuine calls whose submission is not settled here, by nonce; the oldest go first."""

    def __init__(self, *, most: int = MOST_PARKED, keep: float = PARKED_FOR) -> None:
        self._most = most
        self._keep = keep
        self._parked: OrderedDict[str, _Parked] = OrderedDict()

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, nonce: str, job_id: str, now: float, *, ended: bool) -> None:
        """Keep what a call said: the job of this nonce, and whether it ended."""
        before = self._parked.pop(nonce, None)
        ended = ended or (before is not None and before.job_id == job_id and before.ended)
        self._parked[nonce] = _Parked(job_id, ended, now + self._keep)
        while self._parked:
            oldest = next(iter(self._parked))
            if len(self._parked) <= self._most and self._parked[oldest].until > now:
                break
            del self._parked[oldest]

    def take(self, nonce: str | None) -> tuple[str, bool] | None:
        """Give, once, the job id that was told for a nonce and whether it ended."""
        parked = None if nonce is None else self._parked.pop(nonce, None)
        return None if parked is None else (parked.job_id, parked.ended)
