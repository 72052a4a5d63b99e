"""Transcripts from messages, without a request: text, Markdown, SRT, WebVTT, talk time.

::

    Path("standup.srt").write_text(to_srt(await conversation.messages()))

Pure functions of the messages, in their order. The position of a message in time is its
``time_offset`` if every message has one, else its ``start_time``, counted from the earliest.
A message without times follows the one before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from math import isfinite
from typing import Final

from attrs import frozen

from symbl_aio.models import Message, User

__all__ = ["TalkTime", "talk_time", "to_markdown", "to_srt", "to_text", "to_webvtt"]

_CHARACTERS_PER_SECOND: Final = 15
"""Characters that a person reads, for messages without a duration."""

_LATEST: Final = 1e12
"""Seconds of a position and of a length, at most: sums of more may be infinite."""

_MARKDOWN: Final = re.compile(r"([\\`*_\[\]<>#|~]|&(?=#?\w+;))")
_BREAKS: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
"""The control characters and line breaks of ``_fields.CONTROLS``, and spaces."""
_LIST: Final = re.compile(r"^(\d*)([-+.)])(?=[-\s]|$)")


def to_text(messages: Iterable[Message], *, speakers: bool = True) -> str:
    """Return one line for each message, ``Name: text``."""
    return "".join(f"{_line(message, speakers)}\n" for message in messages)


def to_markdown(messages: Iterable[Message], *, times: bool = True) -> str:
    """Return a paragraph for each turn: a speaker's messages up to the next speaker.

    Its heading is the speaker's name and, with ``times``, the start of the turn.
    """
    blocks: list[str] = []
    speaker: str | None = None
    for message, start, _ in positions(list(messages)):
        text = _LIST.sub(r"\1\\\2", _escape_markdown(_one_line(message.text)))
        if speaker == speaker_key(message.sender):
            blocks[-1] += f" {text}"
            continue
        speaker = speaker_key(message.sender)
        name = _escape_markdown(speaker_name(message.sender))
        heading = [f"**{name}**"] if name else []
        if times:
            heading.append(_clock(start, ".")[:-4])
        if heading:
            blocks.append(" ".join(heading))
        blocks.append(text)
    return "".join(f"{block}\n\n" for block in blocks)[:-1]


def to_srt(messages: Iterable[Message], *, speakers: bool = True) -> str:
    """Return SubRip subtitles, one for each message."""
    return "\n".join(
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n"
        f"{_line(message, speakers).replace('-->', '->')}\n"
        for number, (message, start, end) in enumerate(positions(list(messages)), 1)
    )


def to_webvtt(messages: Iterable[Message], *, speakers: bool = True) -> str:
    """Return WebVTT subtitles, one for each message, the speaker as its voice."""
    cues = ["WEBVTT\n"]
    for message, start, end in positions(list(messages)):
        text = escape(_one_line(message.text), quote=False)
        if speakers and (name := escape(speaker_name(message.sender), quote=False)):
            text = f"<v {name}>{text}"
        cues.append(f"{_clock(start, '.')} --> {_clock(end, '.')}\n{text}\n")
    return "\n".join(cues)


@frozen
class TalkTime:
    """Talk time of one speaker."""

    speaker: User
    """The speaker."""
    seconds: float
    """Talk time in seconds."""
    share: float
    """Share of the total talk time, 0.0 to 1.0."""
    messages: int
    """Number of messages."""


def talk_time(messages: Iterable[Message]) -> tuple[TalkTime, ...]:
    """Return the total talk time of each speaker, the longest first.

    A speaker is known by the id, else by the address or name; those without any are one.
    """
    found: dict[str, list[Message]] = {}
    for message in messages:
        found.setdefault(speaker_key(message.sender), []).append(message)
    seconds = {speaker: sum(_length(m) or 0.0 for m in theirs) for speaker, theirs in found.items()}
    total = sum(seconds.values())
    times = [
        TalkTime(
            theirs[0].sender,
            seconds[speaker],
            seconds[speaker] / total if total else 0.0,
            len(theirs),
        )
        for speaker, theirs in found.items()
    ]
    return tuple(sorted(times, key=lambda time: time.seconds, reverse=True))


def speaker_key(sender: User) -> str:
    """Return the text by which a speaker is known; empty for an unknown one."""
    return sender.id or sender.email or sender.user_id or sender.name or ""


def speaker_name(sender: User) -> str:
    """Return a speaker's name on one line; empty for an unknown one."""
    return _one_line(sender.name or sender.email or sender.user_id or "")


def _one_line(text: str) -> str:
    # An empty line would end a subtitle, and a paragraph. Other spaces are the speaker's own:
    # no-break ones of French numbers, the ideographic one of Japanese.
    return _BREAKS.sub(" ", text).strip(" ")


def _line(message: Message, speakers: bool) -> str:
    name = speaker_name(message.sender) if speakers else ""
    text = _one_line(message.text)
    return f"{name}: {text}" if name else text


def _escape_markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def _clock(milliseconds: int, point: str) -> str:
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def _length(message: Message) -> float | None:
    """Return the seconds of a message, if it has them."""
    if message.duration is not None and isfinite(message.duration):
        return min(_LATEST, max(0.0, message.duration))
    if message.start_time is None or message.end_time is None:
        return None
    return max(0.0, (message.end_time - message.start_time).total_seconds())


def positions(messages: Sequence[Message]) -> list[tuple[Message, int, int]]:
    """Return each message with its first and last millisecond; the last is the later one."""
    starts = _starts(messages)
    timed: list[tuple[Message, int, int]] = []
    before = 0.0
    for index, message in enumerate(messages):
        start = starts[index]
        start = before if start is None else min(_LATEST, max(0.0, start))
        length = _length(message)
        if not length:
            length = max(1.0, len(message.text) / _CHARACTERS_PER_SECOND)
            following = starts[index + 1] if index + 1 < len(starts) else None
            if following is not None and following > start:
                length = min(length, following - start)
        before = start + length
        first = round(start * 1000)
        timed.append((message, first, max(first + 1, round(before * 1000))))
    return timed


def has_times(messages: Iterable[Message]) -> bool:
    """Return whether a message has a time of its own, so that positions are not all estimates."""
    return any(m.start_time is not None or m.time_offset is not None for m in messages)


def _starts(messages: Sequence[Message]) -> list[float | None]:
    offsets = [message.time_offset for message in messages]
    if all(offset is not None and isfinite(offset) for offset in offsets):
        return offsets
    known = [message.start_time for message in messages if message.start_time is not None]
    first = min(known, default=None)
    return [
        None
        if first is None or message.start_time is None
        else (message.start_time - first).total_seconds()
        for message in messages
    ]
