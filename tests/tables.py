"""Tables of cases that are one test: its failure lists all rows that do not hold."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import update_wrapper
from typing import Any

import pytest


def table(
    names: str, rows: Iterable[Any], *, ids: object = None
) -> Callable[[Callable[..., object]], Callable[..., None]]:
    """Make one test of many rows: a ``parametrize`` for checks that share their fixtures.

    All rows are checked, and the test fails with a list of those that do not hold. An item of
    pytest for each would cost more than most of these checks, in every process that collects
    it. ``ids`` are those of ``parametrize``, and not used.
    """
    keys = [name.strip() for name in names.split(",")]
    cases = [_case(row, len(keys)) for row in rows]
    assert cases, "a table without rows checks nothing"

    def decorate(check: Callable[..., object]) -> Callable[..., None]:
        assert not inspect.iscoroutinefunction(check), "nothing would await it"

        def test(**fixtures: Any) -> None:
            broken = []
            for case in cases:
                try:
                    check(**dict(zip(keys, case, strict=True)), **fixtures)
                # The second is not an Exception: pytest.raises fails with it.
                except (Exception, pytest.fail.Exception) as error:
                    broken.append(f"{case}: {type(error).__name__}: {error}")
            assert not broken, f"{len(broken)} of {len(cases)} rows:\n" + "\n".join(broken)

        signature = inspect.signature(check)
        left = [kind for name, kind in signature.parameters.items() if name not in keys]
        update_wrapper(test, check)
        del test.__wrapped__  # type: ignore[attr-defined]  # pytest would read its arguments
        test.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return test

    return decorate


def _case(row: Any, width: int) -> Sequence[Any]:
    given = getattr(row, "values", None)
    if isinstance(given, tuple):  # of pytest.param
        return given
    return (row,) if width == 1 else tuple(row)
