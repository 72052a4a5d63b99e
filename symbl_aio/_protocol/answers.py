"""Answers of the server: acceptance, job status, token and errors. Models are decoded elsewhere."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from sys import intern
from typing import Final

from attrs import field, frozen

from symbl_aio._error_classes import ConfigurationError, DecodeError
from symbl_aio._fields import NO_UTF_8
from symbl_aio._protocol.calls import check_id
from symbl_aio.models import JSON

_PADDING = "\ufeff\0 \t\r\n"
_LOST: Final = "\ufffd"
"""Stands for a character of which a part is lost."""
_MESSAGES = ("message", "error", "detail", "error_description", "title")


def _no_number(name: str) -> None:
    """Read NaN and the infinities, which JSON does not have, as null."""


_decode: Final = json.JSONDecoder(strict=False, parse_constant=_no_number).decode


def decode_json(text: str) -> JSON:
    """Decode JSON as servers write it, to values that can be written again.

    Half of a surrogate pair, which a server leaves where it cuts a text within an emoji, is
    U+FFFD. A number that no float can hold, such as 1e999, is infinite: a look at each would
    cost a third of the decoding, so ``as_json`` and the fields of models make it null. Raises
    ``ValueError`` and ``RecursionError``.
    """
    value: JSON = _decode(text)
    # No other answer has half of one: it would have to be an escape, since UTF-8 has none.
    return _mended(value) if "\\ud" in text or "\\uD" in text else value


def _mended(value: JSON) -> JSON:
    if isinstance(value, str):
        return NO_UTF_8.sub(_LOST, value)
    if isinstance(value, Mapping):
        return {NO_UTF_8.sub(_LOST, name): _mended(item) for name, item in value.items()}
    return [_mended(item) for item in value] if isinstance(value, Sequence) else value


@frozen
class Answer:
    """An HTTP answer, read to its end. ``elapsed``: seconds from sending to the last byte."""

    status: int
    headers: Mapping[str, str]
    text: str = field(repr=False)
    elapsed: float = 0.0

    def json(self) -> JSON:
        """Decode the text. Raises ``DecodeError``, and nothing else.

        Padding is accepted: byte order marks and zeros around the JSON. So are a line break
        within one of its strings, and numbers that are none: NaN is null.
        """
        try:
            text = self.text.strip(_PADDING)
            # Hardly any answer has an escape, and each job has two answers.
            value: JSON = decode_json(text) if "\\" in text else _decode(text)
        except (ValueError, RecursionError) as error:
            raise DecodeError(f"the answer is not JSON: {error}", self.text) from None
        return value


def _object(answer: Answer, what: str) -> Mapping[str, JSON]:
    value = answer.json()
    if not isinstance(value, Mapping):
        raise DecodeError(f"{what} is not a JSON object", answer.text)
    return value


def read_id(value: object) -> str | None:
    """Return an id, which is a number in some answers; ``None`` if it is unusable."""
    if isinstance(value, str):
        if _LOST in value:  # part of it is lost
            return None
        try:
            return check_id("id", value)
        except ConfigurationError:
            return None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _seconds(value: JSON) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def decode_accepted(answer: Answer) -> tuple[str, str]:
    """Return conversation id and job id of an accepted submission (Async API pages).

    Raises ``DecodeError`` when either is missing or unusable.
    """
    value = _object(answer, "the answer to a submission")
    conversation_id, job_id = read_id(value.get("conversationId")), read_id(value.get("jobId"))
    if conversation_id is None or job_id is None:
        missing = "conversationId" if conversation_id is None else "jobId"
        raise DecodeError(f"the answer to a submission has no usable {missing}", answer.text)
    return conversation_id, job_id


def decode_status(answer: Answer) -> str:
    """Return the status of a job in the server's own word (Job API page).

    Raises ``DecodeError`` when there is no status.
    """
    value = _object(answer, "the answer about a job")
    status = value.get("status")
    if not isinstance(status, str):
        raise DecodeError("the answer about a job has no status", answer.text)
    return intern(status)  # of a hundred thousand jobs it is the same few words


def failure_reason(answer: Answer) -> str | None:
    """Return why a job failed, which the local server adds to the answer of the API; or None."""
    value = answer.json()
    reason = value.get("reason") if isinstance(value, Mapping) else None
    if not isinstance(reason, str):
        return None
    # One printable line, whatever the server puts into it.
    return " ".join("".join(c if c.isprintable() else " " for c in reason).split()) or None


def decode_token(answer: Answer) -> tuple[str, float | None]:
    """Return a token and its remaining seconds, ``None`` if unknown (Authentication page).

    Raises ``DecodeError``, without the answer's text: it may hold a token.
    """
    try:
        value = answer.json()
    except DecodeError:
        value = None  # raises below, without the text in the error's context
    if not isinstance(value, Mapping):
        raise DecodeError("the answer to a token request is not a JSON object", "")
    text = value.get("accessToken")
    if not isinstance(text, str) or not text or not all("!" <= c <= "~" for c in text):
        raise DecodeError("the answer to a token request has no usable accessToken", "")
    return text, _seconds(value.get("expiresIn"))


def error_message(answer: Answer) -> str:
    """Return the server's own error message, empty if there is none (Errors page).

    Never raises: gateways use other keys, as ``{"error": {"message": …}}``.
    """
    try:
        value = answer.json()
    except DecodeError:
        return ""
    for _ in range(2):
        if not isinstance(value, Mapping):
            break
        found = [value[key] for key in _MESSAGES if value.get(key)]
        value = found[0] if found else None
    return value if isinstance(value, str) else ""


def error_excerpt(answer: Answer) -> str:
    """Return the text of an error page that is not JSON: its title if it is HTML.

    On one line, without control characters. Never raises.
    """
    text = answer.text.strip(_PADDING)
    if not text or text[0] in "{[":
        return ""
    if text[0] == "<":
        from html import unescape  # its table of 2,000 names serves an error page alone

        lower = text.lower()
        start = lower.find(">", lower.find("<title")) + 1 if "<title" in lower else 0
        end = lower.find("</title", start)
        text = unescape(re.sub(r"<[^<>]*>", " ", text[start:end] if start and end > 0 else text))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
