"""The content of a report: plain values, which any reader of a conversation can fill.

Sentences, speakers and findings refer to each other by their position in the lists of
``Content``. Times are seconds from the start of the recording.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from attrs import field, frozen

__all__ = ["Content", "Finding", "Recording", "Sentence", "Speaker", "TopicFinding"]


@frozen(kw_only=True)
class Speaker:
    """A person whose sentences are in the transcript."""

    name: str
    """The name to show."""
    id: str | None = None
    """The member's id, under which the name can be changed; ``None`` if it cannot."""


@frozen(kw_only=True)
class Sentence:
    """One sentence of the transcript."""

    text: str
    """The words, as they are."""
    speaker: int | None = None
    """The position in ``Content.speakers``; ``None`` if unknown."""
    start: float | None = None
    """When it begins, in seconds; ``None`` for a conversation without times."""
    end: float | None = None
    """When it ends, in seconds; ``None`` for a conversation without times."""
    sentiment: float | None = None
    """Polarity from -1.0 (negative) to 1.0 (positive); ``None`` if unknown."""


@frozen(kw_only=True)
class Finding:
    """An action item, a follow-up, a question, or a paragraph of the summary."""

    text: str
    """The finding in words."""
    sentences: tuple[int, ...] = ()
    """The positions in ``Content.sentences`` from which it was drawn."""
    person: str | None = None
    """The assignee, or the person who asked; ``None`` if unknown."""
    due: datetime | None = None
    """When it is due; ``None`` if no time was named."""


@frozen(kw_only=True)
class TopicFinding:
    """A subject of the conversation."""

    text: str
    """The subject, a word or a few."""
    sentences: tuple[int, ...] = ()
    """The positions in ``Content.sentences`` of the sentences about it."""
    score: float | None = None
    """How important it is, 0.0 to 1.0; ``None`` if unknown."""


@frozen(kw_only=True)
class Recording:
    """The recording, for the player of the page. See ``symbl_aio.report.recording``."""

    url: str = field(repr=lambda url: repr(url[:40]))
    """An http(s) or ``data:`` URL, or a path relative to the page."""
    kind: Literal["audio", "video"] = "audio"
    """Which player to show."""


@frozen(kw_only=True)
class Content:
    """Everything that one report shows."""

    title: str
    """The title of the conversation."""
    started: datetime | None = None
    """When it began; ``None`` if unknown."""
    duration: float | None = None
    """Its length in seconds; ``None`` for the end of the last sentence."""
    speakers: tuple[Speaker, ...] = ()
    """The people, in the order in which they first speak."""
    sentences: tuple[Sentence, ...] = ()
    """The transcript, in order."""
    summary: tuple[Finding, ...] = ()
    """The summary, in paragraphs."""
    action_items: tuple[Finding, ...] = ()
    """The tasks."""
    follow_ups: tuple[Finding, ...] = ()
    """The meetings, calls and messages to come."""
    questions: tuple[Finding, ...] = ()
    """The questions."""
    topics: tuple[TopicFinding, ...] = ()
    """The subjects, the most important first."""
    recording: Recording | None = None
    """The recording; ``None`` for a page without a player."""
    rename_url: str | None = None
    """Where the page sends ``PUT <rename_url>/<Speaker.id>`` with ``{"name": …}`` to rename a
    speaker, on its own host; ``None`` for a page on which nothing can be changed."""
