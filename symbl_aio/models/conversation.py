"""A conversation's own record, and what the server says when something of it is changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from symbl_aio.models.base import JSON, NOTHING, raw_field
from symbl_aio.models.people import User


@frozen(kw_only=True)
class ConversationInfo:
    """A conversation's own record: when it was, who took part, the caller's metadata."""

    id: str
    type: str | None = None
    name: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    members: tuple[User, ...] = ()
    metadata: Mapping[str, str] = field(default=NOTHING, hash=False)
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class Notice:
    """What the server says of a change, in its own words, and the id if it names one."""

    message: str = ""
    id: str | None = None
    type: str | None = None
    deleted: bool | None = None
    raw: Mapping[str, JSON] = raw_field()


def _masked(url: str) -> str:
    return "'[secret]'" if url else "''"


@frozen(kw_only=True)
class Experience:
    """A ready-made page about a conversation (Experience API page).

    Whoever has ``url`` sees the conversation, since it carries a token: it is not shown in
    ``repr``. Take care where you log it yourself.
    """

    name: str | None = None
    url: str = field(default="", repr=_masked)
    raw: Mapping[str, JSON] = raw_field()
