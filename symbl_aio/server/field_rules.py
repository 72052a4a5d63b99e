"""Rules for the fields of a request: a reader, a check, and how a refusal describes the value.

A reader turns the spellings that other clients send into the documented one; the check sees
only that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeGuard

from attrs import frozen

from symbl_aio.server.http_json import JSON, ApiError, parse_bool, parse_json

MAX_NAME = 500  # characters; names of files have 255


def as_it_is(value: JSON) -> JSON:
    return value


def read_flag(value: JSON) -> JSON:
    """Read ``"true"`` and ``"false"`` in any case as booleans."""
    flag = parse_bool(value) if isinstance(value, str) else None
    return value if flag is None else flag


def read_number(value: JSON) -> JSON:
    """Read the digits of a text as a number, and ``60.0`` as the whole number that it is."""
    number = _read_json(value) if isinstance(value, str) else value
    if isinstance(number, float) and number.is_integer() and abs(number) < 2**53:
        return int(number)
    return number if isinstance(number, int | float) else value


def read_lower_case(value: JSON) -> JSON:
    return value.lower() if isinstance(value, str) else value


def texts_of(value: JSON) -> tuple[str, ...]:
    """Return the items of a list as texts; another value has none."""
    return tuple(map(str, value)) if isinstance(value, list) else ()


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


def read_fields(
    rules: Mapping[str, FieldRule], fields: Mapping[str, JSON], *, subject: str = '"{}"'
) -> dict[str, JSON]:
    """Return the fields as the API documents them; null and "" count as absent.

    A field without a rule passes. A 400 ``ApiError`` names the ``subject`` with a wrong value.
    """
    found: dict[str, JSON] = {}
    for name, value in fields.items():
        rule = rules.get(name)
        if rule is None:
            found[name] = value
            continue
        known = rule.read(value)
        if known is None or known == "":
            continue
        if not rule.check(known):
            raise ApiError(400, f"{subject.format(name)} must be {rule.expected}.")
        found[name] = known
    return found


def is_text(value: JSON) -> bool:
    return isinstance(value, str)


def is_name(value: JSON) -> bool:
    """Return whether a value is text of the length of a name, or null.

    Answers repeat the name of a speaker with each message, and of a conversation in each list.
    """
    return value is None or (isinstance(value, str) and len(value) <= MAX_NAME)


def is_flag(value: JSON) -> bool:
    return isinstance(value, bool)


FLAG = FieldRule(is_flag, "true or false", read_flag)


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
