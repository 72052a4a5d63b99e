"""What was said: the messages of a transcript."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from symbl_aio.models.base import JSON, raw_field
from symbl_aio.models.mentions import InsightEntity
from symbl_aio.models.people import NOBODY, User


@frozen(kw_only=True)
class Sentiment:
    """``score`` from -1 (negative) to 1; ``suggested`` is negative, neutral or positive."""

    score: float | None = None
    suggested: str | None = None
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class Phrase:
    """A key phrase of a message or an insight; ``type`` is mostly ``"action_phrase"``."""

    text: str = ""
    type: str | None = None
    raw: Mapping[str, JSON] = raw_field()


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
    raw: Mapping[str, JSON] = raw_field()


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
    raw: Mapping[str, JSON] = raw_field()


@frozen(kw_only=True)
class FormattedTranscript:
    """A transcript that the server wrote, as ``content_type`` says ("Transcript" page).

    Its Markdown marks line ends with ``<br/>`` and key phrases with ``<mark>``; the time
    stamps of its SRT are irregular.
    """

    text: str = ""
    content_type: str | None = None
    raw: Mapping[str, JSON] = raw_field()
