"""JSON requests, JSON responses, errors, booleans and times. API sections 0.2 and 5.2."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from aiohttp import web

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"


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
    return web.Response(
        # Compact, and UTF-8 instead of ASCII escapes.
        body=json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(),
        status=status,
        content_type="application/json",
        charset="utf-8",
    )


async def read_json(request: web.Request) -> JSON:
    """Read the body of a request as JSON. Raises a 400 ``ApiError``."""
    try:
        body: JSON = await request.json()
    except ValueError:
        raise ApiError(400, "The body is not JSON.") from None
    return body


async def read_json_object(request: web.Request) -> dict[str, JSON]:
    """Read the body of a request as a JSON object. Raises a 400 ``ApiError``."""
    return require_object(await read_json(request))


def parse_json(body: bytes) -> JSON:
    """Parse a body that was read already. Raises a 400 ``ApiError``."""
    try:
        value: JSON = json.loads(body)
    except ValueError:
        raise ApiError(400, "The body is not JSON.") from None
    return value


def require_object(value: JSON, subject: str = "The body") -> dict[str, JSON]:
    """Return a JSON object as it is; raise a 400 ``ApiError`` about ``subject`` for other JSON."""
    if not isinstance(value, dict):
        raise ApiError(400, f"{subject} must be a JSON object.")
    return value


def query_flag(request: web.Request, name: str) -> bool | None:
    """Return a boolean of the query, None if it is absent. Raises a 400 ``ApiError``."""
    if name not in request.query:
        return None
    value = parse_bool(request.query[name])
    if value is None:
        raise ApiError(400, f'"{name}" must be true or false.')
    return value


def parse_bool(text: str) -> bool | None:
    """Parse a boolean of a query, or return None; the vendor's Python client sends ``True``."""
    return {"true": True, "false": False}.get(text.lower())


def is_http_url(value: JSON) -> bool:
    """Return whether a value is an http or https URL."""
    return isinstance(value, str) and value.lower().startswith(("http://", "https://"))


def now() -> datetime:
    """Return the current time, truncated to milliseconds as the API writes it."""
    instant = datetime.now(UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def format_instant(instant: datetime) -> str:
    """Format a time as ISO 8601 in UTC with milliseconds and ``Z``."""
    utc = instant.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def parse_instant(text: str) -> datetime:
    """Parse ISO 8601; a time without a zone is UTC. Raises ValueError."""
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def format_offset(start: datetime, seconds: float) -> str:
    """Format the time ``seconds`` after ``start``."""
    return format_instant(start + timedelta(seconds=seconds))
