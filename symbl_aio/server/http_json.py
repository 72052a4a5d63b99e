"""JSON in and out, errors, booleans and times. API sections 0.2 and 5.2.

What enters here can leave again: a value that no response could carry (a lone surrogate, an
infinite number, nesting without end, a time beyond the calendar) is refused before it is stored.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from symbl_aio.server.thread_pool import ComputingThreads

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

LongJSON: TypeAlias = "JSON | Mapping[str, JSON | Iterator[JSON]]"
"""The body of a long response: an iterator stands for the list of its items."""


# Deeper than any body of the API, and far from the recursion limit of a JSON library.
MAX_DEPTH = 32

# Lists and objects in one body. Each costs memory beyond its two bytes of text.
_MAX_CONTAINERS = 400_000

# A request line of a megabyte has room for half a million, which take a third of a second.
_MOST_PARAMETERS = 1000

# Bytes of a long response that are made at a time, and that its connection holds.
_BLOCK = 256 * 1024
_LONG = 32 * 1024

# Half of an escaped pair, or a whole one: no response could carry the half.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

_JSON_TYPE = CIMultiDict({hdrs.CONTENT_TYPE: "application/json; charset=utf-8"})

_EARLIEST, _LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class LongResponse(web.Response):
    """A response whose body leaves memory once it was sent.

    The library refers to a response until the next request of its connection.
    """

    async def write_eof(self, data: bytes = b"") -> None:
        await super().write_eof(data)
        self.body = None


class LongList(list[JSON]):
    """A list within an item of a long response, written item by item, too."""


class ApiError(Exception):
    """A response other than 2xx, with the documented ``{"message"}`` body.

    ``retry_after``: seconds for the header of that name.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        extra: Mapping[str, JSON] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, JSON] = {**(extra or {}), "message": message}
        self.retry_after = retry_after

    def response(self) -> web.Response:
        response = json_response(self.body, self.status)
        if self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        return response


def json_response(body: JSON, status: int = 200) -> web.Response:
    """Return a JSON response."""
    # Compact, and UTF-8 instead of ASCII escapes. A character that has no UTF-8 becomes "?": one
    # record must not break the response about all.
    data = encode_json(body).encode(errors="replace")
    kind = web.Response if len(data) < _LONG else LongResponse
    return kind(body=data, status=status, headers=_JSON_TYPE)


async def long_json_response(
    make: Callable[[], LongJSON],
    threads: ComputingThreads,
    status: int = 200,
    *,
    in_thread: bool = True,
) -> web.Response:
    """Return a JSON response of any length. ``make`` returns its body.

    A long one is sent while it is made, without a length. The caller's reading sets the pace, and
    memory is needed for a block of it. ``in_thread``: the first block is made beside the event
    loop, as all others are, in one of the ``threads`` of the application.
    """
    blocks = _blocks(make)
    first = await threads.run(next, blocks) if in_thread else next(blocks)
    is_whole = len(first) < _BLOCK
    body = first if is_whole else _send([first], blocks, threads)
    return LongResponse(body=body, status=status, headers=_JSON_TYPE)


async def streamed_json_response(name: str, parts: AsyncIterator[str]) -> web.Response:
    """Return a JSON object with one list of any length; ``parts`` are the texts of its items.

    As a long response is, it is sent while it is made.
    """
    blocks = _list_blocks(name, parts)
    first = await anext(blocks)
    body = first if len(first) < _BLOCK else _continued([first], blocks)
    return LongResponse(body=body, headers=_JSON_TYPE)


