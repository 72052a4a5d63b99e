"""Which conversations a list shows. API section 6.1."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from aiohttp import web

from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.http_json import RefusedError, now, read_instant

_MOST = 65536

_TERM = re.compile(
    r"(?P<name>conversation\.[\w.-]+)\s*(?P<op>==|!=|=[lg][te]=|[<>]=?)\s*"
    r"(?P<quote>[\"']?)(?P<value>[^\"';,()]+?)(?P=quote)"
)
_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "=lt=": lambda a, b: a < b,
    "=le=": lambda a, b: a <= b,
    "=gt=": lambda a, b: a > b,
    "=ge=": lambda a, b: a >= b,
}
_COMPARE |= {"<": _COMPARE["=lt="], "<=": _COMPARE["=le="]}
_COMPARE |= {">": _COMPARE["=gt="], ">=": _COMPARE["=ge="]}


def listed(conversations: Iterable[Conversation], request: web.Request) -> list[Conversation]:
    """Choose and order by the query; without any, the first 20 of the last 7 days."""
    limit = _number(request, "limit", 20, _MOST)
    offset = _number(request, "offset", 0, None)
    order = request.query.get("order", "asc")
    if order not in ("asc", "desc"):
        raise RefusedError(400, '"order" must be asc or desc.')
    if request.query.get("sort", "conversation.startTime") != "conversation.startTime":
        raise RefusedError(400, '"sort" must be conversation.startTime.')
    end = _instant(request, "endTime", now())
    start = _instant(request, "startTime", end - timedelta(days=7))
    if start >= end or end > now():
        raise RefusedError(400, '"startTime" must be before "endTime", and both before now.')
    matches = filtering(request.query.get("filter", ""))
    chosen = [c for c in conversations if start <= c.started_at <= end and matches(c)]
    chosen.sort(key=lambda c: c.started_at, reverse=order == "desc")
    return chosen[offset : offset + limit]


def filtering(text: str, field: str = "filter") -> Callable[[Conversation], bool]:
    """Read RSQL: terms joined by ``;`` or ``and``, about two things at most.

    A refusal names the ``field`` that the text came in.
    """
    tests: list[Callable[[Conversation], bool]] = []
    names = set()
    for part in re.split(r";|\s+and\s+", text) if text.strip() else []:
        term = _TERM.fullmatch(part.strip())
        if term is None:
            raise RefusedError(400, f'"{field}" must be RSQL terms joined by "and" or ";".')
        names.add(term["name"])
        tests.append(_test(term["name"], term["op"], term["value"], field))
    if len(names) > 2:
        raise RefusedError(400, f'"{field}" takes two different parameters at most.')
    return lambda conversation: all(test(conversation) for test in tests)


def _test(name: str, op: str, value: str, field: str) -> Callable[[Conversation], bool]:
    compare = _COMPARE[op]
    key = name.removeprefix("conversation.")
    if key in ("startTime", "startDate", "endTime"):
        try:
            instant = read_instant(value).isoformat()
        except ValueError:
            raise RefusedError(400, f'"{name}" is compared with an ISO 8601 time.') from None
        if key == "endTime":
            return lambda c: compare(c.ended_at.isoformat(), instant)
        return lambda c: compare(c.started_at.isoformat(), instant)
    if key == "name":
        return lambda c: compare(c.name, value)
    if key.startswith("metadata."):
        entry = key.removeprefix("metadata.")
        return lambda c: compare(c.metadata.get(entry, ""), value)
    raise RefusedError(400, f'"{field}" does not know {name}.')


def _number(request: web.Request, name: str, default: int, most: int | None) -> int:
    text = request.query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or (most is not None and int(text) > most):
        raise RefusedError(400, f'"{name}" must be a whole number from 0 to {most or "any"}.')
    return int(text)


def _instant(request: web.Request, name: str, default: datetime) -> datetime:
    text = request.query.get(name)
    try:
        return default if text is None else read_instant(text)
    except ValueError:
        raise RefusedError(400, f'"{name}" must be an ISO 8601 time.') from None
