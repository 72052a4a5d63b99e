"""Bodies and answers of telephone calls (Telephony API pages)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import attrs

from symbl_aio._error_classes import DecodeError
from symbl_aio._fields import require_word
from symbl_aio._protocol.answers import Answer
from symbl_aio._protocol.bodies import wire_object, with_extra
from symbl_aio._protocol.calls import instant, json_text
from symbl_aio._protocol.encode import plain
from symbl_aio._protocol.live import insight_types as checked_types
from symbl_aio.drafts import SpeakerEvent
from symbl_aio.models import JSON


def start_body(
    endpoint: Any,
    *,
    session_name: str | None,
    actions: Iterable[Any],
    language: str | None,
    timezone: str | None,
    insight_types: Iterable[str] | None,
    extra: Mapping[str, JSON] | None,
) -> dict[str, JSON]:
    """Return the body that starts a call; all keys that the API's samples have are there.

    ``endpoint`` is a ``Pstn`` or a ``Sip``, ``actions`` are ``SummaryEmail`` values.
    """
    for name, text in (("language", language), ("timezone", timezone)):
        if text is not None:
            require_word(name, text)
    body: dict[str, JSON] = {
        "operation": "start",
        "endpoint": _endpoint(endpoint),
        "actions": [
            {
                "invokeOn": action.invoke_on,
                "name": "sendSummaryEmail",
                "parameters": {"emails": list(action.emails)},
            }
            for action in actions
        ],
        "data": {"session": {} if session_name is None else {"name": session_name}},
    }
    if language is not None:
        body["languages"] = [language]
    if timezone is not None:
        body["timezone"] = timezone
    if types := checked_types(() if insight_types is None else insight_types):
        body["insightTypes"] = types
    body = with_extra(body, {} if extra is None else extra, "an argument")
    json_text(body)
    return body


def _endpoint(endpoint: Any) -> JSON:
    given = attrs.asdict(endpoint)
    if "phone_number" in given:
        return {"type": "pstn", **wire_object(**given)}
    audio = {name: given.pop(name) for name in ("sample_rate", "encoding", "sample_size")}
    wire: dict[str, JSON] = {"type": "sip", **wire_object(**given)}
    if config := wire_object(**audio):
        wire["audioConfig"] = config
    return wire


def speaker_event(event: SpeakerEvent, at: datetime) -> JSON:
    """Return the report of a participant's event in a call."""
    return {
        "topic": "speaker",
        "type": event.type,
        "user": plain(event.user),
        "timestamp": instant("timestamp", at),
    }


def decode_started(answer: Answer) -> tuple[str, str]:
    """Return the connection and the conversation of a new call. Raises ``DecodeError``."""
    found = answer.json()
    ids = [
        found.get(name) if isinstance(found, dict) else None
        for name in ("connectionId", "conversationId")
    ]
    if not all(isinstance(one, str | int) and one for one in ids):
        raise DecodeError("the answer has no connectionId and conversationId", answer.text)
    return str(ids[0]), str(ids[1])
