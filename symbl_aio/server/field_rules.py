"""Rules for the fields of a request: a reader, a check, and how a refusal describes the value.

A reader turns the spellings that other clients send into the documented one; the check sees
only that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeGuard

from attrs import frozen

from symbl_aio.server.http_json import JSON, ApiError, parse_bool, parse_json


def as_it_is(value: JSON) -> JSON:
    return value


def read_flag(value: JSON) -> JSON:
    """Read ``"true"`` and ``"false"`` in any case as booleans."""
    flag = parse_bool(value) if isinstance(value, str) else None
    return value if flag is None else flag


def read_number(value: JSON) -> JSON:
    """Read the digits of a text as a number."""
    number = _read_json(value) if isinstance(value, str) else value
    return number if isinstance(number, int | float) else value


def read_json_text(value: JSON) -> JSON:
    """Read JSON text; other text stays as it is."""
    return _read_json(value) if isinstance(value, str) else value


@frozen
class FieldRule:
    """A check of one field; ``expected`` completes the sentence "the field must be ...".

    ``read`` is called before the check.
    """

    check: Callable[[JSON], bool]
    expected: str
    read: Callable[[JSON], JSON] = as_it_is


def check_fields(rules: Mapping[str, FieldRule], fields: Mapping[str, JSON]) -> None:
    """Raise a 400 ``ApiError`` that names a field with a wrong value.

    A field without a rule passes; null counts as absent.
    """
    for name, value in fields.items():
        rule = rules.get(name)
        if rule is not None and value is not None and not rule.check(value):
            raise ApiError(400, f'"{name}" must be {rule.expected}.')


def is_text(value: JSON) -> bool:
    return isinstance(value, str)


def is_flag(value: JSON) -> bool:
    return isinstance(value, bool)


def is_whole_number(value: JSON) -> TypeGuard[int]:
    # A Python bool is an int; a JSON boolean is no number.
    return isinstance(value, int) and not isinstance(value, bool)


def is_score(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def is_object(value: JSON) -> bool:
    return isinstance(value, dict)


def is_text_list(value: JSON) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def list_of(check: Callable[[Mapping[str, JSON]], bool]) -> Callable[[JSON], bool]:
    return lambda value: (
        isinstance(value, list) and all(isinstance(item, dict) and check(item) for item in value)
    )


def _read_json(text: str) -> JSON:
    try:
        return parse_json(text)
    except ApiError:
        return text
