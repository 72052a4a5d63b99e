"""Who speaks, takes part or is to do something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from symbl_aio.models.base import JSON, raw_field


@frozen(kw_only=True)
class User:
    """A speaker, member or assignee; every field may be ``None``.

    Messages tell the ``email``, insights the ``user_id`` (often an address too).
    """

    id: str | None = None
    name: str | None = None
    email: str | None = None
    user_id: str | None = None
    raw: Mapping[str, JSON] = raw_field()


NOBODY: Final = User()
"""The sender of what has none."""
