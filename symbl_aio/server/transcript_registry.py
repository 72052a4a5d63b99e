"""Transcripts registered for later uploads, streams and calls: exact, without recognition."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from attrs import frozen

from symbl_aio.server.check_arguments import check_types

# Speech at 150 words a minute, for lines without times.
_SECONDS_PER_WORD = 0.4

# In place of an id or a number: some clients choose an id that the caller never sees.
_EVERY = "*"

_SPEAKER_LINE = re.compile(r"(?P<name>[^\W\d_][\w.'-]*(?: [\w.'-]+){0,3}): (?P<text>\S.*)")


@frozen
class Line:
    """One turn of a transcript; times are seconds from the recording's start, None if unknown."""

    text: str
    speaker: str | None = None
    start: float | None = None
    end: float | None = None
    email: str | None = None


Transcript: TypeAlias = str | Sequence[str | Line]


@frozen
class RegisteredStream:
    """The transcript of a stream or a call; ``paced``: each line comes when it would be spoken."""

    lines: tuple[Line, ...]
    paced: bool = True


@frozen
class Recording:
    """The recording of a call; ``paced`` as in ``RegisteredStream``."""

    path: Path
    paced: bool = True


def parse_transcript(transcript: Transcript) -> tuple[Line, ...]:
    """Return the turns of a transcript. In text, each line is one turn, perhaps ``Name: text``."""
    turns = transcript.splitlines() if isinstance(transcript, str) else tuple(transcript)
    for turn in turns:
        check_types((str, Line), "lines, each a text or a Line(...)", transcript=turn)
    return tuple(_parse_line(turn) for turn in turns if isinstance(turn, Line) or turn.strip())


def assign_times(lines: Iterable[Line], start: float) -> list[tuple[Line, float, float]]:
    """Return each line with its start and end; a line without times follows the one before it.

    Lines without an end have the length of their words, or less if a line with a start follows
    earlier than that.
    """
    turns = list(lines)
    result: list[tuple[Line, float, float]] = []
    at = start
    while (index := len(result)) < len(turns):
        line = turns[index]
        if line.end is not None:
            end = start + line.end
            begin = max(at, end - seconds_of(line.text))
            result.append((line, begin if line.start is None else start + line.start, end))
            at = end
            continue
        at = at if line.start is None else start + line.start
        after = index + 1
        while after < len(turns) and turns[after].start is turns[after].end is None:
            after += 1
        run = turns[index:after]
        lengths = [seconds_of(turn.text) for turn in run]
        spoken = sum(lengths)
        following = turns[after].start if after < len(turns) else None
        room = spoken if following is None else start + following - at
        pace = room / spoken if 0 < room < spoken else 1.0
        for turn, length in zip(run, lengths, strict=True):
            begin, at = at, at + length * pace
            result.append((turn, begin, at))
    return result


def seconds_of(text: str) -> float:
    """Return the seconds in which a text is spoken, if nothing states them."""
    return _SECONDS_PER_WORD * len(text.split())


class TranscriptRegistry:
    """Transcripts by the SHA-256 of an upload, by a name, by a stream or number; one default.

    The default is for uploads.
    """

    def __init__(self, default: Transcript | None) -> None:
        self.default = None if default is None else parse_transcript(default)
        self._by_hash: dict[str, tuple[Line, ...]] = {}
        self._by_name: dict[str, tuple[Line, ...]] = {}
        self._by_stream: dict[str, RegisteredStream] = {}
        self._by_number: dict[str, RegisteredStream] = {}
        self._recordings: dict[str, Recording] = {}

    def register(
        self,
        transcript: Transcript,
        *,
        sha256: str | None = None,
        name: str | None = None,
        stream: str | None = None,
        number: str | None = None,
        paced: bool = True,
    ) -> None:
        """Register a transcript by each key that is given; without one it is the default."""
        lines = parse_transcript(transcript)
        if sha256 is not None:
            self._by_hash[sha256.lower()] = lines
        if name is not None:
            self._by_name[name] = lines
        if stream is not None:
            self._by_stream[stream] = RegisteredStream(lines, paced)
        if number is not None:
            self._by_number[_normal_number(number)] = RegisteredStream(lines, paced)
        if sha256 is name is stream is number is None:
            self.default = lines

    def register_recording(self, path: Path, *, number: str, paced: bool) -> None:
        """Register the recording that a call of a number plays."""
        self._recordings[_normal_number(number)] = Recording(path, paced)

    def recording(self, number: str) -> Recording | None:
        """Return the recording of a phone number or a SIP URI, else of every call, or None."""
        found = self._recordings.get(_normal_number(number))
        return found or self._recordings.get(_normal_number(_EVERY))

    def by_name(self, *names: str | None) -> tuple[Line, ...] | None:
        """Return the transcript of the first name that has one, or None."""
        found = (self._by_name[name] for name in names if name in self._by_name)
        return next(found, None)

    def by_stream(self, connection_id: str) -> RegisteredStream | None:
        """Return the transcript of a connection id, else that of every stream, or None."""
        return self._by_stream.get(connection_id) or self._by_stream.get(_EVERY)

    def by_number(self, number: str) -> RegisteredStream | None:
        """Return the transcript of a phone number or a SIP URI, else of every call, or None."""
        found = self._by_number.get(_normal_number(number))
        return found or self._by_number.get(_normal_number(_EVERY))

    def by_hash(self, sha256: str | None) -> tuple[Line, ...] | None:
        """Return the transcript registered for this content, or None."""
        return self._by_hash.get(sha256) if sha256 else None


def _normal_number(number: str) -> str:
    """Return the digits of a phone number, or a SIP URI in small letters."""
    text = number.strip().lower()
    return text if text.startswith(("sip", _EVERY)) else re.sub(r"\D", "", text)


def _parse_line(turn: str | Line) -> Line:
    if isinstance(turn, Line):
        return turn
    by_name = _SPEAKER_LINE.fullmatch(turn.strip())
    return Line(by_name["text"], by_name["name"]) if by_name else Line(turn.strip())
