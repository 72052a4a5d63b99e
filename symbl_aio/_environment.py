"""Environment variables of this library: one for each setting of ``Config``.

``SYMBL_`` and the setting's name in capitals: ``SYMBL_BASE_URL`` for ``Config.base_url``,
``SYMBL_LIMITS_JOBS`` for ``Config.limits.jobs``. An empty variable counts as unset. The
table of docs/configuration.md lists them, and a test compares it with this module.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

from attrs import Attribute, AttrsInstance, Factory, fields

from symbl_aio._error_classes import ConfigurationError

T = TypeVar("T")
A = TypeVar("A", bound=AttrsInstance)

PREFIX: Final = "SYMBL_"
_TRUE: Final = frozenset(("1", "true", "yes", "on"))
_FALSE: Final = frozenset(("0", "false", "no", "off"))


def variable(setting: str) -> str:
    """Return the variable of a setting such as ``base_url`` or ``limits.jobs``."""
    return PREFIX + setting.replace(".", "_").upper()


def get(setting: str, kind: str) -> Any:
    """Parse the variable of a setting; ``None`` when it is unset.

    ``kind``: the setting's type, as its annotation spells it. Raises ``ConfigurationError``
    that names the variable, and never shows the value: it may be a secret.
    """
    text = os.environ.get(variable(setting), "").strip()
    if not text:
        return None
    parse, remedy = _parser(kind)
    try:
        return parse(text)
    except ValueError:
        raise ConfigurationError(
            f"{variable(setting)} is not {remedy}; change or unset it"
        ) from None


def default(setting: str, kind: str, otherwise: T) -> T:
    """Return an attrs default: the variable of ``setting``, else ``otherwise``."""

    def read() -> T:
        value = get(setting, kind)
        return otherwise if value is None else value

    return Factory(read)


def group(name: str, cls: type[A]) -> A:
    """Return an attrs default: a ``cls`` with the values of the variables of ``name``'s fields.

    Fields whose variable is unset keep their own defaults. Raises ``ConfigurationError``
    that names the variables instead of the fields.
    """

    def read() -> A:
        values = {}
        for attribute in fields(cls):
            value = get(f"{name}.{attribute.name}", _kind(attribute))
            if value is not None:
                values[attribute.name] = value
        try:
            return cls(**values)
        except ConfigurationError as error:
            message = str(error)
            for field in values:
                message = message.replace(f"{cls.__name__}.{field}", variable(f"{name}.{field}"))
            raise ConfigurationError(message) from None

    return Factory(read)


def label(cls: type[Any], setting: str, value: object) -> str:
    """Return the name of a setting for errors: its variable if the value came from there."""
    if cls.__name__ == "Config" and value is not None:
        kind = next(_kind(a) for a in fields(cls) if a.name == setting)
        text = os.environ.get(variable(setting), "").strip()
        if text:
            try:
                given = get(setting, kind)
            except ConfigurationError:
                given = None
            if given == value or (isinstance(given, str) and origin(given) == value):
                return variable(setting)
    return f"{cls.__name__}.{setting}"


def origin(value: str) -> str:
    """Return an origin in one form, since the tokens of jobs compare it."""
    # Any other type is left for the validators, which name the field.
    if not isinstance(value, str):
        return value
    scheme, mark, host = value.rstrip("/").lower().partition("://")
    return scheme + mark + host.removesuffix(":443" if scheme == "https" else ":80")


def _kind(attribute: Attribute[Any]) -> str:
    # A string under future annotations; attrs.resolve_types() replaces it by the type.
    kind = attribute.type
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _parser(kind: str) -> tuple[Callable[[str], Any], str]:
    return _PARSERS.get(kind.removesuffix(" | None"), (str, ""))


def _flag(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.replace(",", " ").split()))


_PARSERS: Final[dict[str, tuple[Callable[[str], Any], str]]] = {
    "bool": (_flag, "1 or 0"),
    "int": (int, "a whole number, such as 14"),
    "float": (float, "a number, such as 2.5"),
    "tuple[str, ...]": (_words, "a list, with commas between its items"),
}
