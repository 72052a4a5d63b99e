"""Check and copy what a caller gives as a field of an option or a draft.

Every refusal is a ``ConfigurationError`` that names the field and the remedy.
"""

# Annotations are evaluated here: attrs copies those of a converter into the constructors of
# other modules, which would have to import what a text names.

import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard, TypeVar
from urllib.parse import urlsplit

from attrs import Attribute
from attrs.validators import optional

from symbl_aio.errors import ConfigurationError

T = TypeVar("T")


def type_name(value: object) -> str:
    """Name the type of a value with its article: "an int", "a list", "None"."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def check(test: Callable[[Any], bool], remedy: str, *, secret: bool = False) -> Any:
    """Make a validator that names the field and the remedy; a secret value is not shown."""

    def validate(instance: object, attribute: "Attribute[Any]", value: object) -> None:
        if not test(value):
            shown = "not usable" if secret else reprlib.repr(value)
            raise ConfigurationError(
                f"{type(instance).__name__}.{attribute.name} is {shown}; give {remedy}"
            )

    return validate


def is_text(value: object) -> bool:
    # Half of a surrogate pair is a legal str and has no UTF-8.
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)


def is_control(character: str) -> bool:
    """Return whether a character steers a terminal or breaks a line: C0, DEL, C1, U+2028, U+2029.

    The one rule for keys, names and what is shown. Not ``str.isprintable``, which refuses the
    no-break spaces of macOS, the joiners of Persian and Hindi, and emoji that are joined.
    """
    return character < " " or "\x7f" <= character <= "\x9f" or character in "\u2028\u2029"


def is_word(value: object) -> TypeGuard[str]:
    return (
        isinstance(value, str)
        and is_text(value)
        and bool(value.strip())
        and not any(map(is_control, value))
    )


def is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def is_web_url(value: object) -> bool:
    if value == "":
        return True
    if not isinstance(value, str) or " " in value or not value.isprintable():
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def all_words(value: object) -> bool:
    return isinstance(value, tuple) and all(map(is_word, value))


def is_a(kind: type, remedy: str) -> Any:
    return check(lambda value: isinstance(value, kind), remedy)


def list_of(remedy: str, *kinds: type) -> Any:
    def test(value: object) -> bool:
        return isinstance(value, tuple) and all(isinstance(item, kinds) for item in value)

    return optional(check(test, f"a list of {remedy}"))


a_text = check(is_text, "a string that UTF-8 can encode")
a_word = check(is_word, "a non-empty string without control characters or line breaks")
words = check(all_words, "a list of non-empty strings")
a_flag = optional(is_a(bool, "True or False"))


def as_tuple(value: Iterable[T] | None) -> tuple[T, ...] | None:
    # What is no list of items is left for the validator, which knows the field's name.
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return value  # type: ignore[return-value]
    return tuple(value)


def strings(value: Iterable[str] | None) -> tuple[str, ...] | None:
    return as_tuple(value)


def required_strings(value: Iterable[str]) -> tuple[str, ...]:
    return as_tuple(value)  # type: ignore[return-value]
