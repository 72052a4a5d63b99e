"""One conversation as an HTML article: transcript, highlights, charts and player."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

from symbl_aio.report import charts
from symbl_aio.report.charts import Talk, clock
from symbl_aio.report.content import Content, Finding, Sentence
from symbl_aio.report.elements import Html, element, fill, join, text

__all__ = ["UNTITLED", "render_article"]

UNTITLED: Final = "A conversation"
"""The title of a conversation without one."""
_COLOURS: Final = 8
_SHOWN: Final = 8
"""Findings, and speakers' lanes, that are shown at once; the others are folded away."""
_SENTENCES_OF_PARAGRAPH: Final = 8
"""Sentences of one paragraph, at most: a long turn is read in paragraphs."""


def render_article(
    content: Content, *, id: str = "report", level: int = 1, label: str | None = None
) -> Html:
    """Return a conversation as an ``<article>``, for a page that has ``report.css``.

    ``id`` is unique on the page, and begins each id in the article; ``level`` is that of its
    heading. ``label`` distinguishes its parts, for a screen reader, from those of another
    article with the same title. ``activate(article)`` of ``report.js`` makes it interactive.
    """
    label = label or content.title or UNTITLED
    length = charts.length_of(content)
    talks = charts.talk_times(content)
    overview = _overview(content, talks, length, id, level + 1, label)
    highlights = _highlights(content, id, level + 1, label)
    parts = [("transcript", "Transcript"), ("highlights", "Highlights")]
    parts += [("overview", "Who spoke when")] if overview else []
    parts += [("player", "Player")] if content.recording else []
    rename = f' data-rename="{text(content.rename_url)}"' if content.rename_url else ""
    return fill(
        "article.html",
        id=id,
        level=level,
        sublevel=level + 1,
        title=content.title or UNTITLED,
        label=label,
        rename=Html(rename),
        facts=_facts(content, length),
        jumps=join([element("a", name, href=f"#{id}-{part}") for part, name in parts]),
        people=_people(content),
        turns=_turns(content, id),
        highlights=highlights,
        overview=overview,
        player=_player(content, id, label),
    )


def _facts(content: Content, length: float) -> Html:
    words = sum(len(sentence.text.split()) for sentence in content.sentences)
    facts: list[Html] = []
    if content.started is not None:
        facts.append(date(content.started))
    if length:
        facts.append(text(clock(length)))
    if content.speakers:
        facts.append(text(_count(len(content.speakers), "speaker")))
    facts.append(text(_count(words, "word")))
    return join([element("li", fact) for fact in facts])


def date(instant: datetime, *, time: bool = True) -> Html:
    """Return an instant as text for people, in UTC: a page has no place where it is read."""
    instant = instant.astimezone(UTC)
    # The day by hand: the flag that omits its zero differs between systems.
    words = (
        f"{instant.day} {instant:%B %Y, %H:%M UTC}" if time else f"{instant.day} {instant:%B %Y}"
    )
    return element("time", words, datetime=instant.isoformat())


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _colour(speaker: int | None) -> str:
    return "s-none" if speaker is None else f"s{speaker % _COLOURS}"


def _name(content: Content, speaker: int | None) -> Html:
    # Isolated: a name written from right to left must not turn its line around.
    nameless = "Unknown speaker" if content.speakers else "Speech"
    name = nameless if speaker is None else content.speakers[speaker].name
    return element("bdi", name, class_="who", data_speaker=speaker)


def _people(content: Content) -> Html:
    chips: list[Html] = []
    for number, speaker in enumerate(content.speakers):
        dot = element("span", class_="dot", aria_hidden="true")
        chips.append(
            element(
                "button",
                dot,
                _name(content, number),
                type="button",
                class_=f"chip person {_colour(number)}",
                data_speaker=number,
                aria_pressed="false",
            )
        )
        if content.rename_url and speaker.id is not None:
            chips.append(
                element(
                    "button",
                    "✎",
                    type="button",
                    class_="rename",
                    data_speaker=number,
                    data_member=speaker.id,
                    aria_label=f"Rename {speaker.name}",
                )
            )
    return join(chips)


def _turns(content: Content, id: str) -> Html:
    if not content.sentences:
        return element("p", "This conversation has no transcript.", class_="none")
    turns: list[Html] = []
    numbered = list(enumerate(content.sentences))
    for speaker, group in groupby(numbered, key=lambda pair: pair[1].speaker):
        said = list(group)
        parts: list[Html] = []
        for first in range(0, len(said), _SENTENCES_OF_PARAGRAPH):
            inside = said[first : first + _SENTENCES_OF_PARAGRAPH]
            # Where no speaker is known at all, the same two words above each turn say nothing.
            named = first == 0 and bool(content.speakers)
            head = [_name(content, speaker)] if named else []
            number, sentence = inside[0]
            if sentence.start is not None:
                place = f"#{id}-{number}"
                head.append(element("a", clock(sentence.start), class_="at", href=place))
            if head:
                parts.append(element("p", *head, class_="head"))
            sentences = join([_sentence(number, one, id) for number, one in inside], " ")
            parts.append(element("p", sentences, dir="auto"))
        turns.append(element("div", *parts, class_=f"turn {_colour(speaker)}"))
    return join(turns, "\n")


