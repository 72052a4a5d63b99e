"""Trackers, groups, entities and settings of an account (Management API pages).

The API accepts one change at a time for each account, so the changes of one client wait
for each other; reads do not wait. A create or a patch is not repeated once the server may
have received it; other calls are. Raises as the methods of ``Conversation`` do, and also
``BadRequestError`` with ``status`` 409 for a name that exists.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Literal, Unpack

from symbl_aio import models
from symbl_aio._error_classes import ConfigurationError, DecodeError
from symbl_aio._fields import require_word
from symbl_aio._pages import Selection, any_page_of, list_conversations, one_of
from symbl_aio._protocol import bodies
from symbl_aio._protocol.answers import Answer
from symbl_aio._protocol.calls import Call, check_id, stored
from symbl_aio._protocol.encode import with_body
from symbl_aio.drafts import EntityDraft, GroupDraft, Patch
from symbl_aio.job import HandleBackend
from symbl_aio.models import JSON, Page
from symbl_aio.options import Tracker

__all__ = ["Entities", "Groups", "Settings", "Trackers"]


class Stored:
    """Base of the stored objects of one kind."""

    __slots__ = ("_backend", "_changing")

    def __init__(self, backend: HandleBackend, changing: asyncio.Lock) -> None:
        self._backend = backend
        self._changing = changing

    async def _change(self, call: Call, *, repeatable: bool = True) -> Answer:
        self._backend.check_open()  # before the lock, which works on its own loop alone
        async with self._changing:
            return await self._backend.call(call, repeatable=repeatable)


class Trackers(Stored):
    """The account's trackers, as ``client.trackers``.

    ``Config.tracker_paths`` selects the host's paths for them. Names are unique, and "A" is
    not "a". The server alone enforces the API's limits: 5 to 50 terms each, and at most 500
    trackers.
    """

    __slots__ = ("_paths",)

    def __init__(
        self, backend: HandleBackend, changing: asyncio.Lock, *, paths: Literal["2022", "2024"]
    ) -> None:
        super().__init__(backend, changing)
        self._paths = paths

    async def list(self) -> Page[models.StoredTracker]:
        """Return all trackers."""
        answer = await self._backend.call(stored("trackers"))
        return any_page_of(models.StoredTracker, answer, "trackers", "tracker")

    async def by_name(self, name: str) -> Page[models.StoredTracker]:
        """Return the tracker with exactly this name, in a page of one or none."""
        require_word("name", name)
        answer = await self._backend.call(stored("trackers", name=name))
        return any_page_of(models.StoredTracker, answer, "trackers", "tracker")

    async def get(self, tracker_id: str) -> models.StoredTracker:
        """Return one tracker, or raise ``NotFoundError``."""
        return self._one(await self._backend.call(self._call(tracker_id)))

    async def create(self, tracker: Tracker) -> models.StoredTracker:
        """Create a tracker, from a ``Tracker`` or (on newer hosts) a ``TrackerDraft``."""
        call = stored("tracker" if self._paths == "2022" else "trackers", method="POST")
        return self._one(
            await self._change(
                with_body(call, bodies.draft_body("tracker", tracker, Tracker)),
                repeatable=False,
            )
        )

    async def create_many(self, trackers: Iterable[Tracker]) -> Page[models.StoredTracker]:
        """Create several trackers in one call, of at most 1 MB."""
        call = stored("trackers" if self._paths == "2022" else "trackers/bulk", method="POST")
        body = bodies.draft_bodies("trackers", trackers, Tracker)
        answer = await self._change(with_body(call, body), repeatable=False)
        return any_page_of(models.StoredTracker, answer, "trackers", "tracker")

    async def update(self, tracker_id: str, tracker: Tracker) -> models.StoredTracker:
        """Replace a tracker with ``tracker`` (``tracker_paths="2022"`` only).

        Whether the server replaces the old vocabulary or adds to it, its documents do not
        agree.
        """
        if self._paths != "2022":
            raise ConfigurationError(
                'update is for Config.tracker_paths="2022"; use patch with "2024"'
            )
        call = self._call(tracker_id, "PUT")
        body = {"id": tracker_id, **bodies.draft_fields("tracker", tracker, Tracker)}
        return self._one(await self._change(with_body(call, body)))

    async def patch(self, tracker_id: str, changes: Iterable[Patch]) -> models.StoredTracker:
        """Change fields of a tracker (``tracker_paths="2024"`` only).

        Paths: ``/name``, ``/description``, ``/categories``, ``/languages``, ``/vocabulary``,
        ``/excludeVocabulary``.
        """
        if self._paths != "2024":
            raise ConfigurationError(
                'patch is for Config.tracker_paths="2024"; use update with "2022"'
            )
        call = with_body(self._call(tracker_id, "PATCH"), bodies.patches(changes))
        return self._one(await self._change(call, repeatable=False))

    async def delete(self, tracker_id: str) -> None:
        """Delete a tracker, or raise ``NotFoundError``."""
        await self._change(self._call(tracker_id, "DELETE"))

    def _call(
        self, tracker_id: str, method: Literal["GET", "PUT", "PATCH", "DELETE"] = "GET"
    ) -> Call:
        kind: Literal["tracker", "trackers"] = "tracker" if self._paths == "2022" else "trackers"
        return stored(kind, check_id("tracker_id", tracker_id), method=method)

    @staticmethod
    def _one(answer: Answer) -> models.StoredTracker:
        return one_of(models.StoredTracker, answer, "tracker", "trackers")


class Groups(Stored):
    """The account's groups of conversations, as ``client.groups``."""

    __slots__ = ()

    async def list(self) -> Page[models.ConversationGroup]:
        """Return all groups."""
        answer = await self._backend.call(stored("groups"))
        return any_page_of(models.ConversationGroup, answer, "groups", "group")

    async def get(self, group_id: str) -> models.ConversationGroup:
        """Return one group, or raise ``NotFoundError``."""
        return self._one(await self._backend.call(stored("group", check_id("group_id", group_id))))

    async def create(self, group: GroupDraft) -> models.ConversationGroup:
        """Create a group."""
        call = with_body(
            stored("group", method="POST"), bodies.draft_body("group", group, GroupDraft)
        )
        return self._one(await self._change(call, repeatable=False))

    async def create_many(self, groups: Iterable[GroupDraft]) -> Page[models.ConversationGroup]:
        """Create several groups in one call."""
        call = with_body(
            stored("groups", method="POST"),
            bodies.draft_bodies("groups", groups, GroupDraft),
        )
        answer = await self._change(call, repeatable=False)
        return any_page_of(models.ConversationGroup, answer, "groups", "group")

    async def update(self, group_id: str, group: GroupDraft) -> models.ConversationGroup:
        """Replace a group with ``group``. The answer may still have the old values."""
        check_id("group_id", group_id)
        body = {"id": group_id, **bodies.draft_fields("group", group, GroupDraft)}
        call = with_body(stored("group", group_id, method="PUT"), body)
        return self._one(await self._change(call))

    async def delete(self, group_id: str) -> None:
        """Delete a group, not its conversations; or raise ``NotFoundError``."""
        check_id("group_id", group_id)
        await self._change(stored("group", group_id, method="DELETE"))

    def conversations(
        self,
        group_id: str,
        *,
        page_size: int = 100,
        **selection: Unpack[Selection],
    ) -> AsyncGenerator[models.ConversationInfo, None]:
        """Yield the conversations of a group, as ``client.conversations`` yields all.

        ``start_time``, ``end_time``, ``order``, ``sort``, ``filter`` and ``page_size`` are
        the same; without ``start_time`` only those of the last seven days are listed.
        """
        check_id("group_id", group_id)
        return list_conversations(self._backend, group_id, page_size=page_size, **selection)

    @staticmethod
    def _one(answer: Answer) -> models.ConversationGroup:
        return one_of(models.ConversationGroup, answer, "group", "groups")


