"""The calls that manage an account. API section 7.

The families of tracker paths clash: a POST to ``/manage/trackers`` is a list in the
documentation of 2022 and one tracker in the newer one. A server speaks one of them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from symbl_aio.server.conversations import serializers
from symbl_aio.server.conversations.conversation import Conversations
from symbl_aio.server.conversations.list_query import filtering, listed
from symbl_aio.server.http_json import JSON, RefusedError, answer
from symbl_aio.server.language.models import CustomEntity, Tracker
from symbl_aio.server.management import validation
from symbl_aio.server.management.records import Record, Records, patched

_LARGEST = 1024 * 1024
_MOST_TRACKERS = 500

_Handler = Callable[[web.Request], Awaitable[web.Response]]


class Management:
    """Handles the calls below ``/v1/manage``, and knows what submissions may refer to.

    ``newer``: the paths since late 2022, with JSON Patch, in the place of those of
    mid-2022. One call that writes is taken at a time, as documented: another is refused
    with 429 while it lasts.
    """

    def __init__(self, conversations: Conversations, *, newer: bool) -> None:
        self._conversations = conversations
        self._newer = newer
        self._writing = False
        self._trackers = Records(
            "tracker",
            validation.newer_tracker if newer else validation.tracker,
            key=lambda record: str(record["name"]),
            most=_MOST_TRACKERS,
        )
        self._groups = Records("group", validation.group)
        self._entities = Records(
            "entity", validation.entity, key=lambda record: f"{record['type']}/{record['subType']}"
        )
        self._settings: Record = {"intelligence": {"bookmarks": {}}}

    # What submissions refer to

    @property
    def trackers(self) -> dict[str, Tracker]:
        """The stored trackers by id."""
        return {
            identity: Tracker(str(record["name"]), tuple(_texts(record["vocabulary"])), identity)
            for identity, record in self._trackers.known.items()
        }

    @property
    def entities(self) -> tuple[CustomEntity, ...]:
        """The stored custom entities, one for each text to be found."""
        return tuple(
            CustomEntity(str(record["subType"]), text)
            for record in self._entities.known.values()
            for text in _texts(record["values"])
        )

    # The calls

    def routes(self) -> list[web.RouteDef]:
        groups, entities = self._groups, self._entities
        manage = "/v1/manage"
        return [
            *(self._newer_tracker_routes() if self._newer else self._tracker_routes()),
            web.get(f"{manage}/trackers", self._list_trackers),
            web.post(f"{manage}/group", self._create(groups, wrap="group")),
            web.post(f"{manage}/groups", self._create_many(groups, "groups")),
            web.get(f"{manage}/groups", self._list(groups, "groups")),
            *self._one(f"{manage}/group/{{id}}", groups, wrap="group"),
            web.put(f"{manage}/group/{{id}}", self._replace(groups, wrap="group")),
            web.get("/v1/groups/{id}/conversations", self._conversations_of),
            web.post(f"{manage}/entities", self._create(entities)),
            web.post(f"{manage}/entity", self._create(entities)),
            web.post(f"{manage}/entities/bulk", self._create_many(entities, "entities")),
            web.get(f"{manage}/entities", self._list(entities, "entities")),
            web.delete(f"{manage}/entities", self._delete_entities),
            *self._one(f"{manage}/entities/{{id}}", entities),
            web.put(f"{manage}/entities/{{id}}", self._replace(entities)),
            web.get(f"{manage}/settings", self._get_settings),
            web.patch(f"{manage}/settings", self._patch_settings),
        ]

    def _tracker_routes(self) -> list[web.RouteDef]:
        trackers = self._trackers
        one = "/v1/manage/tracker/{id}"
        return [
            web.post("/v1/manage/tracker", self._create(trackers, wrap="tracker")),
            web.post("/v1/manage/trackers", self._create_many(trackers, "trackers")),
            *self._one(one, trackers, wrap="tracker"),
            web.put(one, self._update_tracker),
        ]

    def _newer_tracker_routes(self) -> list[web.RouteDef]:
        trackers = self._trackers
        one = "/v1/manage/trackers/{id}"
        return [
            web.post("/v1/manage/trackers", self._create(trackers, wrap="tracker")),
            web.post("/v1/manage/trackers/bulk", self._create_many(trackers, "trackers")),
            *self._one(one, trackers, wrap="tracker"),
            web.patch(one, self._patch_tracker),
        ]

    def _one(self, path: str, records: Records, *, wrap: str | None = None) -> list[web.RouteDef]:
        async def get(request: web.Request) -> web.Response:
            return answer(_wrapped(records.get(request.match_info["id"]), wrap))

        async def delete(request: web.Request) -> web.Response:
            return answer(records.delete(request.match_info["id"]))

        return [web.get(path, get), web.delete(path, delete)]

    def _create(self, records: Records, *, wrap: str | None = None) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            async with self._write(request) as sent:
                (record,) = records.create([_object(sent)])
                return answer(_wrapped(record, wrap), 201)

        return handle

    def _create_many(self, records: Records, key: str) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            async with self._write(request) as sent:
                if not isinstance(sent, list) or not sent:
                    raise RefusedError(400, f"The body must be a list of {key}.")
                return answer({key: list(records.create(sent))}, 201)

        return handle

    def _list(self, records: Records, key: str) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            return answer({key: list(records.known.values())})

        return handle

    def _replace(self, records: Records, *, wrap: str | None = None) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            async with self._write(request) as sent:
                record = records.replace(request.match_info["id"], _object(sent))
                return answer(_wrapped(record, wrap))

        return handle

    async def _list_trackers(self, request: web.Request) -> web.Response:
        """All trackers, or those of one name: its case counts."""
        name = request.query.get("name")
        known = self._trackers.known.values()
        return answer({"trackers": [t for t in known if name in (None, t["name"])]})

    async def _update_tracker(self, request: web.Request) -> web.Response:
        """Terms are added to those there are, as in the documentation's own example (C24)."""
        async with self._write(request) as sent:
            identity, fields = request.match_info["id"], _object(sent)
            old = _texts(self._trackers.get(identity)["vocabulary"])
            checked = validation.tracker(fields)
            terms = dict.fromkeys([*_texts(checked["vocabulary"]), *old])
            record = self._trackers.replace(identity, {**fields, "vocabulary": list(terms)})
            return answer({"tracker": record})

    async def _patch_tracker(self, request: web.Request) -> web.Response:
        async with self._write(request) as sent:
            record = self._trackers.patch(request.match_info["id"], sent)
            return answer({"tracker": record})

    async def _conversations_of(self, request: web.Request) -> web.Response:
        """Those that meet the criteria, and the query as in a list of all."""
        criteria = self._groups.get(request.match_info["id"])["criteria"]
        matches = filtering(str(criteria), "criteria")
        chosen = listed(filter(matches, self._conversations.known.values()), request)
        return answer({"conversations": [serializers.conversation(c) for c in chosen]})

    async def _delete_entities(self, request: web.Request) -> web.Response:
        kind = request.query.get("subType")
        if not kind:
            raise RefusedError(400, '"subType" is required.')
        doomed = [i for i, e in self._entities.known.items() if e["subType"] == kind]
        if not doomed:
            raise RefusedError(404, "There is no entity of this subType.")
        for identity in doomed:
            self._entities.delete(identity)
        return answer({"subType": kind, "type": "entity", "deleted": True})

    async def _get_settings(self, request: web.Request) -> web.Response:
        return answer(self._settings)

    async def _patch_settings(self, request: web.Request) -> web.Response:
        """Kept and shown; this server does nothing by them."""
        async with self._write(request) as sent:
            self._settings = patched(self._settings, sent, grow=True)
            return answer(self._settings)

    @asynccontextmanager
    async def _write(self, request: web.Request) -> AsyncIterator[JSON]:
        """Take the one call there may be, and read its body."""
        if self._writing:
            raise RefusedError(429, "Another management call is in progress: one at a time.")
        self._writing = True
        try:
            yield await _body(request)
        finally:
            self._writing = False


async def _body(request: web.Request) -> JSON:
    pieces, size = [], request.content_length or 0
    if size <= _LARGEST:
        size = 0
        async for piece in request.content.iter_any():
            pieces.append(piece)
            size += len(piece)
            if size > _LARGEST:
                break
    if size > _LARGEST:
        raise RefusedError(413, "The body of a management call is 1 MB at most.")
    try:
        body: JSON = json.loads(b"".join(pieces))
    except ValueError:
        raise RefusedError(400, "The body is not JSON.") from None
    return body


def _wrapped(record: Record, wrap: str | None) -> Record:
    return record if wrap is None else {wrap: record}


def _object(sent: JSON) -> Record:
    if not isinstance(sent, dict):
        raise RefusedError(400, "The body must be a JSON object.")
    return sent


def _texts(value: JSON) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
