"""Answers as plain JSON values, for a web service's own answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

from attrs import fields, has

from symbl_aio.models.base import JSON


def as_json(value: object) -> JSON:
    """Return a model, a ``Page``, or any list or mapping of them, as plain JSON values.

    The names are those of the fields; ``raw`` is left out, of a ``Page`` all but its items.
    Instants are texts in ISO 8601. A web framework that does not know the models (FastAPI,
    aiohttp) can answer with it. Raises ``TypeError`` for what has no such form.
    """
    if isinstance(value, Enum):
        return as_json(value.value)
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [as_json(item) for item in value]
    kind: Any = type(value)
    if has(kind):
        names = [field.name for field in fields(kind) if field.name != "raw"]
        return {name: as_json(getattr(value, name)) for name in names}
    raise TypeError(
        f"a {type(value).__name__} has no form in JSON; give a model, or a list of them"
    )
