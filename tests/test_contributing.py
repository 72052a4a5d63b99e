"""The page of promises names its tests; each of them must exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.tables import table

ROOT = Path(__file__).parents[1]
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "CONTRIBUTING.md").read_text())


@table("path,name", sorted(set(NAMED)))
def test_what_holds_a_promise_exists(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    tests = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    assert not name or name in tests


@table("place", ["Makefile", ".ci/run", ".ci/slow"])
def test_the_tests_that_are_run_by_name_exist(place: str) -> None:
    for path in re.findall(r"tests/[\w/.]+", (ROOT / place).read_text()):
        assert (ROOT / path).exists(), path


def test_there_are_promises_to_hold() -> None:
    assert len(NAMED) > 20
