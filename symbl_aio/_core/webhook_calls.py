"""Webhook calls: which are genuine, and those that overtook the answer to their submission.

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

MAX_PARKED: Final = 10_000

_MOST_FIELDS: Final = 100


def mark(secret: str, nonce: str) -> str:
    """Return the mark that proves that a holder of ``secret`` made a nonce."""
    return hmac.new(secret.encode(), _encoded(nonce), sha256).hexdigest()


def webhook_url(base_url: str, secret: str, nonce: str) -> str:
    """Return the webhook URL of the submission with this nonce."""
    return f"{base_url.rstrip('/')}/{nonce}/{mark(secret, nonce)}"


def is_genuine(secret: str, nonce: object, shown: object) -> bool:
    """Return whether a holder of ``secret`` made the URL of a call, in constant time.

    ``nonce`` and ``shown`` may be of any type, as a request's path may hold anything.
    """
    if not isinstance(nonce, str) or not isinstance(shown, str):
        return False
    return hmac.compare_digest(mark(secret, nonce).encode(), _encoded(shown))


def _encoded(text: str) -> bytes:
    # Servers give bytes of a path that are no UTF-8 as halves of surrogate pairs.
    return text.encode("utf-8", "surrogatepass")


@frozen
class WebhookCall:
    """The content of a call: a job, and its status as the server spells it."""

    job_id: str
    status: str


def parse_call(body: bytes) -> WebhookCall | None:
    """Parse the body of a call, JSON or a form, for any content type; ``None`` if it has no job.

    The documentation has ``jobId``, the vendor's own sample prints ``id``.
    """
    fields = _fields(body)
    job_id = read_id(fields.get("jobId")) or read_id(fields.get("id"))
    status = fields.get("status")
    return WebhookCall(job_id, status) if job_id is not None and isinstance(status, str) else None


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


class ParkedCalls:
    """Genuine calls whose submission is not settled here, by nonce; the oldest expire first."""

    def __init__(self, *, most: int = MAX_PARKED, keep: float = PARKED_FOR) -> None:
        self._most = most
        self._keep = keep
        self._parked: OrderedDict[str, _Parked] = OrderedDict()

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, nonce: str, job_id: str, now: float, *, ended: bool) -> None:
        """Keep a call: the job of this nonce, and whether it ended."""
        before = self._parked.pop(nonce, None)
        ended = ended or (before is not None and before.job_id == job_id and before.ended)
        self._parked[nonce] = _Parked(job_id, ended, now + self._keep)
        while self._parked:
            oldest = next(iter(self._parked))
            if len(self._parked) <= self._most and self._parked[oldest].until > now:
                break
            del self._parked[oldest]

    def take(self, nonce: str | None) -> tuple[str, bool] | None:
        """Return, once, the job id that a call named for a nonce, and whether it ended."""
        parked = None if nonce is None else self._parked.pop(nonce, None)
        return None if parked is None else (parked.job_id, parked.ended)
