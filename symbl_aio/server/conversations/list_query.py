"""Filter, order and page the list of conversations. API section 6.1."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from aiohttp import web

from symbl_aio.server.conversations.conversation import ConversationHead
from symbl_aio.server.conversations.registry import Conversations
from symbl_aio.server.conversations.serializers import conversation_items
from symbl_aio.server.http_json import (
    ApiError,
    encode_json,
    now,
    parse_instant,
    query_text,
    streamed_json_response,
)
from symbl_aio.server.storage.store import ListQuery

_MAX_LIMIT = 65536
_MAX_OFFSET = 10**15
_MAX_TERMS = 20
# Conversations and members. More are encoded in a thread, so that other callers need not wait.
_MAX_INLINE_ITEMS = 200

Predicate: TypeAlias = Callable[[ConversationHead], bool]

_ZONE = re.compile(r"\d\d:?\d\d")

# A quoted value may hold each character, a quote and a backslash after a backslash.
_QUOTED = r"\"(?:[^\"\\]|\\.)*+\"|'(?:[^'\\]|\\.)*+'"
_TERM = re.compile(
    r"(?P<name>conversation\.[\w.-]++)\s*+(?P<op>==|!=|=[lg][te]=|[<>]=?)\s*+"
    rf"(?:(?P<quoted>{_QUOTED})|(?P<plain>[^\"';,()]+?))",
    re.DOTALL,
)
# A quote without its end takes the rest, or each of many would read it again. "\s++" may begin
# at the first of many spaces only, for the same reason.
_SEPARATOR = re.compile(
    r"\"(?:[^\"\\]|\\.?)*+\"?|'(?:[^'\\]|\\.?)*+'?|(?P<separator>;|(?<!\s)\s++and\s++)", re.DOTALL
)
_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "=lt=": lambda a, b: a < b,
    "=le=": lambda a, b: a <= b,
    "=gt=": lambda a, b: a > b,
    "=ge=": lambda a, b: a >= b,
}
# RSQL has two spellings of each comparison.
_OPERATORS |= {"<": _OPERATORS["=lt="], "<=": _OPERATORS["=le="]}
_OPERATORS |= {">": _OPERATORS["=gt="], ">=": _OPERATORS["=ge="]}


async def list_response(
    conversations: Conversations, request: web.Request, criteria: Predicate | None = None
) -> web.Response:
    """Return the list of those that a query selects; by default 20 of the last 7 days.

    ``criteria``: all that are selected meet them, too. Raises a 400 ``ApiError`` that names a
    wrong parameter.
    """
    query = _parse_list_query(request, criteria)
    return await streamed_json_response("conversations", _encoded_items(conversations, query))


async def _encoded_items(conversations: Conversations, query: ListQuery) -> AsyncIterator[str]:
    chunks = conversations.heads(query)
    while True:
        async with conversations.list_turns:
            if (heads := await anext(chunks, None)) is None:
                return
            if sum(1 + len(head.members) for head in heads) > _MAX_INLINE_ITEMS:
                made = [await conversations.threads.run(_encode, heads)]
            else:
                made = [_encode(heads)]
            del heads
        yield made.pop()


def _encode(heads: Iterable[ConversationHead]) -> str:
    return ",".join(map(encode_json, conversation_items(heads)))


def _parse_list_query(request: web.Request, criteria: Predicate | None) -> ListQuery:
    limit = _query_int(request, "limit", 20, _MAX_LIMIT)
    offset = _query_int(request, "offset", 0, _MAX_OFFSET)
    order = (query_text(request, "order") or "asc").lower()
    if order not in ("asc", "desc"):
        raise ApiError(400, '"order" must be asc or desc.')
    if query_text(request, "sort") not in (None, "conversation.startTime"):
        raise ApiError(400, '"sort" must be conversation.startTime.')
    end = _query_instant(request, "endTime", now())
    start = _query_instant(request, "startTime", end - timedelta(days=7))
    if start >= end or end > now():
        raise ApiError(400, '"startTime" must be before "endTime", and both before now.')
    matches = parse_filter(query_text(request, "filter") or "")
    if matches is not None and criteria is not None:
        both = (matches, criteria)
        matches = lambda head: all(test(head) for test in both)  # noqa: E731
    return ListQuery(
        start=start,
        end=end,
        matches=matches or criteria,
        descending=order == "desc",
        offset=offset,
        limit=limit,
    )


def parse_filter(text: str, field: str = "filter") -> Predicate | None:
    """Parse RSQL terms joined by ``;`` or ``and``, about two parameters at most.

    Returns a predicate, None for a text without a term. A 400 ``ApiError`` names the ``field``
    of the text.
    """
    tests: list[Predicate] = []
    names = set()
    parts = _terms_of(text.strip())
    if len(parts) > _MAX_TERMS:
        raise ApiError(400, f'"{field}" has more than {_MAX_TERMS} terms.')
    for part in parts:
        term = _TERM.fullmatch(part.strip())
        if term is None:
            raise ApiError(400, f'"{field}" must be RSQL terms joined by "and" or ";".')
        names.add(term["name"])
        quoted = term["quoted"]
        value = term["plain"] if quoted is None else re.sub(r"(?s)\\(.)", r"\1", quoted[1:-1])
        tests.append(_parse_term(term["name"], term["op"], value, field))
    if len(names) > 2:
        raise ApiError(400, f'"{field}" takes two different parameters at most.')
    return (lambda head: all(test(head) for test in tests)) if tests else None


def _terms_of(text: str) -> list[str]:
    """Split RSQL at the separators outside of quotes; none of an empty text."""
    parts, start = [], 0
    for found in _SEPARATOR.finditer(text):
        if found["separator"]:
            parts.append(text[start : found.start()])
            start = found.end()
    return [*parts, text[start:]] if text else []


def _parse_term(name: str, op: str, value: str, field: str) -> Predicate:
    compare = _OPERATORS[op]
    key = name.removeprefix("conversation.")
    if key in ("startTime", "startDate", "endTime"):
        try:
            instant = parse_instant(value).isoformat()
        except ValueError:
            raise ApiError(400, f'"{name}" is compared with an ISO 8601 time.') from None
        if key == "endTime":
            return lambda c: compare(c.ended_at.astimezone(UTC).isoformat(), instant)
        return lambda c: compare(c.started_at.astimezone(UTC).isoformat(), instant)
    if key == "name":
        return lambda c: compare(c.name, value)
    if key.startswith("metadata."):
        entry = key.removeprefix("metadata.")
        return lambda c: compare(c.metadata.get(entry, ""), value)
    raise ApiError(400, f'"{field}" does not know {name}.')


def _query_int(request: web.Request, name: str, default: int, maximum: int) -> int:
    text = query_text(request, name) or str(default)
    digits = text.lstrip("0") or "0"
    # isdigit() alone accepts characters that int() refuses, such as superscripts; and int()
    # refuses thousands of digits.
    whole = text.isascii() and text.isdigit() and len(digits) <= len(str(maximum))
    if not whole or int(digits) > maximum:
        raise ApiError(400, f'"{name}" must be a whole number from 0 to {maximum}.')
    return int(digits)


def _query_instant(request: web.Request, name: str, default: datetime) -> datetime:
    text = query_text(request, name)
    try:
        return default if text is None else parse_instant(_with_plus(text))
    except ValueError:
        raise ApiError(400, f'"{name}" must be an ISO 8601 time.') from None


def _with_plus(text: str) -> str:
    """Return a time in which a plus was not escaped, and is a space: "2026-03-01T08:00 02:00"."""
    instant, space, zone = text.rpartition(" ")
    return f"{instant}+{zone}" if space and "T" in instant and _ZONE.fullmatch(zone) else text
