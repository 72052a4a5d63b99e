"""Drafts that a caller sends besides media: bookmarks, trackers, groups, patches.

Frozen values, checked when they are made. Only fields that are set are sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from attrs import field, frozen
from attrs.validators import optional

from symbl_aio._error_classes import ConfigurationError
from symbl_aio._fields import (
    a_text,
    a_word,
    check,
    is_a,
    is_int,
    is_text,
    required_strings,
    strings,
    text_of,
    words,
)
from symbl_aio.models import JSON, User
from symbl_aio.options import Tracker

__all__ = [
    "BookmarkDraft",
    "Colors",
    "EntityDraft",
    "GroupDraft",
    "Patch",
    "SpeakerEvent",
    "TrackerDraft",
    "criteria",
]

_PLAIN_VALUE: Final = re.compile(r"[\w.@:+-]+", re.ASCII)
_MAX_CRITERIA: Final = 2
_MAX_NAME_LENGTH: Final = 128
_MAX_DESCRIPTION_LENGTH: Final = 512

_user = is_a(User, "User(name=..., email=...)")
_seconds = optional(check(lambda v: is_int(v) and v >= 0, "whole seconds, 0 or more"))


def criteria(metadata: Mapping[str, str]) -> str:
    """Return the RSQL that selects conversations by their metadata, for filters and groups.

    Raises ``ConfigurationError`` for no names, or for more than the API's two.
    """
    given: object = metadata  # untyped callers may pass anything
    if not isinstance(given, Mapping) or not all(map(is_text, given.values())):
        raise ConfigurationError(
            "metadata is not a mapping of names to strings; give a dict of str to str"
        )
    if not metadata or len(metadata) > _MAX_CRITERIA:
        raise ConfigurationError(
            f"metadata has {len(metadata)} names; give one or two, the API takes no more"
        )
    terms = []
    for name, value in metadata.items():
        if not is_text(name) or not re.fullmatch(r"[\w.-]+", name):
            raise ConfigurationError(
                f"metadata name {name!r} cannot stand in a filter; give letters, digits, _ - and ."
            )
        name, value = text_of(name), text_of(value)
        quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        terms.append(
            f"conversation.metadata.{name}=={value if _PLAIN_VALUE.fullmatch(value) else quoted}"
        )
    return " and ".join(terms)


@frozen
class TrackerDraft(Tracker):
    """A tracker with the fields that only newer hosts know (``Config.tracker_paths="2024"``)."""

    description: str | None = field(default=None, kw_only=True, validator=optional(a_text))
    """Its purpose, in words."""
    categories: tuple[str, ...] | None = field(
        default=None, kw_only=True, converter=strings, validator=optional(words)
    )
    """The categories that it belongs to."""
    languages: tuple[str, ...] | None = field(
        default=None, kw_only=True, converter=strings, validator=optional(words)
    )
    """Languages in which it is detected, BCP-47, such as ``"en-US"``."""
    exclude_vocabulary: tuple[str, ...] | None = field(
        default=None, kw_only=True, converter=strings, validator=optional(words)
    )
    """Phrases that do not count."""


@frozen
class GroupDraft:
    """A group of conversations; ``criteria`` is RSQL, as the function ``criteria`` returns it.

    At most 128 characters of ``name`` and 512 of ``description`` (Conversation groups page);
    newer hosts require a description.
    """

    name: str = field(
        validator=[a_word, check(lambda v: len(v) <= _MAX_NAME_LENGTH, "at most 128 characters")]
    )
    """Its name, at most 128 characters."""
    criteria: str = field(validator=a_word)
    """The conversations that belong to it, in RSQL."""
    description: str | None = field(
        default=None,
        validator=optional(
            [a_text, check(lambda v: len(v) <= _MAX_DESCRIPTION_LENGTH, "at most 512 characters")]
        ),
    )
    """Its purpose, at most 512 characters."""


@frozen
class EntityDraft:
    """An entity of the account's own, detected where one of ``values`` is spoken verbatim.

    ``sub_type`` is unique within its ``type``.
    """

    type: str = field(validator=a_word)
    """Its kind, a word of your own."""
    sub_type: str = field(validator=a_word)
    """The narrower kind, unique within ``type``."""
    values: tuple[str, ...] = field(converter=required_strings, validator=words)
    """The words that are detected as it."""
    category: str = field(default="Custom", validator=a_word)
    """Leave it ``"Custom"``: other categories are the vendor's."""


