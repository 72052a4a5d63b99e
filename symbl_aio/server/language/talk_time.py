"""Talk, silence, overlap and pace of each speaker, computed from times alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from symbl_aio.server.language.values import Analytics, Overlap, Speaker, SpeakerTime, Utterance

_Span = tuple[float, float]


def measure_talk_time(utterances: Sequence[Utterance]) -> Analytics:
    """Measure a conversation. Speakers come in the order of their first utterance."""
    spans: dict[Speaker | None, list[_Span]] = {}
    counts: dict[Speaker | None, int] = {}
    for utterance in utterances:
        spans.setdefault(utterance.speaker, []).append(
            (utterance.start, max(utterance.start, utterance.end))
        )
        counts[utterance.speaker] = counts.get(utterance.speaker, 0) + len(utterance.text.split())
    spans_by_speaker = {speaker: _union(own) for speaker, own in spans.items()}
    total = max((end for own in spans_by_speaker.values() for _, end in own), default=0.0)
    talk = _length(_union(span for own in spans_by_speaker.values() for span in own))
    speakers = []
    for speaker, own in spans_by_speaker.items():
        others = {
            other: other_spans
            for other, other_spans in spans_by_speaker.items()
            if other != speaker
        }
        shared = {
            other: _length(_common(own, other_spans)) for other, other_spans in others.items()
        }
        others_union = _union(span for other_spans in others.values() for span in other_spans)
        length = _length(own)
        speakers.append(
            SpeakerTime(
                speaker,
                talk=_round(length),
                listen=_round(_length(others_union) - _length(_common(own, others_union))),
                pace=round(counts[speaker] * 60 / length, 1) if length else 0.0,
                overlap=_round(_length(_common(own, others_union))),
                overlaps=tuple(Overlap(other, _round(s)) for other, s in shared.items() if s),
            )
        )
    return Analytics(
        total=_round(total),
        talk=_round(talk),
        silence=_round(total - talk),
        overlap=_round(_overlap(spans_by_speaker.values())),
        speakers=tuple(speakers),
    )


def _overlap(tracks: Iterable[Sequence[_Span]]) -> float:
    """Return the seconds during which two or more speakers talk."""
    # Sweep over the starts (+1) and ends (-1) of all spans.
    edges = sorted(edge for track in tracks for a, b in track for edge in ((a, 1), (b, -1)))
    seconds, talking, since = 0.0, 0, 0.0
    for at, step in edges:
        seconds += at - since if talking > 1 else 0.0
        talking, since = talking + step, at
    return seconds


def _union(spans: Iterable[_Span]) -> list[_Span]:
    """Merge overlapping spans."""
    joined: list[_Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _common(first: Sequence[_Span], second: Sequence[_Span]) -> list[_Span]:
    """Intersect two unions in one pass."""
    common: list[_Span] = []
    i = j = 0
    while i < len(first) and j < len(second):
        start, end = max(first[i][0], second[j][0]), min(first[i][1], second[j][1])
        if start < end:
            common.append((start, end))
        if first[i][1] < second[j][1]:
            i += 1
        else:
            j += 1
    return common


def _length(spans: Iterable[_Span]) -> float:
    return sum(end - start for start, end in spans)


def _round(seconds: float) -> float:
    return round(seconds, 3)
