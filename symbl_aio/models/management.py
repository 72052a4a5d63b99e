"""Objects that an account stores for all of its conversations: trackers, groups, entities."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from symbl_aio.models.base import JSON, Model, raw_field

__all__ = ["ConversationGroup", "StoredEntity", "StoredTracker"]


@frozen(kw_only=True)
class StoredTracker(Model):
    """A tracker of the account ("Trackers" pages of the Management API).

    Names are unique and case-sensitive. All fields after ``vocabulary`` are known to newer
    hosts only.
    """

    id: str
    """The tracker's id."""
    name: str = ""
    """Its name, unique in the account; case counts."""
    vocabulary: tuple[str, ...] = ()
    """The phrases that stand for it."""
    description: str | None = None
    """Its purpose, in words; newer hosts only."""
    categories: tuple[str, ...] = ()
    """The groups that it belongs to; newer hosts only."""
    languages: tuple[str, ...] = ()
    """Languages in which it is detected, BCP-47; newer hosts only."""
    exclude_vocabulary: tuple[str, ...] = ()
    """Phrases that do not count; newer hosts only."""
    created_on: datetime | None = None
    """When it was created, UTC; newer hosts only."""
    updated_on: datetime | None = None
    """When it was last changed, UTC; newer hosts only."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class ConversationGroup(Model):
    """The conversations that meet ``criteria``, in RSQL ("Conversation groups" pages)."""

    id: str
    """The group's id."""
    name: str = ""
    """Its name, at most 128 characters."""
    description: str | None = None
    """Its purpose, in words, at most 512 characters."""
    criteria: str = ""
    """Which conversations belong to it, in RSQL."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class StoredEntity(Model):
    """A custom entity: each occurrence of one of ``values`` is detected ("Entities" pages)."""

    id: str
    """The entity's id."""
    type: str | None = None
    """Its kind, such as ``"Medicine"``."""
    sub_type: str | None = None
    """The narrower kind, unique within ``type``."""
    category: str | None = None
    """``"Custom"`` for an entity of the account."""
    values: tuple[str, ...] = ()
    """The words that stand for it."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""
