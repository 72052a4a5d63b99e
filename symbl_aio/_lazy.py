"""Public names of a package, each imported from its module on first use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def export_on_first_use(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Return a package's ``__getattr__``, ``__dir__`` and ``__all__``.

    ``homes``: each module of the package with the names it exports, as one text. The modules
    themselves are found as well, as if the package had imported them. ``dir()`` returns all
    of ``__all__``, imported or not.
    """
    home_of = {name: home for home, names in homes.items() for name in names.split()}
    exported = vars(sys.modules[package])

    def find(name: str) -> object:
        if name in homes:
            return import_module(f"{package}.{name}")
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        # Kept in the package's namespace, so that ``__getattr__`` runs once for each name.
        value = exported[name] = getattr(import_module(f"{package}.{home_of[name]}"), name)
        return value

    names = sorted(home_of)
    return find, lambda: names, names
