"""Names of a package that are imported when they are first used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def export_on_first_use(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Give a package its ``__getattr__`` and its ``__dir__``.

    ``homes``: the names that each of its modules has, as one text. The modules themselves
    are found, too, as if the package had imported them. ``dir()`` tells all of ``__all__``,
    imported or not.
    """
    home_of = {name: home for home, names in homes.items() for name in names.split()}
    exported = vars(sys.modules[package])

    def find(name: str) -> object:
        if name in homes:
            return import_module(f"{package}.{name}")
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = exported[name] = getattr(import_module(f"{package}.{home_of[name]}"), name)
        return value

    return find, lambda: exported["__all__"]
