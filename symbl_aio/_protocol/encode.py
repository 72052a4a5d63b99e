"""Encoding of submissions, and decoding of their answers, tokens and errors. No I/O.

The rules of the ten submission calls (Async API pages): texts and URLs are JSON bodies
with all parameters inside; a file is the body itself and takes its parameters in the
query, lists and objects there as JSON text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from html import unescape
from typing import Any

import attrs
from attrs import evolve, field, frozen

from symbl_aio._errors import ConfigurationError, DecodeError
from symbl_aio._protocol.calls import Call as Call
from symbl_aio._protocol.calls import (
    check_id,
    instant,
    json_text,
    query_text,
    submission,
    token,
)
from symbl_aio.config import Credentials
from symbl_aio.media import Audio, Media, Text, Utterance, Video
from symbl_aio.models import JSON
from symbl_aio.options import MediaOptions, Options, wire_name

_NO_OPTIONS = MediaOptions()
_JSON_HEADERS = (("Content-Type", "application/json"),)
_PADDING = "\ufeff\0 \t\r\n"
_MESSAGES = ("message", "error", "detail", "error_description", "title")


@frozen
class Answer:
    """An HTTP answer, read to its end. ``elapsed``: seconds from sending to the last byte."""

    status: int
    headers: Mapping[str, str]
    text: str = field(repr=False)
    elapsed: float = 0.0

    def json(self) -> JSON:
        """Decode the text. Raises ``DecodeError``, and nothing else.

        Padding is accepted: byte order marks and zeros around the JSON. So is a line break
        within one of its strings.
        """
        try:
            value: JSON = json.loads(self.text.strip(_PADDING), strict=False)
        except (ValueError, RecursionError) as error:
            raise DecodeError(f"the answer is not JSON: {error}", self.text) from None
        return value


def encode_submission(
    media: Media,
    options: Options | None = None,
    conversation_id: str | None = None,
    *,
    content_type: str | None = None,
) -> Call:
    """Return the call that submits ``media``, or appends it to ``conversation_id``.

    ``content_type`` is the detected type of an audio file; the default is the media's own,
    and without that no header is sent, as the API requires for other formats. The ``body`` of
    a file's call is ``None``: the file is the body.

    Raises ``ConfigurationError`` for an id or option that cannot be sent.
    """
    call = submission(media.kind, conversation_id)
    given = {} if options is None else options.given()
    options = _NO_OPTIONS if options is None else options
    urls = () if isinstance(media, Text | Audio | Video) else (media.url,)
    if options.webhook_url:
        urls = (*urls, options.webhook_url)
    named = {wire_name(name): plain(value) for name, value in given.items()}
    if isinstance(media, Audio | Video):
        if options.extra_body:
            raise ConfigurationError(
                f"extra_body is set for {media.kind}, whose body is the file; give extra_query"
            )
        sent_type = "video/mp4" if isinstance(media, Video) else content_type or media.content_type
        headers = (("Content-Type", sent_type),) if sent_type else ()
        query = _query(named, options)
        return Call(call.method, call.path, query=query, headers=headers, urls=urls)

    body: dict[str, JSON]
    if isinstance(media, Text):
        body = {"messages": [_message(utterance) for utterance in media.messages]}
    else:
        body = {"url": media.url}
    if twice := body.keys() & options.extra_body.keys():
        raise ConfigurationError(f"extra_body[{min(twice)!r}] is the media itself; leave it out")
    moved = {wire_name(name) for name in options.in_query} & named.keys()
    body |= {name: value for name, value in named.items() if name not in moved}
    body.update(options.extra_body)
    query = _query({name: named[name] for name in named if name in moved}, options)
    return Call(
        call.method,
        call.path,
        query=query,
        headers=_JSON_HEADERS,
        body=json_text(body).encode(),
        urls=urls,
    )


def with_body(call: Call, body: JSON, *, urls: Iterable[str | None] = ()) -> Call:
    """Return the call with a JSON body. ``urls``: those in it, which may be signed.

    Raises ``ConfigurationError`` for a value that JSON cannot represent.
    """
    return evolve(
        call,
        headers=_JSON_HEADERS,
        body=json_text(body).encode(),
        urls=tuple(url for url in urls if url),
    )


def encode_token(credentials: Credentials) -> Call:
    """Return the call that requests a token (Authentication page)."""
    body = {
        "type": "application",
        "appId": credentials.app_id,
        "appSecret": credentials.app_secret,
    }
    return evolve(token(), headers=_JSON_HEADERS, body=json_text(body).encode())


def _query(named: Mapping[str, JSON], options: Options) -> tuple[tuple[str, str], ...]:
    # An empty list has no effect, and no page has one in a query.
    pairs = {name: value for name, value in named.items() if value != []}
    pairs.update(options.extra_query)
    return tuple((name, query_text(value)) for name, value in pairs.items())


def plain(value: Any) -> JSON:
    """Convert a caller's value to JSON: its fields get their wire names."""
    if attrs.has(type(value)):
        names = (f.name for f in attrs.fields(type(value)) if f.name != "raw")
        items = ((name, getattr(value, name)) for name in names)
        return {wire_name(name): plain(item) for name, item in items if item is not None}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    ready: JSON = value
    return ready


def _message(utterance: Utterance) -> JSON:
    """Text API pages: one item of ``messages``."""
    message: dict[str, JSON] = {"payload": {"content": utterance.text}}
    sender = {"name": utterance.speaker, "userId": utterance.user_id}
    if given := {key: text for key, text in sender.items() if text is not None}:
        message["from"] = given
    times = {"startTime": utterance.start, "endTime": utterance.end}
    if known := {key: instant(key, time) for key, time in times.items() if time is not None}:
        message["duration"] = known
    return message


def _object(answer: Answer, what: str) -> Mapping[str, JSON]:
    value = answer.json()
    if not isinstance(value, Mapping):
        raise DecodeError(f"{what} is not a JSON object", answer.text)
    return value


def read_id(value: object) -> str | None:
    """Return an id, which is a number in some answers; ``None`` if it is unusable."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    try:
        return check_id("id", value) if isinstance(value, str) else None
    except ConfigurationError:
        return None


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


def decode_job(answer: Answer) -> tuple[str | None, str]:
    """Return a job's id, if present, and its status in the server's own word (Job API page).

    Raises ``DecodeError`` when there is no status.
    """
    value = _object(answer, "the answer about a job")
    status = value.get("status")
    if not isinstance(status, str):
        raise DecodeError("the answer about a job has no status", answer.text)
    return read_id(value.get("id")) or read_id(value.get("jobId")), status


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
        lower = text.lower()
        start = lower.find(">", lower.find("<title")) + 1 if "<title" in lower else 0
        end = lower.find("</title", start)
        text = unescape(re.sub(r"<[^<>]*>", " ", text[start:end] if start and end > 0 else text))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
