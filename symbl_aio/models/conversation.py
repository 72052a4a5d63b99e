"""A conversation's own record, and what the server says when something of it is changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from symbl_aio.models.base import JSON, NOTHING, Model, raw_field
from symbl_aio.models.people import User

__all__ = ["ConversationInfo", "Experience", "Notice"]


@frozen(kw_only=True)
class ConversationInfo(Model):
    """A conversation's own record ("Get conversation" page)."""

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
    """Who took part, as far as the server knows."""
    metadata: Mapping[str, str] = field(default=NOTHING, hash=False)
    """The caller's own names and values; empty if there are none."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that the value was made of."""


@frozen(kw_only=True)
class Notice(Model):
    """What the server says of a change, in its own words, and the id if it names one."""

    message: str = ""
    """What the server says, in its own words."""
    id: str | None = None
    """The id of what was changed, if the answer names one."""
    type: str | None = None
    """The kind of what was changed, such as ``"tracker"``."""
    deleted: bool | None = None
    """Whether it was deleted; ``None`` if the answer does not say."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that the value was made of."""


def _masked(url: str) -> str:
    return "'[secret]'" if url else "''"


@frozen(kw_only=True)
class Experience(Model):
    """A ready-made page about a conversation (Experience API page).

    Whoever has ``url`` sees the conversation, since it carries a token: it is not shown in
    ``repr``. Take care where you log it yourself.
    """

    name: str | None = None
    """Which page it is, such as ``"verbose-text-summary"``."""
    url: str = field(default="", repr=_masked)
    """Link to the page, a secret: it opens the conversation to anyone."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that the value was made of."""
