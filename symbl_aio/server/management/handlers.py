"""Handlers of the Management API. API section 7.

Two generations of paths are served beside each other. They meet in one place: a POST to
``/manage/trackers`` carries a list in the documentation of 2022, and one tracker in the newer one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from symbl_aio.server.conversations.list_query import list_response, parse_filter
from symbl_aio.server.conversations.registry import Conversations
from symbl_aio.server.field_rules import texts_of
from symbl_aio.server.http_json import (
    JSON,
    ApiError,
    check_depth,
    json_response,
    query_text,
    require_object,
)
from symbl_aio.server.language.analysis_values import CustomEntity, Tracker
from symbl_aio.server.management import validation
from symbl_aio.server.management.json_patch import Record, apply_json_patch
from symbl_aio.server.management.records import RecordStore
from symbl_aio.server.option_support import MANAGEMENT, UnknownOptions
from symbl_aio.server.request_body import read_json
from symbl_aio.server.server_limits import LIMITS
from symbl_aio.server.storage.changes import RecordSaved
from symbl_aio.server.storage.store import Store, StoredState

_MAX_TRACKERS = 500
# Characters of all records of a kind: of 500 trackers with 50 terms, and of 10,000 entities.
_MAX_TRACKERS_SIZE = 768 * 1024
_MAX_OTHERS_SIZE = 256 * 1024
# The kind, and the id, of the one record of settings.
_SETTINGS = "settings"

_Handler = Callable[[web.Request], Awaitable[web.Response]]


class ManagementHandlers:
    """Handles the calls below ``/v1/manage`` and stores the records that submissions refer to.

    As documented, one writing call runs at a time; another is refused with 429 meanwhile.
    """

    def __init__(self, conversations: Conversations, store: Store) -> None:
        self._conversations = conversations
        self._store = store
        self._writing = False
        self._trackers = RecordStore(
            "tracker",
            store,
            validation.tracker_record,
            key=lambda record: str(record["name"]),
            max_records=_MAX_TRACKERS,
            max_size=_MAX_TRACKERS_SIZE,
        )
        self._groups = RecordStore(
            "group", store, validation.group_record, max_size=_MAX_OTHERS_SIZE
        )
        self._entities = RecordStore(
            "entity",
            store,
            validation.entity_record,
            key=lambda record: f"{record['type']}/{record['subType']}",
            max_size=_MAX_OTHERS_SIZE,
        )
        self._unknown_options = UnknownOptions(MANAGEMENT)
        self._settings: Record = {"intelligence": {"bookmarks": {}}}

    def restore(self, state: StoredState) -> None:
        """Continue with the records of the last server."""
        for records in (self._trackers, self._groups, self._entities):
            records.by_id.update(state.records.get(records.kind, {}))
        self._settings = state.records.get(_SETTINGS, {}).get(_SETTINGS, self._settings)

    # Records that submissions refer to

    @property
    def trackers(self) -> dict[str, Tracker]:
        """The stored trackers by id."""
        return {
            identity: Tracker(
                str(record["name"]),
                texts_of(record["vocabulary"]),
                identity,
                texts_of(record.get("excludeVocabulary")),
            )
            for identity, record in self._trackers.by_id.items()
        }

    @property
    def entities(self) -> tuple[CustomEntity, ...]:
        """The stored custom entities, one for each of their texts."""
        return tuple(
            CustomEntity(str(record["subType"]), text)
            for record in self._entities.by_id.values()
            for text in texts_of(record["values"])
        )

    # Routes and handlers

    def routes(self) -> list[web.RouteDef]:
        groups, entities = self._groups, self._entities
        manage = "/v1/manage"
        return [
            *self._tracker_routes(),
            *self._newer_tracker_routes(),
            web.get(f"{manage}/trackers", self._list_trackers),
            web.post(f"{manage}/trackers", self._create_trackers),
            web.post(f"{manage}/group", self._create_handler(groups, wrapper_key="group")),
            web.post(f"{manage}/groups", self._create_many_handler(groups, "groups")),
            web.get(f"{manage}/groups", self._list_handler(groups, "groups")),
            *self._get_and_delete_routes(f"{manage}/group/{{id}}", groups, wrapper_key="group"),
            web.put(f"{manage}/group/{{id}}", self._replace_handler(groups, "group")),
            web.get("/v1/groups/{id}/conversations", self._list_group_conversations),
            web.post(f"{manage}/entities", self._create_handler(entities)),
            web.post(f"{manage}/entity", self._create_handler(entities)),
            web.post(f"{manage}/entities/bulk", self._create_many_handler(entities, "entities")),
            web.get(f"{manage}/entities", self._list_handler(entities, "entities")),
            web.delete(f"{manage}/entities", self._delete_entities),
            *self._get_and_delete_routes(f"{manage}/entities/{{id}}", entities),
            *self._get_and_delete_routes(f"{manage}/entity/{{id}}", entities),
            # Reading an entity gives it bare, and replacing it wrapped.
            *(
                web.put(f"{manage}/{path}/{{id}}", self._replace_handler(entities, "entity"))
                for path in ("entities", "entity")
            ),
            web.get(f"{manage}/settings", self._get_settings),
            web.patch(f"{manage}/settings", self._patch_settings),
        ]

    def _tracker_routes(self) -> list[web.RouteDef]:
        """The paths of 2022."""
        trackers = self._trackers
        item_path = "/v1/manage/tracker/{id}"
        return [
            web.post("/v1/manage/tracker", self._create_handler(trackers, wrapper_key="tracker")),
            *self._get_and_delete_routes(item_path, trackers, wrapper_key="tracker"),
            web.put(item_path, self._update_tracker),
        ]

    def _newer_tracker_routes(self) -> list[web.RouteDef]:
        """The paths since late 2022, with JSON Patch."""
        trackers = self._trackers
        item_path = "/v1/manage/trackers/{id}"
        return [
            web.post("/v1/manage/trackers/bulk", self._create_many_handler(trackers, "trackers")),
            *self._get_and_delete_routes(item_path, trackers, wrapper_key="tracker"),
            web.patch(item_path, self._patch_tracker),
        ]

    def _get_and_delete_routes(
        self, path: str, records: RecordStore, *, wrapper_key: str | None = None
    ) -> list[web.RouteDef]:
        async def get(request: web.Request) -> web.Response:
            return json_response(_wrap(records.get(request.match_info["id"]), wrapper_key))

        async def delete(request: web.Request) -> web.Response:
            return json_response(await records.delete(request.match_info["id"]))

        return [web.get(path, get), web.delete(path, delete)]

    def _create_handler(self, records: RecordStore, *, wrapper_key: str | None = None) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            async with self._exclusive_write(request) as body:
                (record,) = await records.create([require_object(body)])
                return json_response(_wrap(record, wrapper_key), 201)

        return handle

    def _create_many_handler(self, records: RecordStore, key: str) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            async with self._exclusive_write(request) as body:
                return json_response({key: await _create_many(records, key, body)}, 201)

        return handle

    async def _create_trackers(self, request: web.Request) -> web.Response:
        """Create a list of trackers (2022), or one (newer); clients of both expect a 200."""
        async with self._exclusive_write(request) as body:
            if isinstance(body, list):
                made = await _create_many(self._trackers, "trackers", body)
                return json_response({"trackers": made})
            (tracker,) = await self._trackers.create([require_object(body)])
            return json_response({"tracker": tracker})

    def _list_handler(self, records: RecordStore, key: str) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            return json_response({key: list(records.by_id.values())})

        return handle

    def _replace_handler(self, records: RecordStore, wrapper_key: str) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            async with self._exclusive_write(request) as body:
                record = await records.replace(request.match_info["id"], require_object(body))
                return json_response(_wrap(record, wrapper_key))

        return handle

    async def _list_trackers(self, request: web.Request) -> web.Response:
        """Respond with all trackers, or those of one name (case-sensitive)."""
        name = query_text(request, "name")
        known = self._trackers.by_id.values()
        return json_response({"trackers": [t for t in known if name in (None, t["name"])]})

    async def _update_tracker(self, request: web.Request) -> web.Response:
        """Add terms to the stored ones, as in the documentation's own example (C24)."""
        async with self._exclusive_write(request) as body:
            identity, fields = request.match_info["id"], require_object(body)
            old = self._trackers.get(identity)
            new = validation.tracker_record(fields)["vocabulary"]
            terms = dict.fromkeys([*texts_of(new), *texts_of(old["vocabulary"])])
            body = {**old, **fields, "vocabulary": list(terms)}
            return json_response({"tracker": await self._trackers.replace(identity, body)})

    async def _patch_tracker(self, request: web.Request) -> web.Response:
        async with self._exclusive_write(request) as body:
            record = await self._trackers.patch(request.match_info["id"], body)
            return json_response({"tracker": record})

    async def _list_group_conversations(self, request: web.Request) -> web.Response:
        """Respond with the conversations that meet the criteria and the list query."""
        criteria = self._groups.get(request.match_info["id"])["criteria"]
        matches = parse_filter(str(criteria), "criteria")
        return await list_response(self._conversations, request, matches)

    async def _delete_entities(self, request: web.Request) -> web.Response:
        kind = query_text(request, "subType")
        if not kind:
            raise ApiError(400, '"subType" is required.')
        ids = [i for i, e in self._entities.by_id.items() if e["subType"] == kind]
        if not ids:
            raise ApiError(404, "There is no entity of this subType.")
        await self._entities.delete(*ids)
        return json_response({"subType": kind, "type": "entity", "deleted": True})

    async def _get_settings(self, request: web.Request) -> web.Response:
        return json_response(self._settings)

    async def _patch_settings(self, request: web.Request) -> web.Response:
        """Store and return settings; this server does not act on them."""
        async with self._exclusive_write(request) as body:
            self._unknown_options.name({"settings": body})
            settings = apply_json_patch(self._settings, body, create_missing=True)
            # Patches add up: each may nest the values of the one before, or lengthen them.
            check_depth(settings)
            if len(json.dumps(settings)) > request.app[LIMITS].body:
                raise ApiError(413, "The settings of an account have 1 MB at most.")
            await self._store.commit(RecordSaved(_SETTINGS, _SETTINGS, settings))
            self._settings = settings
            return json_response(settings)

    @asynccontextmanager
    async def _exclusive_write(self, request: web.Request) -> AsyncIterator[JSON]:
        """Hold the one writing slot and yield the body; a 429 ``ApiError`` while it is held."""
        if self._writing:
            raise ApiError(429, "Another management call is in progress: one at a time.")
        self._writing = True
        try:
            try:
                # A body that stops arriving keeps the others of the account waiting.
                async with asyncio.timeout(request.app[LIMITS].exclusive):
                    body = await read_json(request)
            except TimeoutError:
                raise ApiError(408, "The body did not arrive in time.") from None
            yield body
        finally:
            self._writing = False


def _wrap(record: Record, wrapper_key: str | None) -> Record:
    return record if wrapper_key is None else {wrapper_key: record}


async def _create_many(records: RecordStore, key: str, body: JSON) -> list[JSON]:
    if not isinstance(body, list) or not body:
        raise ApiError(400, f"The body must be a list of {key}.")
    return list(await records.create(body))
