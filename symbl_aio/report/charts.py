"""Charts as SVG: the speaker's timeline, shares of talk time, and sentiment over time.

Places are percent of the width, so that a chart has the width of its column and needs neither
a script nor a style attribute, which the page's Content-Security-Policy forbids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Final

from attrs import frozen

from symbl_aio.report.content import Content, Sentence
from symbl_aio.report.elements import Html, element, join

_BUCKETS: Final = 120
"""Bars of the sentiment chart, at most."""
_NEUTRAL: Final = 0.3
"""Sentiment up to this, on both sides of 0, is neutral, as in the API."""
_TICKS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_MOST_TICKS: Final = 6


@frozen
class Talk:
    """The talk time of one speaker."""

    speaker: int | None
    """The position in ``Content.speakers``; ``None`` for unknown speakers."""
    seconds: float
    """Talk time in seconds."""
    share: float
    """Share of the total talk time, 0.0 to 1.0."""
    spans: tuple[tuple[float, float], ...]
    """When the speaker talks: start and end, in seconds."""


def length_of(content: Content) -> float:
    """Return the seconds of a conversation; 0.0 if it has no times."""
    last = max((sentence.end or 0.0 for sentence in content.sentences), default=0.0)
    return max(last, content.duration or 0.0) if last else 0.0


def talk_times(content: Content) -> list[Talk]:
    """Return the talk time of each speaker, the longest first; none without times."""
    spans: dict[int | None, list[tuple[float, float]]] = {}
    for sentence in content.sentences:
        if sentence.start is not None and sentence.end is not None:
            spans.setdefault(sentence.speaker, []).append((sentence.start, sentence.end))
    seconds = {who: sum(end - start for start, end in found) for who, found in spans.items()}
    total = sum(seconds.values())
    # Gaps too narrow to be seen are closed: a long talk is few rectangles.
    gap = length_of(content) / 300
    talks = [
        Talk(who, seconds[who], seconds[who] / total if total else 0.0, _merged(found, gap))
        for who, found in spans.items()
    ]
    return sorted(talks, key=lambda talk: -talk.seconds)


def _merged(spans: Iterable[tuple[float, float]], gap: float) -> tuple[tuple[float, float], ...]:
    merged: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if merged and start - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def timeline(talk: Talk, length: float) -> Html:
    """Draw when one speaker talks."""
    bars = [
        element(
            "rect",
            x=_percent(start / length),
            width=_percent(max((end - start) / length, 0.002)),
            height="100%",
            rx=2,
        )
        for start, end in talk.spans
    ]
    return _svg("lane", join(bars), _playhead())


def share_bar(share: float) -> Html:
    """Draw a speaker's share of the talk time."""
    return _svg("share", element("rect", width=_percent(share), height="100%", rx=2))


def sentiment(sentences: Sequence[Sentence], length: float) -> Html | None:
    """Draw the mean sentiment over time; ``None`` if fewer than two sentences have one."""
    known = [
        (sentence.start, sentence.end, max(-1.0, min(1.0, sentence.sentiment)))
        for sentence in sentences
        if sentence.start is not None
        and sentence.end is not None
        and sentence.sentiment is not None
    ]
    if len(known) < 2 or not length:
        return None
    count = min(_BUCKETS, max(12, len(known)))
    weights, sums = [0.0] * count, [0.0] * count
    for start, end, score in known:
        first = min(int(start / length * count), count - 1)
        last = min(int(end / length * count), count - 1)
        for bucket in range(first, last + 1):
            left, right = bucket * length / count, (bucket + 1) * length / count
            weight = max(min(end, right) - max(start, left), 1e-6)
            weights[bucket] += weight
            sums[bucket] += weight * score
    bars = [
        _bar(bucket / count, 1 / count, sums[bucket] / weights[bucket])
        for bucket in range(count)
        if weights[bucket]
    ]
    zero = element("line", class_="zero", x1=0, x2="100%", y1="50%", y2="50%")
    return _svg("feeling", join(bars), zero, _playhead())


def _bar(left: float, width: float, score: float) -> Html:
    height = max(abs(score) / 2, 0.015)
    return element(
        "rect",
        class_=tone(score),
        x=_percent(left + width * 0.1),
        width=_percent(width * 0.8),
        y=_percent(0.5 - height if score > 0 else 0.5),
        height=_percent(height),
        rx=1,
    )


def tone(score: float) -> str:
    """Return the word for a sentiment: positive, neutral or negative."""
    if abs(score) <= _NEUTRAL:
        return "neutral"
    return "positive" if score > 0 else "negative"


def axis(length: float) -> Html:
    """Draw the times below the charts, at most six of them."""
    step = next(
        (tick for tick in _TICKS if length / tick <= _MOST_TICKS),
        # Of days or years, as where one of the times is 1970.
        ceil(length / _MOST_TICKS / _TICKS[-1]) * _TICKS[-1],
    )
    ticks: list[Html] = []
    at = 0
    while at <= length:
        place = at / length
        anchor = "start" if place < 0.02 else "end" if place > 0.96 else "middle"
        ticks.append(element("text", clock(at), x=_percent(place), y="0.9em", text_anchor=anchor))
        at += step
    return _svg("axis", join(ticks))


def clock(seconds: float) -> str:
    """Return a time as people write it, such as 1:05 or 1:02:05."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _svg(kind: str, *inside: Html) -> Html:
    # The numbers stand beside each chart as text.
    return element("svg", *inside, class_=f"chart {kind}", aria_hidden="true", focusable="false")


def _playhead() -> Html:
    return element("line", class_="playhead", y1=0, y2="100%", x1=0, x2=0)


def _percent(share: float) -> str:
    return f"{max(0.0, min(1.0, share)) * 100:.2f}%"
