"""Refuse arguments of a wrong type, before a server is made of them."""

from __future__ import annotations


def check_types(kinds: type | tuple[type, ...], remedy: str, **arguments: object) -> None:
    """Raise ``TypeError`` that names an argument which is of none of ``kinds``, without its value.

    True and False are no numbers here.
    """
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
    for name, value in arguments.items():
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise TypeError(f"{name} is of type {type(value).__name__}; give {remedy}")