@frozen(kw_only=True)
class BookmarkDraft:
    """A bookmark to be created: a marked section of a conversation.

    Either ``begin_time_offset`` and ``duration``, whole seconds, or ``message_ids``, a run
    of consecutive messages. ``user`` is its author.
    """

    label: str = field(validator=a_word)
    """Its short name, not empty."""
    description: str = field(validator=a_word)
    """Description of the section, not empty."""
    user: User = field(validator=_user)
    """Its author."""
    begin_time_offset: int | None = field(default=None, validator=_seconds)
    """Its start: whole seconds from the start of the conversation."""
    duration: int | None = field(default=None, validator=_seconds)
    """Its length in whole seconds."""
    message_ids: tuple[str, ...] | None = field(
        default=None, converter=strings, validator=optional(words)
    )
    """Ids of consecutive messages."""

    def __attrs_post_init__(self) -> None:
        times = (self.begin_time_offset, self.duration)
        complete = times == (None, None) if self.message_ids else None not in times
        if not complete:
            raise ConfigurationError(
                "BookmarkDraft.message_ids, or begin_time_offset and duration: give the one or "
                "the other two"
            )


_SPEAKER_EVENTS: Final = ("started_speaking", "stopped_speaking", "joined", "left", "stopped")


@frozen
class SpeakerEvent:
    """A speaker started or stopped, ``offset`` seconds after the conversation's start.

    A conversation takes ``"started_speaking"`` and ``"stopped_speaking"`` with an offset; a
    telephone call all types, without an offset for now.
    """

    type: Literal["started_speaking", "stopped_speaking", "joined", "left", "stopped"] = field(
        validator=check(
            lambda v: v in _SPEAKER_EVENTS,
            '"started_speaking" or "stopped_speaking", or of a call also "joined", "left" or '
            '"stopped"',
        )
    )
    """Start or stop; of a call also ``"joined"``, ``"left"`` and ``"stopped"``."""
    user: User = field(validator=_user)
    """The speaker."""
    offset: float | None = field(
        default=None,
        validator=optional(
            check(
                lambda v: (is_int(v) or isinstance(v, float)) and 0 <= v < float("inf"),
                "seconds, 0 or more",
            )
        ),
    )
    """Seconds from the start of the conversation, 0 or more; ``None`` for now, in a call."""


@frozen
class Patch:
    """One change of a stored value: JSON Patch, as far as the API supports it.

    ``path`` begins with a slash, such as ``"/vocabulary"``. ``"remove"`` has no ``value``.
    """

    op: Literal["add", "replace", "remove"] = field(
        validator=check(lambda v: v in ("add", "replace", "remove"), '"add", "replace" or "remove"')
    )
    """The operation."""
    path: str = field(
        validator=check(
            lambda v: isinstance(v, str) and v.startswith("/"), 'a path such as "/vocabulary"'
        )
    )
    """The target, a JSON pointer such as ``"/vocabulary"``."""
    value: JSON = field(default=None, hash=False)
    """The new value; leave it out for ``"remove"``."""


@frozen(kw_only=True)
class Colors:
    """The colours of a ready-made page, hexadecimal such as ``"#0A2136"``."""

    background: str | None = field(default=None, validator=optional(a_word))
    """Colour behind everything."""
    topics_filter: str | None = field(default=None, validator=optional(a_word))
    """Colour of the filter of topics."""
    insights_filter: str | None = field(default=None, validator=optional(a_word))
    """Colour of the filter of insights."""
