"""People of a conversation: speakers, members and assignees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from symbl_aio.models.base import JSON, Model, raw_field

__all__ = ["NOBODY", "User"]


@frozen(kw_only=True)
class User(Model):
    """A speaker, member or assignee ("Get members" page); every field may be ``None``.

    Messages have the ``email``, insights the ``user_id`` (often an e-mail address too).
    """

    id: str | None = None
    """The id within the conversation."""
    name: str | None = None
    """The name; an unknown voice is ``"Speaker 1"`` and so on."""
    email: str | None = None
    """The e-mail address."""
    user_id: str | None = None
    """The caller's own id of the person, mostly an e-mail address."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


NOBODY: Final = User()
"""The sender of a message or an insight without one."""
