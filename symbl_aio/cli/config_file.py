"""The configuration file of the command line: profiles, whose values become variables.

``~/.config/symbl-aio/config.toml``::

    profile = "local"            # without --profile

    [profiles.local]
    base_url = "http://127.0.0.1:8080"
    app_id = "app"
    app_secret = "…"
    limits.jobs = 5

A variable of the environment wins over the file, and ``--profile`` wins over the environment.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import fields, frozen

from symbl_aio import Config, ConfigurationError, Lanes, Limits, Polls, Retries, Timeouts

_GROUPS: Final = {
    "lanes": Lanes,
    "limits": Limits,
    "polls": Polls,
    "retries": Retries,
    "timeouts": Timeouts,
}
_CREDENTIALS: Final = ("app_id", "app_secret", "access_token")
_OUTBOX: Final = {"database": "SYMBL_AIO_DATABASE"}


@frozen
class Loaded:
    """The values of the file that apply."""

    path: Path
    """The path of the file, whether it exists or not."""
    profile: str | None = None
    """The profile, if one was chosen."""
    variables: Mapping[str, str] = {}
    """Each variable with its value, those of the environment left out."""


def load(path: Path, profile: str | None) -> Loaded:
    """Read the values that apply: of a profile over those at the top of the file. Blocks.

    ``profile``: that of ``--profile``; ``None`` means ``SYMBL_AIO_PROFILE``, else the one that
    the file names. Raises ``ConfigurationError`` that names the wrong key, and never a value.
    """
    asked = profile or os.environ.get("SYMBL_AIO_PROFILE")
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except (FileNotFoundError, NotADirectoryError):
        if asked:
            raise ConfigurationError(
                f"there is no profile {asked!r}: the file {path} does not exist"
            ) from None
        return Loaded(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:  # of TOML, or of its encoding
        raise ConfigurationError(f"{path} is not TOML ({error})") from None
    profiles = content.pop("profiles", {})
    named = content.pop("profile", None)
    if named is not None and not isinstance(named, str):
        raise ConfigurationError(f"{path}: profile is no text; give the name of one")
    chosen = asked or named
    values = dict(_variables(path, "", content))
    if chosen is not None:
        if not isinstance(profiles, dict) or not isinstance(profiles.get(chosen), dict):
            known = ", ".join(profiles) if isinstance(profiles, dict) and profiles else "none"
            raise ConfigurationError(f"{path} has no profile {chosen!r}; it has {known}")
        values |= _variables(path, f"profiles.{chosen}.", profiles[chosen])
    if profile is None:
        values = {name: value for name, value in values.items() if not os.environ.get(name)}
        if any(os.environ.get(f"SYMBL_{name.upper()}") for name in _CREDENTIALS):
            # Half of one application's credentials and half of another's fit nowhere.
            values = {name: value for name, value in values.items() if name not in _SECRETS}
    return Loaded(path, chosen, values)


_SECRETS: Final = frozenset(f"SYMBL_{name.upper()}" for name in _CREDENTIALS)


def apply(loaded: Loaded) -> dict[str, str | None]:
    """Set the variables; return the values that they had, for ``restore``."""
    before: dict[str, str | None] = {name: os.environ.get(name) for name in loaded.variables}
    os.environ.update(loaded.variables)
    return before


def restore(before: Mapping[str, str | None]) -> None:
    """Set variables to the values that they had."""
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def settings() -> Iterator[str]:
    """Yield the settings that a file may have, such as ``base_url`` and ``limits.jobs``."""
    yield from _CREDENTIALS
    yield from _OUTBOX
    for setting in fields(Config):
        if setting.name in _GROUPS:
            for member in fields(_GROUPS[setting.name]):
                yield f"{setting.name}.{member.name}"
        else:
            yield setting.name


def variable(setting: str) -> str:
    """Return the variable of a setting."""
    return _OUTBOX.get(setting) or f"SYMBL_{setting.replace('.', '_').upper()}"


def _variables(
    path: Path, where: str, values: Mapping[str, Any], group: str = ""
) -> Iterator[tuple[str, str]]:
    known = frozenset(settings())
    for name, value in values.items():
        setting = group + name
        if isinstance(value, dict) and not group:
            yield from _variables(path, where, value, f"{name}.")
        elif setting not in known:
            raise ConfigurationError(f"{path} has {where}{setting}, which is no setting")
        else:
            yield variable(setting), _text(path, where + setting, value)


def _text(path: Path, where: str, value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str | int | float):
        if "\0" in (text := str(value)):  # which no variable can have
            raise ConfigurationError(f"{path}: {where} has a NUL character; remove it")
        return text
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return _text(path, where, ",".join(value))
    raise ConfigurationError(f"{path}: {where} is neither a text, a number nor a list of texts")
