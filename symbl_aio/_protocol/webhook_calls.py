"""Webhook calls on the wire: the mark in a submission's URL, and the content of a call.

The API's webhooks are unsigned and carry a job id and a status (Webhook section of the Async
API pages). So each submission has a URL of its own, ``{webhook_base_url}/{nonce}/{mark}``,
whose mark only a holder of the secret can make; any worker with the secret can verify it,
before and after a restart.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl

from attrs import frozen

from symbl_aio._protocol.answers import read_id

_MAX_FIELDS: Final = 100


def mark(secret: str, nonce: str) -> str:
    """Return the proof that a holder of ``secret`` made a nonce: HMAC-SHA256, hexadecimal."""
    return hmac.new(secret.encode(), _encoded(nonce), sha256).hexdigest()


def webhook_url(base_url: str, secret: str, nonce: str) -> str:
    """Return the URL that the submission of this nonce carries."""
    return f"{base_url.rstrip('/')}/{nonce}/{mark(secret, nonce)}"


def is_genuine(secret: str, nonce: object, shown: object) -> bool:
    """Return whether ``shown`` is the mark of ``nonce``, in constant time. Never raises."""
    if not isinstance(nonce, str) or not isinstance(shown, str):
        return False
    return hmac.compare_digest(mark(secret, nonce).encode(), _encoded(shown))


def _encoded(text: str) -> bytes:
    # Servers decode bytes of a path that are not UTF-8 to halves of surrogate pairs.
    return text.encode("utf-8", "surrogatepass")


@frozen
class WebhookCall:
    """The content of a call: a job id, and the job's status in the server's own word."""

    job_id: str
    """The job's id."""
    status: str
    """The server's own word for its status."""


def read_call(body: bytes) -> WebhookCall | None:
    """Decode a call's body, JSON or a form; ``None`` without a usable job id and status.

    The content decides, not the content type. The documentation has ``jobId``, the vendor's
    own sample prints ``id``.
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
        return dict(parse_qsl(body.decode(), max_num_fields=_MAX_FIELDS))
    except ValueError:
        return {}
