"""What the API answers, as frozen values with Python names.

Rules that hold for every model here:

- The API leaves out almost anything, so only an item's own ``id`` is sure. What is
  absent, ``null`` or of another type than documented reads as ``None``; a text reads
  as ``""`` and a list as ``()``.
- ``raw`` is the very JSON object that the value was made of, so what a model does not
  name, or could not read, is found there.
- Instants are aware ``datetime``\\ s in UTC. Lengths of time are ``float`` seconds.
- Ids are opaque strings, whatever they look like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, Generic, TypeAlias, TypeVar, overload

from attrs import field, frozen

JSON: TypeAlias = Mapping[str, "JSON"] | Sequence["JSON"] | str | int | float | bool | None
"""A decoded JSON value. Read-only types, so that any dict or list of JSON values fits."""

T_co = TypeVar("T_co", covariant=True)

# A plain dict, though nobody may write to it: a mapping proxy could not be pickled.
_NOTHING: Final[Mapping[str, JSON]] = {}


def _raw() -> Mapping[str, JSON]:
    # Neither compared nor printed: two answers that say the same are equal, and a
    # message's repr stays readable.
    made: Mapping[str, JSON] = field(default=_NOTHING, repr=False, eq=False)
    return made


class JobStatus(StrEnum):
    """How far a job has come (Job API page). ``UNKNOWN`` is any word not documented."""

    SCHEDULED = "scheduled"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def is_terminal(self) -> bool:
        """Say whether the status is final: completed or failed."""
        return self in (JobStatus.COMPLETED, JobStatus.FAILED)

    @classmethod
    def parse(cls, text: str) -> JobStatus:
        """Read the server's word, in any case; a word not documented is ``UNKNOWN``."""
        try:
            return cls(text.lower())
        except ValueError:
            return cls.UNKNOWN


@frozen(eq=False)
class Page(Sequence[T_co], Generic[T_co]):
    """One answer of the API: a sequence of its items, with the response they came in.

    ``raw`` is the whole decoded body, ``status`` the HTTP status, ``headers`` the
    response's headers, ``elapsed`` the seconds from sending to the last byte.
    """

    items: tuple[T_co, ...]
    raw: JSON = field(repr=False)
    status: int
    headers: Mapping[str, str] = field(repr=False)
    elapsed: float

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T_co]:
        return iter(self.items)

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T_co, ...]: ...
    def __getitem__(self, index: int | slice) -> T_co | tuple[T_co, ...]:
        return self.items[index]


@frozen(kw_only=True)
class User:
    """A speaker, member or assignee; every field may be ``None``.

    Messages tell the ``email``, insights the ``user_id`` (often an address too).
    """

    id: str | None = None
    name: str | None = None
    email: str | None = None
    user_id: str | None = None
    raw: Mapping[str, JSON] = _raw()


NOBODY: Final = User()
"""The sender of what has none."""


@frozen(kw_only=True)
class Sentiment:
    """``score`` from -1 (negative) to 1; ``suggested`` is negative, neutral or positive."""

    score: float | None = None
    suggested: str | None = None
    raw: Mapping[str, JSON] = _raw()


@frozen(kw_only=True)
class Phrase:
    """A key phrase of a message or an insight; ``type`` is mostly ``"action_phrase"``."""

    text: str = ""
    type: str | None = None
    raw: Mapping[str, JSON] = _raw()


@frozen(kw_only=True)
class Word:
    """One spoken word. ``score`` (0 to 1) is the recognition's, so text has none.

    ``time_offset`` counts seconds from the first word of the conversation, ``duration``
    is in seconds.
    """

    text: str = ""
    start_time: datetime | None = None
    end_time: datetime | None = None
    score: float | None = None
    time_offset: float | None = None
    duration: float | None = None
    speaker_tag: int | None = None
    raw: Mapping[str, JSON] = _raw()


@frozen(kw_only=True)
class EntityValue:
    """What an entity stands for, where the API sends an object: mostly a person."""

    id: str | None = None
    name: str | None = None
    user_id: str | None = None
    alias: str | None = None
    assignee: bool | None = None
    raw: Mapping[str, JSON] = _raw()


@frozen(kw_only=True)
class InsightEntity:
    """Something named in a message or an insight: a person, a date, a span of time.

    ``offset`` counts characters into the text. Ranges (``type`` ends in ``range``) have
    ``start`` or ``end`` in place of ``value``. Times stay the text that the API sends,
    since it tells no time zone.
    """

    type: str | None = None
    text: str = ""
    offset: int | None = None
    value: str | EntityValue | None = None
    start: str | None = None
    end: str | None = None
    raw: Mapping[str, JSON] = _raw()


@frozen(kw_only=True)
class Message:
    """One sentence or turn of the transcript.

    ``sender`` is always a ``User``, perhaps without a name. ``sentiment`` and ``words``
    are there only if asked for, ``entities`` only with redaction or identification on.
    ``time_offset`` and ``duration`` are seconds.
    """

    id: str
    text: str = ""
    sender: User = NOBODY
    start_time: datetime | None = None
    end_time: datetime | None = None
    time_offset: float | None = None
    duration: float | None = None
    conversation_id: str | None = None
    phrases: tuple[Phrase, ...] = ()
    sentiment: Sentiment | None = None
    words: tuple[Word, ...] = ()
    entities: tuple[InsightEntity, ...] = ()
    raw: Mapping[str, JSON] = _raw()


@frozen(kw_only=True)
class ParentRef:
    """The topic above another one, named by its text alone."""

    text: str = ""
    type: str | None = None
    raw: Mapping[str, JSON] = _raw()


@frozen(kw_only=True)
class Topic:
    """A subject of the conversation; ``score`` from 0 to 1. Some answers give no ``id``."""

    id: str | None = None
    text: str = ""
    type: str | None = None
    score: float | None = None
    message_ids: tuple[str, ...] = ()
    parent_refs: tuple[ParentRef, ...] = ()
    sentiment: Sentiment | None = None
    raw: Mapping[str, JSON] = _raw()


@frozen(kw_only=True)
class Insight:
    """What questions, action items and follow-ups have in common.

    ``sender`` is always a ``User``, perhaps without a name. ``score`` is from 0 to 1.
    """

    id: str
    text: str = ""
    type: str | None = None
    score: float | None = None
    message_ids: tuple[str, ...] = ()
    sender: User = NOBODY
    entities: tuple[InsightEntity, ...] = ()
    raw: Mapping[str, JSON] = _raw()


@frozen(kw_only=True)
class Question(Insight):
    """A question that was asked."""


@frozen(kw_only=True)
class ActionItem(Insight):
    """Something to be done, by ``assignee`` and until ``due_by`` where those were said.

    ``definitive`` tells whether who does what is certain.
    """

    assignee: User | None = None
    due_by: datetime | None = None
    definitive: bool | None = None
    phrases: tuple[Phrase, ...] = ()


@frozen(kw_only=True)
class FollowUp(Insight):
    """A meeting, call or message to come; its fields are those of an action item."""

    assignee: User | None = None
    due_by: datetime | None = None
    definitive: bool | None = None
    phrases: tuple[Phrase, ...] = ()


@frozen(kw_only=True)
class ConversationInfo:
    """A conversation's own record: when it was, who took part, the caller's metadata."""

    id: str
    type: str | None = None
    name: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    members: tuple[User, ...] = ()
    metadata: Mapping[str, str] = field(default=_NOTHING, hash=False)
    raw: Mapping[str, JSON] = _raw()
