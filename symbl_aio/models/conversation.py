"""The record of a conversation, and the server's answers to changes and deletions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from symbl_aio.models.base import JSON, NOTHING, Model, raw_field
from symbl_aio.models.people import User

__all__ = ["ConversationInfo", "Experience", "Notice"]


@frozen(kw_only=True)
class ConversationInfo(Model):
    """The record of a conversation ("Get conversation" page)."""

    id: str
    """The conversation's id."""
    type: str | None = None
    """The kind of conversation, mostly ``"meeting"``."""
    name: str | None = None
    """Its title; the id if the submission named none."""
    start_time: datetime | None = None
    """When it began, UTC."""
    end_time: datetime | None = None
    """When it ended, UTC."""
    members: tuple[User, ...] = ()
    """The people who took part, as far as the server knows."""
    metadata: Mapping[str, str] = field(default=NOTHING, hash=False)
    """The caller's own names and values; empty without any."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class Notice(Model):
    """The server's answer to a change or a deletion."""

    message: str = ""
    """The server's message, unchanged."""
    id: str | None = None
    """The id of the changed object, if the answer has one."""
    type: str | None = None
    """The kind of the changed object, such as ``"tracker"``."""
    deleted: bool | None = None
    """Whether it was deleted; ``None`` if the answer leaves it open."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


def masked(url: str) -> str:
    """Return the ``repr`` of a link that is a secret."""
    return "'[secret]'" if url else "''"


@frozen(kw_only=True)
class Experience(Model):
    """A ready-made page about a conversation (Experience API page).

    ``url`` carries a token, so it opens the conversation to each of its readers. ``repr`` masks
    it; do not log it yourself.
    """

    name: str | None = None
    """The kind of page, such as ``"verbose-text-summary"``."""
    url: str = field(default="", repr=masked)
    """The link to the page, a secret: it needs no login."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""
