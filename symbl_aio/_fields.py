"""Validators and converters for arguments, and for the fields of options, drafts and settings.

Every failure is a ``ConfigurationError`` that names the field and the remedy.
"""

# Annotations are evaluated here: attrs copies those of a converter into the constructors of
# other modules, where the names of a string would not be found.

import ipaddress
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeGuard, TypeVar
from urllib.parse import urlsplit

from attrs import Attribute
from attrs.validators import optional

from symbl_aio import _environment
from symbl_aio._error_classes import ConfigurationError

T = TypeVar("T")


def type_name(value: object) -> str:
    """Return the type's name with its article: "an int", "a list", "None"."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def misuse(message: str) -> ConfigurationError:
    """Return the error for a mistake of the program, which no other value avoids."""
    error = ConfigurationError(message)
    error.is_misuse = True
    return error


def check(test: Callable[[Any], bool], remedy: str, *, secret: bool = False) -> Any:
    """Return a validator that names the field and the remedy; a secret value is not shown."""

    def validate(instance: object, attribute: "Attribute[Any]", value: object) -> None:
        if not test(value):
            shown = reprlib.repr(value)
            if secret:
                shown = "not usable" if isinstance(value, str) else type_name(value)
            raise ConfigurationError(
                f"{type(instance).__name__}.{attribute.name} is {shown}; give {remedy}"
            )

    return validate


CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""A character that controls a terminal or breaks a line: C0, DEL, C1, U+2028, U+2029.

The one rule for keys, names and displayed texts. Not ``str.isprintable``, which refuses the
no-break spaces of macOS, the joiners of Persian and Hindi, and emoji that are joined.
"""
NO_UTF_8: Final = re.compile(r"[\ud800-\udfff]")
"""Half of a surrogate pair, which is a legal str and has no UTF-8."""


def is_text(value: object) -> bool:
    return isinstance(value, str) and NO_UTF_8.search(value) is None


def is_word(value: object) -> TypeGuard[str]:
    return (
        isinstance(value, str)
        and bool(value.strip())
        and CONTROLS.search(value) is None
        and NO_UTF_8.search(value) is None
    )


def is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def require(name: str, value: T, kind: type | tuple[type, ...], remedy: str) -> T:
    """Return an argument if it is of a type. Raises ``ConfigurationError``."""
    if not isinstance(value, kind):
        raise ConfigurationError(f"{name} is {type_name(value)}; give {remedy}")
    return value


def require_flag(name: str, value: object) -> None:
    require(name, value, bool, "True or False")


def require_word(name: str, value: object) -> None:
    """Raise unless a value is a text of one line, without showing it: it may be a secret."""
    require(name, value, str, "a string")
    if not is_word(value):
        raise ConfigurationError(
            f"{name} is empty, or holds a control character, a line break or what UTF-8 cannot "
            "encode; give a string of one line"
        )


def require_url(name: str, value: object) -> None:
    """Raise unless a value is an http(s) URL, without showing it: it may be signed."""
    require(name, value, str, "an http(s) URL")
    if not value or not is_web_url(value):
        raise ConfigurationError(f"{name} is not an http(s) URL; give one")


def require_number(name: str, value: object, remedy: str, *, least: float = 0) -> None:
    """Raise unless a value is a number of at least ``least``; ``remedy`` completes the message."""
    if not is_number(value):
        raise ConfigurationError(f"{name} is {type_name(value)}; give {remedy}")
    if not value >= least:  # nor is NaN
        raise ConfigurationError(f"{name} is {value!r}; give {remedy}")


def require_count(name: str, value: object) -> None:
    require(name, value, int, "an int of 1 or more")
    require_number(name, value, "an int of 1 or more", least=1)


def require_seconds(name: str, value: object, *, or_none: bool = False) -> None:
    """Raise unless a value is a number of seconds. Below 0 is as 0, as everywhere in asyncio."""
    if value is None and or_none:
        return
    remedy = "seconds, or None for no limit" if or_none else "a number of seconds"
    require_number(name, value, remedy, least=float("-inf"))


def require_all(
    name: str, values: Iterable[T], kind: type, remedy: str, *, least: int = 1
) -> tuple[T, ...]:
    """Return the items of an argument, ``least`` or more and all of a type.

    ``remedy`` is in the plural, such as "Patch(...) values". Raises ``ConfigurationError``.
    """
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise ConfigurationError(f"{name} is {type_name(values)}; give a list of {remedy}")
    listed = tuple(values)
    for index, value in enumerate(listed):
        require(f"{name}[{index}]", value, kind, remedy)
    if len(listed) < least:
        raise ConfigurationError(f"{name} is empty; give {remedy}, one at least")
    return listed


def text_of(value: str) -> str:
    """Return the characters of a text, also of a member of ``class Language(str, Enum)``."""
    return str.__str__(value)  # its own ``str`` and f-strings have the member's name


def is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_share(value: object) -> bool:
    return is_number(value) and 0 <= value <= 1


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
    # Anything but a list is left for the validator, which knows the field's name.
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return value  # type: ignore[return-value]
    return tuple(value)


def strings(value: Iterable[str] | None) -> tuple[str, ...] | None:
    return as_tuple(value)


def required_strings(value: Iterable[str]) -> tuple[str, ...]:
    return as_tuple(value)  # type: ignore[return-value]


# The validators of settings name the environment variable that the value came from, if any.


def _setting_name(instance: object, attribute: "Attribute[Any]", value: object) -> str:
    return _environment.label(type(instance), attribute.name, value)


def positive_setting(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    if value is None and attribute.default is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ConfigurationError(
            f"{_setting_name(instance, attribute, value)} is {value!r}; give a number above 0"
        )


def count_setting(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    if value is None and attribute.default is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(
            f"{_setting_name(instance, attribute, value)} is {value!r}; give a whole number above 0"
        )


def setting_of(kind: type) -> Any:
    def check(instance: object, attribute: "Attribute[Any]", value: object) -> None:
        if not isinstance(value, kind):
            raise ConfigurationError(
                f"{type(instance).__name__}.{attribute.name} is {type_name(value)}; "
                f"give {kind.__name__}(...)"
            )

    return check


def require_visible_ascii(name: str, value: object) -> None:
    """Raise ``ConfigurationError`` for what is no header's value: a line break starts another."""
    if not isinstance(value, str) or not value or not all("!" <= c <= "~" for c in value):
        raise ConfigurationError(
            f"{name} is not a non-empty string without spaces, line breaks and non-ASCII letters; "
            "give the token as it was issued"
        )


def networks_setting(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    name = _setting_name(instance, attribute, value)
    remedy = "give a list of networks, such as ['192.0.2.0/24', '2001:db8::1']"
    if not isinstance(value, tuple):
        raise ConfigurationError(f"{name} is {type_name(value)}; {remedy}")
    for network in value:
        try:
            if not isinstance(network, str):
                raise ValueError(f"{network!r} is not a string")
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ConfigurationError(f"{name}: {error}; {remedy}") from None
