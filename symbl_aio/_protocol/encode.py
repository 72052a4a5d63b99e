"""Encoding of submissions and of token requests. No I/O.

The rules of the ten submission calls (Async API pages): texts and URLs are JSON bodies
with all parameters inside; a file is the body itself and takes its parameters in the
query, lists and objects there as JSON text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
from attrs import evolve

import symbl_aio  # for annotations alone: their names are imported when evaluated
from symbl_aio._error_classes import ConfigurationError
from symbl_aio._fields import text_of
from symbl_aio._protocol.calls import Call as Call
from symbl_aio._protocol.calls import (
    instant,
    json_text,
    query_text,
    submission,
    token,
)
from symbl_aio.config import Credentials
from symbl_aio.media import Audio, Media, Text, Utterance, Video
from symbl_aio.models.base import JSON, wire_name

# Tuples: ``isinstance(x, A | B)`` makes the union each time.
_FILES: Final = (Audio, Video)
_WITHOUT_URL: Final = (Text, Audio, Video)
_JSON_HEADERS = (("Content-Type", "application/json"),)


def encode_submission(
    media: Media,
    options: symbl_aio.Options | None = None,
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
    urls = () if isinstance(media, _WITHOUT_URL) else (media.url,)
    named: dict[str, JSON] = {}
    if options is not None:
        named = {wire_name(name): plain(value) for name, value in options.given().items()}
        if options.webhook_url:
            urls = (*urls, options.webhook_url)
    if isinstance(media, _FILES):
        if options is not None and options.extra_body:
            raise ConfigurationError(
                f"extra_body is set for {media.kind}, whose body is the file; give extra_query"
            )
        sent_type = "video/mp4" if isinstance(media, Video) else content_type or media.content_type
        headers = (("Content-Type", text_of(sent_type)),) if sent_type else ()
        pairs = () if options is None else _query(named, options)
        return Call(call.method, call.path, query=pairs, headers=headers, urls=urls)

    body: dict[str, JSON]
    if isinstance(media, Text):
        body = {"messages": [_message(utterance) for utterance in media.messages]}
    else:
        body = {"url": media.url}
    query: tuple[tuple[str, str], ...] = ()
    if options is not None:
        if twice := body.keys() & options.extra_body.keys():
            raise ConfigurationError(
                f"extra_body[{min(twice)!r}] is the media itself; leave it out"
            )
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


def _query(named: Mapping[str, JSON], options: symbl_aio.Options) -> tuple[tuple[str, str], ...]:
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
