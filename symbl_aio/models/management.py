"""What an account keeps for all of its conversations: trackers, groups, entities."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from symbl_aio.models.base import JSON, raw_field


@frozen(kw_only=True)
class StoredTracker:
    """A tracker of the account ("Trackers" pages of the Management API).

    Names are unique and case-sensitive. All fields after ``vocabulary`` are known to newer
    hosts only.
    """

    id: str | None = None
    name: str = ""
    vocabulary: tuple[str, ...] = ()
    description: str | None = None
    categories: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    exclude_vocabulary: tuple[str, ...] = ()
    created_on: datetime | None = None
    updated_on: datetime | None = None
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class ConversationGroup:
    """The conversations that meet ``criteria``, in RSQL ("Conversation groups" pages)."""

    id: str | None = None
    name: str = ""
    description: str | None = None
    criteria: str = ""
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class StoredEntity:
    """An entity of the account's own: each of ``values``, where it is said ("Entities" pages)."""

    id: str | None = None
    type: str | None = None
    sub_type: str | None = None
    category: str | None = None
    values: tuple[str, ...] = ()
    raw: Mapping[str, JSON] = raw_field()
