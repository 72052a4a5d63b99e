"""Records of one sort, by id: created, replaced, changed by JSON Patch, deleted."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from symbl_aio.server.http_json import JSON, RefusedError

Record: TypeAlias = dict[str, JSON]


class Records:
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
        most: int | None = None,
    ) -> None:
        self.kind = kind
        self.known: dict[str, Record] = {}
        self._check = check
        self._key = key
        self._most = most

    def create(self, sent: Sequence[JSON]) -> list[Record]:
        """Create all of them, or none when one is wrong (400) or exists already (409)."""
        checked = [self._check(_object(one)) for one in sent]
        taken = {self._key(record) for record in self.known.values()} - {None}
        for record in checked:
            key = self._key(record)
            if key in taken:
                raise self._exists(key)
            taken |= {key} - {None}
        if self._most is not None and len(self.known) + len(checked) > self._most:
            raise RefusedError(400, f"An account has {self._most} {self.kind}s at most.")
        made = [{"id": _new_id(), **record} for record in checked]
        self.known.update((str(record["id"]), record) for record in made)
        return made

    def get(self, identity: str) -> Record:
        """The record; 404 when there is none."""
        if identity not in self.known:
            raise RefusedError(404, f"There is no {self.kind} with this id.")
        return self.known[identity]

    def replace(self, identity: str, sent: Mapping[str, JSON]) -> Record:
        """Put what was sent in the place of the record, whose id it may repeat."""
        self.get(identity)
        if sent.get("id", identity) != identity:
            raise RefusedError(400, '"id" must be the id in the path.')
        record = self._check(sent)
        key = self._key(record)
        if key is not None and any(
            key == self._key(other) for other in self.known.values() if other["id"] != identity
        ):
            raise self._exists(key)
        self.known[identity] = {"id": identity, **record}
        return self.known[identity]

    def patch(self, identity: str, operations: JSON) -> Record:
        """Change the record by a JSON Patch."""
        changed = patched(self.get(identity), operations)
        return self.replace(identity, changed)

    def delete(self, identity: str) -> Record:
        """Delete it; what this gives is the documented answer."""
        self.get(identity)
        del self.known[identity]
        return {"id": identity, "type": self.kind, "deleted": True}

    def _exists(self, key: str | None) -> RefusedError:
        return RefusedError(409, f'There is a {self.kind} called "{key}" already.')


def patched(document: Record, operations: JSON, *, grow: bool = False) -> Record:
    """Apply a JSON Patch (RFC 6902: add, replace, remove) to a copy of ``document``.

    ``grow``: what is on the way to a value, and what is to be replaced, need not be there.
    """
    if not isinstance(operations, list):
        raise RefusedError(400, "The body must be a list of operations: JSON Patch.")
    changed = copy.deepcopy(document)
    for operation in operations:
        fields = _object(operation)
        op, path = fields.get("op"), fields.get("path")
        if op not in ("add", "replace", "remove"):
            raise RefusedError(400, '"op" must be add, replace or remove.')
        if not isinstance(path, str) or not path.startswith("/"):
            raise RefusedError(400, '"path" is required and must start with a slash.')
        if op != "remove" and "value" not in fields:
            raise RefusedError(400, f'"value" is required to {op} {path}.')
        steps = [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]
        _apply(_reach(changed, steps[:-1], path, grow=grow), steps[-1], op, fields, grow=grow)
    return changed


def _reach(document: Record, steps: Iterable[str], path: str, *, grow: bool) -> JSON:
    place: JSON = document
    for step in steps:
        if not isinstance(place, dict) or (step not in place and not grow):
            raise _nowhere(path)
        place = place.setdefault(step, {})
    return place


def _apply(place: JSON, last: str, op: JSON, fields: Mapping[str, JSON], *, grow: bool) -> None:
    value = fields.get("value")
    if isinstance(place, dict):
        if op == "remove" and last in place:
            del place[last]
        elif op == "add" or (op == "replace" and (grow or last in place)):
            place[last] = value
        else:
            raise _nowhere(fields["path"])
    elif isinstance(place, list):
        end = last == "-" and op == "add"
        index = len(place) if end else int(last) if last.isdecimal() else -1
        if not 0 <= index < len(place) + (op == "add"):
            raise _nowhere(fields["path"])
        place[index : index + (op != "add")] = [] if op == "remove" else [value]
    else:
        raise _nowhere(fields["path"])


def _nowhere(path: JSON) -> RefusedError:
    return RefusedError(400, f'"path" leads nowhere: {path}.')


def _object(value: JSON) -> Mapping[str, JSON]:
    if not isinstance(value, dict):
        raise RefusedError(400, "What is sent must be a JSON object.")
    return value


def _new_id() -> str:
    return str(10**15 + secrets.randbelow(9 * 10**15))
