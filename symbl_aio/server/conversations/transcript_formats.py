"""Transcripts for people: Markdown and SRT. API section 6.19."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.language.analysis_values import Message

# A pause of this many seconds ends a paragraph, even of the same speaker.
_PARAGRAPH_PAUSE = 2.0


@frozen
class TranscriptFormat:
    """Options of the call. Paragraphs and phrases apply to Markdown only."""

    paragraphs: bool = False
    speakers: bool = False
    all_phrases: bool = False
    insight_phrases: bool = False


def markdown(conversation: Conversation, options: TranscriptFormat) -> str:
    """Return one message per line, or paragraphs; key phrases are in ``<mark>``."""
    analysis = conversation.analysis
    phrases_of: dict[int, set[str]] = {}
    if options.all_phrases:
        for index, message in enumerate(analysis.messages):
            phrases_of.setdefault(index, set()).update(message.phrases)
    if options.all_phrases or options.insight_phrases:
        for insight in (*analysis.action_items, *analysis.follow_ups):
            phrases_of.setdefault(insight.message, set()).update(insight.phrases)
    # A list for each block: a paragraph may have every message of a long conversation.
    blocks: list[list[str]] = []
    last: Message | None = None
    for index in conversation.message_order:
        message = analysis.messages[index]
        text = _highlight(message.text, phrases_of.get(index, ()))
        same_paragraph = (
            last is not None
            and last.speaker == message.speaker
            and message.start - last.end < _PARAGRAPH_PAUSE
        )
        if options.paragraphs and same_paragraph:
            blocks[-1].append(text)
        else:
            blocks.append([_speaker_prefix(message, options) + text])
        last = message
    return "<br/><br/>".join(map(" ".join, blocks))


def srt(conversation: Conversation, options: TranscriptFormat) -> str:
    """Return one numbered subtitle per message."""
    messages = conversation.analysis.messages
    in_order = (messages[index] for index in conversation.message_order)
    return "\n\n".join(
        f"{number}\n{_timestamp(message.start)} --> {_timestamp(message.end)}\n"
        f"{_speaker_prefix(message, options)}{message.text}"
        for number, message in enumerate(in_order, 1)
    )


def _speaker_prefix(message: Message, options: TranscriptFormat) -> str:
    if not options.speakers or message.speaker is None or not message.speaker.name:
        return ""
    return f"{message.speaker.name}: "


def _highlight(text: str, phrases: Iterable[str]) -> str:
    # The longest phrase first; a phrase inside a marked one is not marked again.
    result = text
    for phrase in sorted(phrases, key=len, reverse=True):
        if phrase and phrase in text and f"<mark>{phrase}" not in result:
            pieces = result.split("<mark>")
            if any(phrase in piece.partition("</mark>")[0] for piece in pieces[1:]):
                continue
            result = result.replace(phrase, f"<mark>{phrase}</mark>", 1)
    return result


def _timestamp(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d},{rest % 1000:03d}"
