"""JSON Patch (RFC 6902): add, replace and remove."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from symbl_aio.server.http_json import JSON, ApiError, require_object

Record: TypeAlias = dict[str, JSON]


def apply_json_patch(document: Record, operations: JSON, *, create_missing: bool = False) -> Record:
    """Apply a JSON Patch to a copy of ``document`` and return it. Raises a 400 ``ApiError``.

    ``create_missing``: missing parents are created, and ``replace`` may add a value.
    """
    if not isinstance(operations, list):
        raise ApiError(400, "The body must be a list of operations: JSON Patch.")
    # A failed operation must leave the stored record unchanged.
    changed = copy.deepcopy(document)
    for operation in operations:
        fields = require_object(operation, "What is sent")
        op, path = fields.get("op"), fields.get("path")
        if op not in ("add", "replace", "remove"):
            raise ApiError(400, '"op" must be add, replace or remove.')
        if not isinstance(path, str) or not path.startswith("/"):
            raise ApiError(400, '"path" is required and must start with a slash.')
        if op != "remove" and "value" not in fields:
            raise ApiError(400, f'"value" is required to {op} {path}.')
        # ~1 first: "~01" means "~1", not "/".
        steps = [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]
        _apply_operation(
            _resolve_parent(changed, steps[:-1], path, create_missing=create_missing),
            steps[-1],
            op,
            fields,
            create_missing=create_missing,
        )
    return changed


def _resolve_parent(
    document: Record, steps: Iterable[str], path: str, *, create_missing: bool
) -> JSON:
    target: JSON = document
    for step in steps:
        if not isinstance(target, dict) or (step not in target and not create_missing):
            raise _bad_path(path)
        target = target.setdefault(step, {})
    return target


def _apply_operation(
    target: JSON, last: str, op: JSON, fields: Mapping[str, JSON], *, create_missing: bool
) -> None:
    value = fields.get("value")
    if isinstance(target, dict):
        if op == "remove" and last in target:
            del target[last]
        elif op == "add" or (op == "replace" and (create_missing or last in target)):
            target[last] = value
        else:
            raise _bad_path(fields["path"])
    elif isinstance(target, list):
        end = last == "-" and op == "add"
        index = len(target) if end else int(last) if last.isdecimal() else -1
        if not 0 <= index < len(target) + (op == "add"):
            raise _bad_path(fields["path"])
        target[index : index + (op != "add")] = [] if op == "remove" else [value]
    else:
        raise _bad_path(fields["path"])


def _bad_path(path: JSON) -> ApiError:
    return ApiError(400, f'"path" leads nowhere: {path}.')
