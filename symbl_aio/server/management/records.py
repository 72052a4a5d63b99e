"""A store of records of one kind by id: create, replace, patch, delete."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from symbl_aio.server.http_json import JSON, ApiError, require_object
from symbl_aio.server.ids import random_id
from symbl_aio.server.management.json_patch import Record, apply_json_patch


class RecordStore:
    """Records of one ``kind``, in order of creation.

    ``check`` returns the fields to store, or raises ApiError. ``key`` returns a value that
    must be unique among the records (None: no such value). ``max_records`` limits their number.
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
        """Create all records, or none if one is wrong (400) or exists already (409)."""
        # All are checked before the first is stored.
        checked = [self._check(require_object(item, "What is sent")) for item in items]
        used_keys = {self._unique_key(record) for record in self.by_id.values()} - {None}
        for record in checked:
            key = self._unique_key(record)
            if key in used_keys:
                raise self._conflict(key)
            used_keys |= {key} - {None}
        if self._max_records is not None and len(self.by_id) + len(checked) > self._max_records:
            raise ApiError(400, f"An account has {self._max_records} {self.kind}s at most.")
        created = [{"id": random_id(), **record} for record in checked]
        self.by_id.update((str(record["id"]), record) for record in created)
        return created

    def get(self, record_id: str) -> Record:
        """Return the record. Raises a 404 ``ApiError``."""
        if record_id not in self.by_id:
            raise ApiError(404, f"There is no {self.kind} with this id.")
        return self.by_id[record_id]

    def replace(self, record_id: str, body: Mapping[str, JSON]) -> Record:
        """Replace the fields of a record; the body may repeat its id."""
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
        """Change a record by a JSON Patch."""
        changed = apply_json_patch(self.get(record_id), operations)
        return self.replace(record_id, changed)

    def delete(self, record_id: str) -> Record:
        """Delete a record and return the documented response body."""
        self.get(record_id)
        del self.by_id[record_id]
        return {"id": record_id, "type": self.kind, "deleted": True}

    def _conflict(self, key: str | None) -> ApiError:
        return ApiError(409, f'There is a {self.kind} called "{key}" already.')
