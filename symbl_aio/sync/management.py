"""Bookmarks, and the records of an account, without ``await``."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Unpack

from symbl_aio import bookmarks, management, models
from symbl_aio._pages import Selection
from symbl_aio.drafts import BookmarkDraft, EntityDraft, GroupDraft, Patch
from symbl_aio.models import JSON, Page
from symbl_aio.options import Tracker
from symbl_aio.sync.portal import Portal

__all__ = ["Bookmarks", "Entities", "Groups", "Settings", "Trackers"]


class Bookmarks:
    """The bookmarks of a conversation (newer hosts)."""

    def __init__(self, portal: Portal, bookmarks: bookmarks.Bookmarks) -> None:
        self._portal = portal
        self._bookmarks = bookmarks

    def __repr__(self) -> str:
        return repr(self._bookmarks)

    def list(self) -> Page[models.Bookmark]:
        """Return all bookmarks."""
        return self._portal.call(lambda: self._bookmarks.list())

    def get(self, bookmark_id: str) -> models.Bookmark:
        """Return one bookmark, or raise ``NotFoundError``."""
        return self._portal.call(lambda: self._bookmarks.get(bookmark_id))

    def create(self, draft: BookmarkDraft) -> models.Bookmark:
        """Create a bookmark. Not repeated once the server may have received it."""
        return self._portal.call(lambda: self._bookmarks.create(draft))

    def create_many(self, drafts: Iterable[BookmarkDraft]) -> Page[models.Bookmark]:
        """Create several bookmarks in one call. Not repeated once it may have arrived."""
        return self._portal.call(lambda: self._bookmarks.create_many(drafts))

    def update(self, bookmark_id: str, draft: BookmarkDraft) -> models.Bookmark:
        """Replace a bookmark with ``draft``; fields left out are erased."""
        return self._portal.call(lambda: self._bookmarks.update(bookmark_id, draft))

    def delete(self, bookmark_id: str) -> None:
        """Delete a bookmark, or raise ``NotFoundError``."""
        self._portal.call(lambda: self._bookmarks.delete(bookmark_id))

    def summary(self, bookmark_id: str) -> Page[models.SummaryItem]:
        """Return the summary of one bookmark."""
        return self._portal.call(lambda: self._bookmarks.summary(bookmark_id))

    def summaries(self) -> Page[models.BookmarkSummary]:
        """Return the summaries of all bookmarks."""
        return self._portal.call(lambda: self._bookmarks.summaries())


class Trackers:
    """The account's trackers (Management API)."""

    def __init__(self, portal: Portal, trackers: management.Trackers) -> None:
        self._portal = portal
        self._trackers = trackers

    def __repr__(self) -> str:
        return repr(self._trackers)

    def list(self) -> Page[models.StoredTracker]:
        """Return all trackers."""
        return self._portal.call(lambda: self._trackers.list())

    def by_name(self, name: str) -> Page[models.StoredTracker]:
        """Return the tracker with exactly this name, in a page of one or none."""
        return self._portal.call(lambda: self._trackers.by_name(name))

    def get(self, tracker_id: str) -> models.StoredTracker:
        """Return one tracker, or raise ``NotFoundError``."""
        return self._portal.call(lambda: self._trackers.get(tracker_id))

    def create(self, tracker: Tracker) -> models.StoredTracker:
        """Create a tracker, from a ``Tracker`` or (on newer hosts) a ``TrackerDraft``."""
        return self._portal.call(lambda: self._trackers.create(tracker))

    def create_many(self, trackers: Iterable[Tracker]) -> Page[models.StoredTracker]:
        """Create several trackers in one call, of at most 1 MB."""
        return self._portal.call(lambda: self._trackers.create_many(trackers))

    def update(self, tracker_id: str, tracker: Tracker) -> models.StoredTracker:
        """Replace a tracker with ``tracker`` (``tracker_paths="2022"`` only)."""
        return self._portal.call(lambda: self._trackers.update(tracker_id, tracker))

    def patch(self, tracker_id: str, changes: Iterable[Patch]) -> models.StoredTracker:
        """Change fields of a tracker (``tracker_paths="2024"`` only)."""
        return self._portal.call(lambda: self._trackers.patch(tracker_id, changes))

    def delete(self, tracker_id: str) -> None:
        """Delete a tracker, or raise ``NotFoundError``."""
        self._portal.call(lambda: self._trackers.delete(tracker_id))


