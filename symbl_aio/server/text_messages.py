"""The messages of a text submission: when the first was said, and what utterances they become."""

from __future__ import annotations

from datetime import datetime, timedelta

from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.http_json import JSON, parse_instant
from symbl_aio.server.language.analysis_values import Speaker, Utterance
from symbl_aio.server.transcript_registry import Line, assign_times, seconds_of


def text_utterances(conversation: Conversation, messages: JSON) -> list[Utterance]:
    """Return the utterances of a text submission in the order of their times.

    One without times follows the one before it. The conversation begins with the earliest.
    """
    if (earliest := earliest_instant(_timed(messages))) is not None:
        conversation.begin_at(earliest)
    lines = []
    speakers: list[Speaker | None] = []
    for item in messages if isinstance(messages, list) else []:
        assert isinstance(item, dict)
        payload, sender, times = item["payload"], item.get("from") or {}, item.get("duration") or {}
        assert isinstance(payload, dict)
        assert isinstance(sender, dict)
        assert isinstance(times, dict)
        start = _offset(conversation, times.get("startTime"))
        end = _offset(conversation, times.get("endTime"))
        lines.append(Line(str(payload["content"]), None, start, end))
        # Members have their address under the other name.
        name, user_id = sender.get("name"), sender.get("userId") or sender.get("email")
        speakers.append(
            conversation.get_or_add_speaker(
                str(name) if name else None, str(user_id) if user_id else None
            )
        )
    utterances = [
        # An end before the start must not give a negative length.
        Utterance(line.text, speaker, start, max(start, end))
        for (line, start, end), speaker in zip(
            assign_times(lines, conversation.duration), speakers, strict=True
        )
    ]
    return sorted(utterances, key=lambda utterance: utterance.start)


def earliest_instant(messages: JSON) -> datetime | None:
    """Return the start of the earliest of text messages; None if none has a time.

    Messages without times come before the one that follows them. Raises ValueError for bad
    ISO 8601.
    """
    found: list[datetime] = []
    before: list[str] = []
    for item in messages if isinstance(messages, list) else []:
        assert isinstance(item, dict)
        payload, times = item["payload"], item.get("duration") or {}
        assert isinstance(payload, dict)
        assert isinstance(times, dict)
        start, end = _instant(times.get("startTime")), _instant(times.get("endTime"))
        if start is None and (end is not None or not found):
            before.append(str(payload["content"]))
        if (first := start or end) is not None:
            found.append(first - timedelta(seconds=sum(map(seconds_of, before))))
            before.clear()
    return min(found, default=None)


def _timed(messages: JSON) -> list[JSON]:
    """Return the text messages that have a time."""
    found: list[JSON] = []
    for item in messages if isinstance(messages, list) else []:
        times = item.get("duration") if isinstance(item, dict) else None
        if isinstance(times, dict) and (times.get("startTime") or times.get("endTime")):
            found.append(item)
    return found


def _instant(text: JSON) -> datetime | None:
    return parse_instant(text) if isinstance(text, str) and text else None


def _offset(conversation: Conversation, text: JSON) -> float | None:
    """Return the seconds from the end of the conversation to a time.

    Never before its start: an end may be, if it is before the start of its own message.
    """
    if (instant := _instant(text)) is None:
        return None
    at = (instant - conversation.started_at).total_seconds()
    # assign_times() adds the duration of the conversation again.
    return max(0.0, at) - conversation.duration
