"""Talk, silence, overlap and pace of each speaker, computed from times alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice, permutations

from symbl_aio.server.language.analysis_values import (
    Analytics,
    Overlap,
    Speaker,
    SpeakerTime,
    Utterance,
)

_Span = tuple[float, float]


# Speakers at the same time for which each pair is measured: of a crowd all talk at once,
# and the pairs of a crowd are its square.
_MAX_TOGETHER = 16


def measure_talk_time(utterances: Sequence[Utterance]) -> Analytics:
    """Measure a conversation. Speakers come in the order of their first utterance.

    Seconds in which more than sixteen speakers talk count as overlap, but of no pair.
    """
    spans: dict[Speaker | None, list[_Span]] = {}
    counts: dict[Speaker | None, int] = {}
    for utterance in utterances:
        spans.setdefault(utterance.speaker, []).append(
            (utterance.start, max(utterance.start, utterance.end))
        )
        counts[utterance.speaker] = counts.get(utterance.speaker, 0) + len(utterance.text.split())
    turns = {speaker: _union(own) for speaker, own in spans.items()}
    total = max((own[-1][1] for own in turns.values()), default=0.0)
    talk = _length(_union(span for own in turns.values() for span in own))
    shared = _Sweep(list(turns), list(turns.values()))
    speakers = []
    for number, (speaker, own) in enumerate(turns.items()):
        length = _length(own)
        speakers.append(
            SpeakerTime(
                speaker,
                talk=_round(length),
                # The speaker listens while only others talk.
                listen=_round(talk - length),
                pace=round(counts[speaker] * 60 / length, 1) if length else 0.0,
                overlap=_round(shared.overlap_of[number]),
                overlaps=shared.overlaps(number),
            )
        )
    return Analytics(
        total=_round(total),
        talk=_round(talk),
        silence=_round(total - talk),
        overlap=_round(shared.overlap),
        speakers=tuple(speakers),
    )


class _Sweep:
    """Times at which two or more speakers talk, found in one pass over all starts and ends."""

    def __init__(
        self, speakers: Sequence[Speaker | None], turns: Sequence[Sequence[_Span]]
    ) -> None:
        self.overlap = 0.0
        self.overlap_of = [0.0] * len(speakers)
        self._speakers = speakers
        self._pairs: dict[int, dict[int, float]] = {}
        # At the same time ends (0) come before starts (1).
        edges = sorted(
            edge
            for number, own in enumerate(turns)
            for start, end in own
            for edge in ((start, 1, number), (end, 0, number))
            if end > start
        )
        talking: dict[int, float] = {}
        since = 0.0
        for at, is_start, number in edges:
            if len(talking) > 1:
                self.overlap += at - since
                self._add_pairs(talking, at - since)
            since = at
            if is_start:
                talking[number] = self.overlap
            else:
                # While a speaker talks, each second of overlap is also the speaker's own.
                self.overlap_of[number] += self.overlap - talking.pop(number)

    def overlaps(self, number: int) -> tuple[Overlap, ...]:
        """Return the seconds that a speaker shares with each other one, in their order."""
        shared = self._pairs.get(number, {})
        return tuple(
            Overlap(self._speakers[other], seconds)
            for other in sorted(shared)
            if (seconds := _round(shared[other]))
        )

    def _add_pairs(self, talking: Iterable[int], seconds: float) -> None:
        numbers = list(islice(talking, _MAX_TOGETHER + 1))
        if len(numbers) > _MAX_TOGETHER or not seconds:
            return
        for first, second in permutations(numbers, 2):
            of_first = self._pairs.setdefault(first, {})
            of_first[second] = of_first.get(second, 0.0) + seconds


def _union(spans: Iterable[_Span]) -> list[_Span]:
    """Merge overlapping spans."""
    joined: list[_Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _length(spans: Iterable[_Span]) -> float:
    return sum(end - start for start, end in spans)


def _round(seconds: float) -> float:
    return round(seconds, 3)