class Groups:
    """The account's groups of conversations (Management API)."""

    def __init__(self, portal: Portal, groups: management.Groups) -> None:
        self._portal = portal
        self._groups = groups

    def __repr__(self) -> str:
        return repr(self._groups)

    def list(self) -> Page[models.ConversationGroup]:
        """Return all groups."""
        return self._portal.call(lambda: self._groups.list())

    def get(self, group_id: str) -> models.ConversationGroup:
        """Return one group, or raise ``NotFoundError``."""
        return self._portal.call(lambda: self._groups.get(group_id))

    def create(self, group: GroupDraft) -> models.ConversationGroup:
        """Create a group."""
        return self._portal.call(lambda: self._groups.create(group))

    def create_many(self, groups: Iterable[GroupDraft]) -> Page[models.ConversationGroup]:
        """Create several groups in one call."""
        return self._portal.call(lambda: self._groups.create_many(groups))

    def update(self, group_id: str, group: GroupDraft) -> models.ConversationGroup:
        """Replace a group with ``group``. The answer may still have the old values."""
        return self._portal.call(lambda: self._groups.update(group_id, group))

    def delete(self, group_id: str) -> None:
        """Delete a group, not its conversations; or raise ``NotFoundError``."""
        self._portal.call(lambda: self._groups.delete(group_id))

    def conversations(
        self, group_id: str, *, page_size: int = 100, **selection: Unpack[Selection]
    ) -> Generator[models.ConversationInfo, None, None]:
        """Yield the conversations of a group, as ``client.conversations`` yields all."""
        return self._portal.iterate(
            lambda: self._groups.conversations(group_id, page_size=page_size, **selection)
        )


class Entities:
    """The account's own entities (Management API, newer hosts)."""

    def __init__(self, portal: Portal, entities: management.Entities) -> None:
        self._portal = portal
        self._entities = entities

    def __repr__(self) -> str:
        return repr(self._entities)

    def list(self) -> Page[models.StoredEntity]:
        """Return all entities."""
        return self._portal.call(lambda: self._entities.list())

    def get(self, entity_id: str) -> models.StoredEntity:
        """Return one entity, or raise ``NotFoundError``."""
        return self._portal.call(lambda: self._entities.get(entity_id))

    def create(self, entity: EntityDraft) -> models.StoredEntity:
        """Create an entity."""
        return self._portal.call(lambda: self._entities.create(entity))

    def create_many(self, entities: Iterable[EntityDraft]) -> Page[models.StoredEntity]:
        """Create several entities in one call."""
        return self._portal.call(lambda: self._entities.create_many(entities))

    def update(self, entity_id: str, entity: EntityDraft) -> models.StoredEntity:
        """Replace an entity with ``entity``."""
        return self._portal.call(lambda: self._entities.update(entity_id, entity))

    def delete(self, entity_id: str) -> None:
        """Delete an entity, or raise ``NotFoundError``."""
        self._portal.call(lambda: self._entities.delete(entity_id))

    def delete_sub_type(self, sub_type: str) -> None:
        """Delete all entities of a sub-type."""
        self._portal.call(lambda: self._entities.delete_sub_type(sub_type))


class Settings:
    """The account's settings (Management API, newer hosts)."""

    def __init__(self, portal: Portal, settings: management.Settings) -> None:
        self._portal = portal
        self._settings = settings

    def __repr__(self) -> str:
        return repr(self._settings)

    def get(self) -> Mapping[str, JSON]:
        """Return all settings as received; the API does not document all of their names."""
        return self._portal.call(lambda: self._settings.get())

    def patch(self, changes: Iterable[Patch]) -> Mapping[str, JSON]:
        """Change settings, such as ``Patch("replace", "/intelligence/bookmarks/duration", 60)``."""
        return self._portal.call(lambda: self._settings.patch(changes))
