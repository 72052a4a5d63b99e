"""Transcripts to be read by people: Markdown and SRT. API section 6.19."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.language.models import Message

# Speech of one person goes on as one paragraph until a pause as long as this, in seconds.
_PARAGRAPH_PAUSE = 2.0


@frozen
class Format:
    """The body of the call. Only Markdown looks at paragraphs and phrases."""

    paragraphs: bool = False
    speakers: bool = False
    all_phrases: bool = False
    insight_phrases: bool = False


def markdown(about: Conversation, wanted: Format) -> str:
    """One message a line, or paragraphs; key phrases within ``<mark>``."""
    found = about.analysis
    key: dict[int, set[str]] = {}
    if wanted.all_phrases:
        for index, message in enumerate(found.messages):
            key.setdefault(index, set()).update(message.phrases)
    if wanted.all_phrases or wanted.insight_phrases:
        for insight in (*found.action_items, *found.follow_ups):
            key.setdefault(insight.message, set()).update(insight.phrases)
    blocks: list[str] = []
    last: Message | None = None
    for index, message in enumerate(found.messages):
        text = _marked(message.text, key.get(index, ()))
        goes_on = (
            last is not None
            and last.speaker == message.speaker
            and message.start - last.end < _PARAGRAPH_PAUSE
        )
        if wanted.paragraphs and goes_on:
            blocks[-1] += f" {text}"
        else:
            blocks.append(_named(message, wanted) + text)
        last = message
    return "<br/><br/>".join(blocks)


def srt(about: Conversation, wanted: Format) -> str:
    """One numbered subtitle for each message."""
    return "\n\n".join(
        f"{number}\n{_clock(message.start)} --> {_clock(message.end)}\n"
        f"{_named(message, wanted)}{message.text}"
        for number, message in enumerate(about.analysis.messages, 1)
    )


def _named(message: Message, wanted: Format) -> str:
    if not wanted.speakers or message.speaker is None or not message.speaker.name:
        return ""
    return f"{message.speaker.name}: "


def _marked(text: str, phrases: Iterable[str]) -> str:
    # The longest first, and never a phrase inside one that is marked already.
    done = text
    for phrase in sorted(phrases, key=len, reverse=True):
        if phrase and phrase in text and f"<mark>{phrase}" not in done:
            pieces = done.split("<mark>")
            if any(phrase in piece.partition("</mark>")[0] for piece in pieces[1:]):
                continue
            done = done.replace(phrase, f"<mark>{phrase}</mark>", 1)
    return done


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d},{rest % 1000:03d}"