async def _continued(first: list[bytes], blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first.pop()
    async for block in blocks:
        yield block


async def _list_blocks(name: str, parts: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """Yield the bytes of a list, as ``_blocks`` does."""
    block = bytearray(f"{{{encode_json(name)}:[".encode())
    separator = b""
    async for part in parts:
        if part:
            block += separator + part.encode(errors="replace")
            separator = b","
        del part
        if len(block) >= _BLOCK:
            yield _emptied(block)
    yield bytes(block + b"]}")


async def _send(
    made: list[bytes], blocks: Iterator[bytes], threads: ComputingThreads
) -> AsyncIterator[bytes]:
    # Taken out of the list, so that nothing holds one that was sent while the next is waited for:
    # a thousand may wait.
    while made[0]:
        yield made.pop()
        made.append(await threads.run(next, blocks, b""))


def _blocks(make: Callable[[], LongJSON]) -> Iterator[bytes]:
    """Yield the bytes of a body: blocks, and a shorter rest, which may be empty.

    The JSON library keeps all other threads waiting until it has written a value. Here the items
    of a list, also of one in an object, are written one by one. Those of an iterator are made
    one by one, too: as objects they take several times the memory of their bytes.
    """
    block = bytearray()
    for piece in _pieces(make()):
        block += piece.encode(errors="replace")
        if len(block) >= _BLOCK:
            yield _emptied(block)
    yield _emptied(block)


def _emptied(block: bytearray) -> bytes:
    """Return the bytes of a block, and empty it: its maker may wait for a slow reader."""
    made = bytes(block)
    block.clear()
    return made


def _pieces(body: LongJSON | Iterator[JSON]) -> Iterator[str]:
    if isinstance(body, Mapping):
        for number, (key, value) in enumerate(body.items()):
            yield f"{',' if number else '{'}{encode_json(key)}:"
            yield from (
                _pieces(value) if isinstance(value, list | Iterator) else (encode_json(value),)
            )
        yield "}" if body else "{}"
    elif isinstance(body, list | Iterator):
        separator = "["
        for item in body:
            if isinstance(item, dict) and LongList in map(type, item.values()):
                yield separator
                yield from _pieces(item)
            else:
                yield separator + encode_json(item)
            separator = ","
        yield "[]" if separator == "[" else "]"
    else:
        yield encode_json(body)


def parse_json(body: bytes | str) -> JSON:
    """Parse JSON text. Raises a 400 ``ApiError``, also for what no response could carry."""
    try:
        # Bytes are decoded here: the library would accept UTF-16, and surrogates.
        text = body if isinstance(body, str) else body.decode("utf-8-sig")
        containers = text.count("[") + text.count("{")
        if containers > _MAX_CONTAINERS:
            raise ApiError(400, "The body has too many lists and objects.")
        value: JSON = _DECODER.decode(text)
        if containers > MAX_DEPTH:
            check_depth(value)
        if _SURROGATE.search(text):
            encode_json(value).encode()
    except (ValueError, RecursionError):
        raise ApiError(400, "The body is not JSON in UTF-8, or has a value out of range.") from None
    return value


def check_depth(value: JSON) -> None:
    """Raise a 400 ``ApiError`` if lists and objects are nested deeper than ``MAX_DEPTH``."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise ApiError(400, f"Lists and objects may be nested {MAX_DEPTH} deep.")


def _refuse_constant(name: str) -> JSON:
    raise ValueError(f"{name} is not JSON")


def _bounded_int(digits: str) -> int:
    number = int(digits)
    if abs(number) >= 2**63:
        raise ValueError("the number has more than 64 bits")
    return number


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("the number is infinite")
    return number


# Each made once: ``json.loads`` and ``json.dumps`` make one for each call with options.
_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_int=_bounded_int, parse_float=_finite_float
)
encode_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def require_object(value: JSON, subject: str = "The body") -> dict[str, JSON]:
    """Return a JSON object as it is; raise a 400 ``ApiError`` about ``subject`` for other JSON."""
    if not isinstance(value, dict):
        raise ApiError(400, f"{subject} must be a JSON object.")
    return value


def check_query(query: str) -> None:
    """Raise a 400 ``ApiError`` for a query of many parameters, before it is parsed."""
    if query.count("&") >= _MOST_PARAMETERS:
        raise ApiError(400, f"A query has {_MOST_PARAMETERS} parameters at most.")


def query_text(request: web.Request, name: str) -> str | None:
    """Return a parameter of the query, None if it is absent or empty.

    Raises a 400 ``ApiError`` for one that is given with two values.
    """
    if name not in request.query:
        return None
    values = set(request.query.getall(name)) - {""}
    if len(values) > 1:
        raise ApiError(400, f'The query parameter "{name}" was given with {len(values)} values.')
    return next(iter(values), None)


def query_flag(request: web.Request, name: str) -> bool | None:
    """Return a boolean of the query, None if it is absent. Raises a 400 ``ApiError``."""
    if (text := query_text(request, name)) is None:
        return None
    if (value := parse_bool(text)) is None:
        raise ApiError(400, f'"{name}" must be true or false.')
    return value


def parse_bool(text: str) -> bool | None:
    """Parse a boolean of a query, or return None; the vendor's Python client sends ``True``."""
    return {"true": True, "false": False}.get(text.lower())


def is_http_url(value: JSON) -> bool:
    """Return whether a value is an http or https URL with a host."""
    try:
        url = URL(value) if isinstance(value, str) else URL()
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.host)


def now() -> datetime:
    """Return the current time, truncated to milliseconds as the API writes it."""
    return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)


def format_instant(instant: datetime) -> str:
    """Format a time as ISO 8601 in UTC with milliseconds and ``Z``."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def parse_instant(text: str) -> datetime:
    """Parse ISO 8601; a time without a zone is UTC. Raises ValueError.

    Times before 1900 and after 2199 are refused: the end of a conversation must have a date too.
    """
    instant = datetime.fromisoformat(text)
    try:
        instant = instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("the time is outside of the calendar") from None
    if not _EARLIEST <= instant < _LATEST:
        raise ValueError("the time is not between 1900 and 2199")
    return instant


def format_offset(start: datetime, seconds: float) -> str:
    """Format the time ``seconds`` after ``start``."""
    return format_instant(start + timedelta(seconds=seconds))
