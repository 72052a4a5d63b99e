"""Records of one sort, by id: created, replaced, changed by JSON Patch, deleted."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from symbl_aio.server.http_json import JSON, ApiError

Record: TypeAlias = dict[str, JSON]


class RecordStore:
    """Records of one ``kind``, in order of creation.

    ``check`` gives the fields to keep of what was sent, or refuses it. ``key`` gives what
    no two records may share (None: nothing). ``most``: no more than so many.
    """

    def __init__(
        self,
        kind: str,
        check: Callable[[Mapping[str, JSON]], Record],
        *,
        key: Callable[[Record], str | None] = lambda record: None,
        max_records: int | None = None,
    ) -> None:
        self.kind = kind
        self.by_id: dict[str, Record] = {}
        self._check = check
        self._unique_key = key
        self._max_records = max_records

    def create(self, items: Sequence[JSON]) -> list[Record]:
        """Create all of them, or none when one is wrong (400) or exists already (409)."""
        checked = [self._check(_require_object(item)) for item in items]
        used_keys = {self._unique_key(record) for record in self.by_id.values()} - {None}
        for record in checked:
            key = self._unique_key(record)
            if key in used_keys:
                raise self._conflict(key)
            used_keys |= {key} - {None}
        if self._max_records is not None and len(self.by_id) + len(checked) > self._max_records:
            raise ApiError(400, f"An account has {self._max_records} {self.kind}s at most.")
        created = [{"id": _new_id(), **record} for record in checked]
        self.by_id.update((str(record["id"]), record) for record in created)
        return created

    def get(self, record_id: str) -> Record:
        """The record; 404 when there is none."""
        if record_id not in self.by_id:
            raise ApiError(404, f"There is no {self.kind} with this id.")
        return self.by_id[record_id]

    def replace(self, record_id: str, body: Mapping[str, JSON]) -> Record:
        """Put what was sent in the place of the record, whose id it may repeat."""
        self.get(record_id)
        if body.get("id", record_id) != record_id:
            raise ApiError(400, '"id" must be the id in the path.')
        record = self._check(body)
        key = self._unique_key(record)
        if key is not None and any(
            key == self._unique_key(other)
            for other in self.by_id.values()
            if other["id"] != record_id
        ):
            raise self._conflict(key)
        self.by_id[record_id] = {"id": record_id, **record}
        return self.by_id[record_id]

    def patch(self, record_id: str, operations: JSON) -> Record:
        """Change the record by a JSON Patch."""
        changed = apply_json_patch(self.get(record_id), operations)
        return self.replace(record_id, changed)

    def delete(self, record_id: str) -> Record:
        """Delete it; what this gives is the documented answer."""
        self.get(record_id)
        del self.by_id[record_id]
        return {"id": record_id, "type": self.kind, "deleted": True}

    def _conflict(self, key: str | None) -> ApiError:
        return ApiError(409, f'There is a {self.kind} called "{key}" already.')


def apply_json_patch(document: Record, operations: JSON, *, create_missing: bool = False) -> Record:
    """Apply a JSON Patch (RFC 6902: add, replace, remove) to a copy of ``document``.

    ``grow``: what is on the way to a value, and what is to be replaced, need not be there.
    """
    if not isinstance(operations, list):
        raise ApiError(400, "The body must be a list of operations: JSON Patch.")
    changed = copy.deepcopy(document)
    for operation in operations:
        fields = _require_object(operation)
        op, path = fields.get("op"), fields.get("path")
        if op not in ("add", "replace", "remove"):
            raise ApiError(400, '"op" must be add, replace or remove.')
        if not isinstance(path, str) or not path.startswith("/"):
            raise ApiError(400, '"path" is required and must start with a slash.')
        if op != "remove" and "value" not in fields:
            raise ApiError(400, f'"value" is required to {op} {path}.')
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


def _require_object(value: JSON) -> Mapping[str, JSON]:
    if not isinstance(value, dict):
        raise ApiError(400, "What is sent must be a JSON object.")
    return value


def _new_id() -> str:
    return str(10**15 + secrets.randbelow(9 * 10**15))