def _sentence(number: int, sentence: Sentence, id: str) -> Html:
    return element(
        "span",
        sentence.text,
        id=f"{id}-{number}",
        class_="sentence",
        tabindex=-1,
        data_from=None if sentence.start is None else round(sentence.start * 1000),
        data_to=None if sentence.end is None else round(sentence.end * 1000),
    )


def _highlights(content: Content, id: str, level: int, label: str) -> Html:
    sections = [
        _findings("Summary", content.summary, id, level, label),
        _findings("Action items", content.action_items, id, level, label),
        _findings("Follow-ups", content.follow_ups, id, level, label),
        _findings("Questions", content.questions, id, level, label),
        _topics(content, id, level, label),
    ]
    found = [section for section in sections if section]
    return join(found) if found else element("p", "No insights were found.", class_="none")


def _findings(title: str, findings: Sequence[Finding], id: str, level: int, label: str) -> Html:
    if not findings:
        return Html("")
    items = [_finding(finding, id) for finding in findings]
    shown = [element("ul", *items[:_SHOWN])]
    if len(items) > _SHOWN + 1:
        more = element("summary", f"{len(items) - _SHOWN} more")
        shown.append(element("details", more, element("ul", *items[_SHOWN:])))
    else:
        shown = [element("ul", *items)]
    kind = title.lower().replace(" ", "-")
    count = element("span", str(len(items)), class_="number") if kind != "summary" else Html("")
    heading = element(f"h{level}", title, " ", count)
    return element("section", heading, *shown, class_=kind, aria_label=f"{title} of {label}")


def _finding(finding: Finding, id: str) -> Html:
    more = [element("bdi", finding.person)] if finding.person else []
    if finding.due is not None:
        more.append(Html("due " + date(finding.due, time=False)))
    words = _link(finding.text, finding.sentences, id)
    return element("li", words, *([element("small", join(more, " · "))] if more else []))


def _topics(content: Content, id: str, level: int, label: str) -> Html:
    if not content.topics:
        return Html("")
    items = [
        element("li", _link(topic.text, topic.sentences, id, class_="chip topic"))
        for topic in content.topics
    ]
    heading = element(f"h{level}", "Topics")
    return element(
        "section",
        heading,
        element("ul", *items),
        class_="topics",
        aria_label=f"Topics of {label}",
    )


def _link(words: str, sentences: Sequence[int], id: str, class_: str = "cite") -> Html:
    """Return a link to the first of some sentences, or the words alone if there is none."""
    if not sentences:
        return element("span", words, class_=class_, dir="auto")
    return element(
        "a",
        words,
        href=f"#{id}-{sentences[0]}",
        class_=class_,
        dir="auto",
        data_sentences=" ".join(map(str, sentences)),
    )


def _overview(
    content: Content, talks: list[Talk], length: float, id: str, level: int, label: str
) -> Html:
    if not talks or not length:
        return Html("")
    lanes = [_lane(content, talk, length) for talk in talks]
    more = Html("")
    if len(lanes) > _SHOWN + 1:
        words = element("summary", f"{len(lanes) - _SHOWN} more speakers")
        more = element("details", words, element("ul", *lanes[_SHOWN:], class_="lanes"))
        lanes = lanes[:_SHOWN]
    return fill(
        "who_spoke_when.html",
        id=id,
        label=label,
        sublevel=level,
        lanes=join(lanes),
        more=more,
        feeling=_feeling(content, length),
        axis=charts.axis(length),
    )


def _lane(content: Content, talk: Talk, length: float) -> Html:
    dot = element("span", class_="dot", aria_hidden="true")
    label = element("span", dot, _name(content, talk.speaker), class_="label")
    figures = element(
        "span",
        charts.share_bar(talk.share),
        element("span", f"{talk.share:.0%}, {clock(talk.seconds)}"),
        class_="figures",
    )
    lane = charts.timeline(talk, length)
    return element("li", label, lane, figures, class_=f"lane-row {_colour(talk.speaker)}")


def _feeling(content: Content, length: float) -> Html:
    chart = charts.sentiment(content.sentences, length)
    if chart is None:
        return Html("")
    tones = [charts.tone(one.sentiment) for one in content.sentences if one.sentiment is not None]
    counts = element(
        "span",
        *(
            element("span", f"{tones.count(tone)} {tone}", class_=tone)
            for tone in ("positive", "negative")
        ),
        class_="figures",
    )
    return element(
        "div",
        element("span", "Sentiment", class_="label"),
        chart,
        counts,
        class_="lane-row feelings",
    )


def _player(content: Content, id: str, label: str) -> Html:
    recording = content.recording
    if recording is None:
        return Html("")
    # A link is fetched when the reader plays it, not when the page is opened.
    remote = recording.url.lower().startswith(("http:", "https:"))
    return fill(
        "player.html",
        id=id,
        label=label,
        kind=recording.kind,
        url=recording.url,
        preload="none" if remote else "metadata",
    )
