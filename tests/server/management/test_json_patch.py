from __future__ import annotations

from typing import Any

import pytest

from symbl_aio.server.http_json import ApiError
from symbl_aio.server.management.json_patch import apply_json_patch
from tests.tables import table

DOCUMENT: Any = {"name": "A", "terms": ["x", "y"], "in": {"a/b": 1}}


@table(
    "operation,changed",
    [
        ({"op": "replace", "path": "/name", "value": "B"}, {"name": "B"}),
        ({"op": "add", "path": "/note", "value": None}, {"note": None}),
        ({"op": "add", "path": "/terms", "value": ["z"]}, {"terms": ["z"]}),
        ({"op": "add", "path": "/terms/-", "value": "z"}, {"terms": ["x", "y", "z"]}),
        ({"op": "add", "path": "/terms/0", "value": "z"}, {"terms": ["z", "x", "y"]}),
        ({"op": "replace", "path": "/terms/1", "value": "z"}, {"terms": ["x", "z"]}),
        ({"op": "remove", "path": "/terms/0"}, {"terms": ["y"]}),
        ({"op": "replace", "path": "/in/a~1b", "value": 2}, {"in": {"a/b": 2}}),
    ],
)
def test_a_patch_changes_a_copy(operation: Any, changed: Any) -> None:
    assert apply_json_patch(DOCUMENT, [operation]) == DOCUMENT | changed
    assert DOCUMENT == {"name": "A", "terms": ["x", "y"], "in": {"a/b": 1}}


def test_remove_deletes_a_value() -> None:
    assert "name" not in apply_json_patch(DOCUMENT, [{"op": "remove", "path": "/name"}])


@table(
    "operations",
    [
        {},
        ["add"],
        [{"op": "move", "path": "/name", "value": 1}],
        [{"op": "add", "path": "name", "value": 1}],
        [{"op": "add", "path": "/name"}],
        [{"op": "replace", "path": "/other", "value": 1}],
        [{"op": "remove", "path": "/other"}],
        [{"op": "add", "path": "/other/deep", "value": 1}],
        [{"op": "add", "path": "/name/deep", "value": 1}],
        [{"op": "replace", "path": "/terms/2", "value": "z"}],
        [{"op": "replace", "path": "/terms/-", "value": "z"}],
        [{"op": "add", "path": "/terms/3", "value": "z"}],
        [{"op": "remove", "path": "/terms/x"}],
    ],
)
def test_an_invalid_patch_is_refused(operations: Any) -> None:
    with pytest.raises(ApiError) as refusal:
        apply_json_patch(DOCUMENT, operations)
    assert refusal.value.status == 400


def test_missing_parents_are_created_on_request() -> None:
    operation: Any = {"op": "replace", "path": "/in/deep/er", "value": 1}

    assert apply_json_patch(DOCUMENT, [operation], create_missing=True)["in"] == {
        "a/b": 1,
        "deep": {"er": 1},
    }