class Entities(Stored):
    """The account's own entities (newer hosts only), as ``client.entities``."""

    __slots__ = ()

    async def list(self) -> Page[models.StoredEntity]:
        """Return all entities."""
        answer = await self._backend.call(stored("entities"))
        return any_page_of(models.StoredEntity, answer, "entities", "entity")

    async def get(self, entity_id: str) -> models.StoredEntity:
        """Return one entity, or raise ``NotFoundError``."""
        call = stored("entities", check_id("entity_id", entity_id))
        return self._one(await self._backend.call(call))

    async def create(self, entity: EntityDraft) -> models.StoredEntity:
        """Create an entity."""
        call = with_body(
            stored("entities", method="POST"),
            bodies.draft_body("entity", entity, EntityDraft),
        )
        return self._one(await self._change(call, repeatable=False))

    async def create_many(self, entities: Iterable[EntityDraft]) -> Page[models.StoredEntity]:
        """Create several entities in one call."""
        body = bodies.draft_bodies("entities", entities, EntityDraft)
        call = with_body(stored("entities/bulk", method="POST"), body)
        answer = await self._change(call, repeatable=False)
        return any_page_of(models.StoredEntity, answer, "entities", "entity")

    async def update(self, entity_id: str, entity: EntityDraft) -> models.StoredEntity:
        """Replace an entity with ``entity``."""
        check_id("entity_id", entity_id)
        call = with_body(
            stored("entities", entity_id, method="PUT"),
            bodies.draft_body("entity", entity, EntityDraft),
        )
        return self._one(await self._change(call))

    async def delete(self, entity_id: str) -> None:
        """Delete an entity, or raise ``NotFoundError``."""
        check_id("entity_id", entity_id)
        await self._change(stored("entities", entity_id, method="DELETE"))

    async def delete_sub_type(self, sub_type: str) -> None:
        """Delete all entities of a sub-type."""
        # The server might delete all entities for an empty sub-type, or without one.
        require_word("sub_type", sub_type)
        await self._change(stored("entities", method="DELETE", sub_type=sub_type))

    @staticmethod
    def _one(answer: Answer) -> models.StoredEntity:
        return one_of(models.StoredEntity, answer, "entity", "entities")


class Settings(Stored):
    """The account's settings (newer hosts only), as ``client.settings``."""

    __slots__ = ()

    async def get(self) -> Mapping[str, JSON]:
        """Return all settings as received; the API does not document all of their names."""
        return self._object(await self._backend.call(stored("settings")))

    async def patch(self, changes: Iterable[Patch]) -> Mapping[str, JSON]:
        """Change settings, such as ``Patch("replace", "/intelligence/bookmarks/duration", 60)``."""
        call = with_body(stored("settings", method="PATCH"), bodies.patches(changes))
        return self._object(await self._change(call, repeatable=False))

    @staticmethod
    def _object(answer: Answer) -> Mapping[str, JSON]:
        settings = answer.json()
        if not isinstance(settings, dict):
            raise DecodeError("the settings are not a JSON object", answer.text)
        return settings
