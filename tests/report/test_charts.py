from __future__ import annotations

import re

import pytest

from symbl_aio.report import charts
from symbl_aio.report.content import Content, Sentence, Speaker

ANN, BOB = Speaker(name="Ann"), Speaker(name="Bob")


def content(*sentences: tuple[int | None, float, float], duration: float | None = None) -> Content:
    return Content(
        title="Monday",
        duration=duration,
        speakers=(ANN, BOB),
        sentences=tuple(
            Sentence(text="x", speaker=who, start=start, end=end) for who, start, end in sentences
        ),
    )


def numbers(svg: str, name: str) -> list[float]:
    return [float(found) for found in re.findall(rf' {name}="([\d.]+)%"', svg)]


def test_talk_time_is_of_each_speaker_the_longest_first():
    talks = charts.talk_times(content((0, 0, 2), (1, 2, 8), (None, 8, 10)))

    assert [(talk.speaker, talk.seconds, talk.share) for talk in talks] == [
        (1, 6, 0.6),
        (0, 2, 0.2),
        (None, 2, 0.2),
    ]


def test_a_timeline_shows_when_a_speaker_talks_in_percent_of_the_whole():
    whole = content((0, 0, 5), (1, 5, 10), (0, 10, 20), duration=40)
    ann = charts.talk_times(whole)[0]

    svg = charts.timeline(ann, charts.length_of(whole))

    assert numbers(svg, "x") == [0, 25]
    assert numbers(svg.replace("rx=", ""), "width") == [12.5, 25]


def test_gaps_that_cannot_be_seen_are_closed():
    many = [(0, at * 10.0, at * 10 + 9.9) for at in range(2000)]

    (talk,) = charts.talk_times(content(*many))

    assert talk.spans == ((0.0, 19_999.9),)
    assert talk.seconds == pytest.approx(19_800)


def test_a_conversation_without_times_has_no_charts():
    silent = Content(title="x", sentences=(Sentence(text="Hello."),), duration=60)

    assert charts.length_of(silent) == 0
    assert charts.talk_times(silent) == []
    assert charts.sentiment(silent.sentences, 0) is None


def test_sentiment_is_drawn_above_and_below_zero():
    sentences = [
        Sentence(text="x", start=0, end=5, sentiment=0.8),
        Sentence(text="x", start=5, end=10, sentiment=-0.6),
        Sentence(text="x", start=10, end=15, sentiment=0.1),
    ]

    svg = charts.sentiment(sentences, 15)

    assert svg is not None
    assert re.findall(r'class="(positive|negative|neutral)"', svg) == (
        ["positive"] * 4 + ["negative"] * 4 + ["neutral"] * 4
    )
    # 0.8 reaches 40 % of the height above the middle, -0.6 hangs 30 % below it.
    assert 'y="10.00%" height="40.00%"' in svg
    assert 'y="50.00%" height="30.00%"' in svg


def test_sentiment_of_a_long_talk_is_at_most_120_bars_whose_height_is_the_mean():
    sentences = [
        Sentence(text="x", start=at, end=at + 1, sentiment=0.5 if at % 2 else -0.5)
        for at in range(24_000)
    ]

    svg = charts.sentiment(sentences, 24_000)

    assert svg is not None
    assert svg.count("<rect") == 120
    assert "positive" not in svg


def test_one_sentence_is_no_chart():
    assert charts.sentiment([Sentence(text="x", start=0, end=1, sentiment=1)], 1) is None


@pytest.mark.parametrize(
    "length,last,ticks",
    [
        (4, "0:04", 5),
        (31, "0:30", 4),
        (754, "10:00", 3),
        (4628, "1:15:00", 6),
        (86_400, "24:00:00", 7),
        (86_401, "24:00:00", 4),
        (1_700_000_000, "393520:00:00", 6),
    ],
)
def test_an_axis_has_at_most_seven_round_times(length: float, last: str, ticks: int):
    shown = re.findall(r">([\d:]+)</text>", charts.axis(length))

    assert (shown[0], shown[-1], len(shown)) == ("0:00", last, ticks)


@pytest.mark.parametrize("score,word", [(0.31, "positive"), (0.3, "neutral"), (-0.31, "negative")])
def test_a_sentiment_has_the_word_of_the_api(score: float, word: str):
    assert charts.tone(score) == word
