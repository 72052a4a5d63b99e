"""The transcript: messages, words, key phrases and sentiment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from symbl_aio.models.base import JSON, Model, raw_field
from symbl_aio.models.mentions import InsightEntity
from symbl_aio.models.people import NOBODY, User

__all__ = ["FormattedTranscript", "Message", "Phrase", "Sentiment", "Word"]


@frozen(kw_only=True)
class Sentiment(Model):
    """The sentiment of a message or topic: a number, and the server's word for it."""

    score: float | None = None
    """Polarity, -1.0 (negative) to 1.0 (positive)."""
    suggested: str | None = None
    """``"negative"``, ``"neutral"`` (-0.3 to 0.3) or ``"positive"``."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class Phrase(Model):
    """A key phrase of a message or an insight; ``type`` is mostly ``"action_phrase"``."""

    text: str = ""
    """The phrase itself."""
    type: str | None = None
    """Its kind, mostly ``"action_phrase"``."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class Word(Model):
    """One spoken word ("Get messages" page, with ``verbose``)."""

    text: str = ""
    """The word itself."""
    start_time: datetime | None = None
    """When it began, UTC."""
    end_time: datetime | None = None
    """When it ended, UTC."""
    score: float | None = None
    """Confidence of the recognition, 0.0 to 1.0; ``None`` in written conversations."""
    time_offset: float | None = None
    """Seconds from the first word of the conversation."""
    duration: float | None = None
    """Its length in seconds."""
    speaker_tag: int | None = None
    """The number of the speaker's voice; newer hosts only."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class Message(Model):
    """One sentence or turn of the transcript ("Get messages" page).

    ``sender`` is always a ``User``, perhaps without a name. ``sentiment`` and ``words``
    are present only on request, ``entities`` only with redaction or identification on.
    """

    id: str
    """The message's id."""
    text: str = ""
    """The words of the speaker."""
    sender: User = NOBODY
    """The speaker; ``NOBODY`` if unknown."""
    start_time: datetime | None = None
    """When it began, UTC."""
    end_time: datetime | None = None
    """When it ended, UTC."""
    time_offset: float | None = None
    """Seconds from the first word of the conversation."""
    duration: float | None = None
    """Its length in seconds."""
    conversation_id: str | None = None
    """The conversation to which it belongs."""
    phrases: tuple[Phrase, ...] = ()
    """Phrases that carry an action; only with ``detect_phrases``."""
    sentiment: Sentiment | None = None
    """Its sentiment; only with ``messages(sentiment=True)``."""
    words: tuple[Word, ...] = ()
    """Each word with its time; only with ``messages(verbose=True)``."""
    entities: tuple[InsightEntity, ...] = ()
    """The entities that it names; only with redaction or identification on."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class FormattedTranscript(Model):
    """A transcript that the server formatted ("Transcript" page).

    Its Markdown marks line ends with ``<br/>`` and key phrases with ``<mark>``; the time
    stamps of its SRT are irregular.
    """

    text: str = ""
    """The whole transcript."""
    content_type: str | None = None
    """Its form: ``"text/markdown"`` or ``"text/srt"``."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""
