"""Type checks of constructor arguments, for callers without a type checker."""

from __future__ import annotations


def check_types(kinds: type | tuple[type, ...], remedy: str, **arguments: object) -> None:
    """Raise ``TypeError`` for an argument that is of none of ``kinds``; its value is not shown.

    True and False do not pass as numbers.
    """
    allowed = kinds if isinstance(kinds, tuple) else (kinds,)
    for name, value in arguments.items():
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise TypeError(f"{name} is of type {type(value).__name__}; give {remedy}")
