"""A store of records of one kind by id: create, replace, patch, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from symbl_aio.server.field_rules import texts_of
from symbl_aio.server.http_json import JSON, ApiError, require_object
from symbl_aio.server.ids import random_id
from symbl_aio.server.language.phrase_index import size_of_phrases
from symbl_aio.server.management.json_patch import Record, apply_json_patch
from symbl_aio.server.storage.changes import RecordDeleted, RecordSaved
from symbl_aio.server.storage.store import Store


class RecordStore:
    """Records of one ``kind``, in order of creation.

    ``check`` returns the fields to store, or raises ApiError. ``key`` returns a value that
    must be unique among the records (None: no such value). ``max_records`` limits their number,
    ``max_size`` the characters of their texts.
    """

    def __init__(
        self,
        kind: str,
        store: Store,
        check: Callable[[Mapping[str, JSON]], Record],
        *,
        key: Callable[[Record], str | None] = lambda record: None,
        max_records: int | None = None,
        max_size: int,
    ) -> None:
        self.kind = kind
        self.by_id: dict[str, Record] = {}
        self._store = store
        self._check = check
        # Checks against the other records hold until the change is stored.
        self._lock = asyncio.Lock()
        self._unique_key = key
        self._max_records = max_records
        self._max_size = max_size

    async def create(self, items: Sequence[JSON]) -> list[Record]:
        """Create all records, or none if one is wrong (400) or exists already (409)."""
        # All are checked before the first is stored.
        checked = [self._check(require_object(item, "What is sent")) for item in items]
        async with self._lock:
            used_keys = {self._unique_key(record) for record in self.by_id.values()} - {None}
            for record in checked:
                key = self._unique_key(record)
                if key in used_keys:
                    raise self._conflict(key)
                used_keys |= {key} - {None}
            if self._max_records is not None and len(self.by_id) + len(checked) > self._max_records:
                raise ApiError(400, f"An account has {self._max_records} {self.kind}s at most.")
            self._check_size(checked)
            created = {new_id: {"id": new_id, **record} for new_id, record in _with_ids(checked)}
            await self._store.commit(*(RecordSaved(self.kind, *item) for item in created.items()))
            self.by_id.update(created)
        return list(created.values())

    def get(self, record_id: str) -> Record:
        """Return the record. Raises a 404 ``ApiError``."""
        if record_id not in self.by_id:
            raise ApiError(404, f"There is no {self.kind} with this id.")
        return self.by_id[record_id]

    async def replace(self, record_id: str, body: Mapping[str, JSON]) -> Record:
        """Replace the fields of a record; the body may repeat its id."""
        async with self._lock:
            return await self._replace(record_id, body)

    async def patch(self, record_id: str, operations: JSON) -> Record:
        """Change a record by a JSON Patch."""
        async with self._lock:
            changed = apply_json_patch(self.get(record_id), operations)
            return await self._replace(record_id, changed)

    async def delete(self, *record_ids: str) -> Record:
        """Delete records and return the documented response body of the last."""
        async with self._lock:
            for record_id in record_ids:
                self.get(record_id)
            await self._store.commit(*(RecordDeleted(self.kind, each) for each in record_ids))
            for record_id in record_ids:
                del self.by_id[record_id]
        return {"id": record_ids[-1], "type": self.kind, "deleted": True}

    async def _replace(self, record_id: str, body: Mapping[str, JSON]) -> Record:
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
        self._check_size([record], without=record_id)
        replaced = {"id": record_id, **record}
        await self._store.commit(RecordSaved(self.kind, record_id, replaced))
        self.by_id[record_id] = replaced
        return replaced

    def _check_size(self, more: Sequence[Record], *, without: str | None = None) -> None:
        kept = (record for record_id, record in self.by_id.items() if record_id != without)
        if sum(map(_size, chain(kept, more))) > self._max_size:
            raise ApiError(
                413,
                f"The texts of every {self.kind} have {self._max_size:,} characters at most.",
            )

    def _conflict(self, key: str | None) -> ApiError:
        return ApiError(409, f'There is a {self.kind} called "{key}" already.')


def _size(record: Record) -> int:
    return size_of_phrases(
        text for value in record.values() for text in (texts_of(value) or (str(value),))
    )


def _with_ids(records: Sequence[Record]) -> list[tuple[str, Record]]:
    return [(random_id(), record) for record in records]
