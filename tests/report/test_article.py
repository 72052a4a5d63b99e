from __future__ import annotations

import re
from datetime import UTC, datetime

from attrs import evolve

from symbl_aio.report import (
    Content,
    Finding,
    Recording,
    Sentence,
    Speaker,
    TopicFinding,
    render_article,
)
from tests.report.test_elements import Reader

MARKUP = '</script><img src=x onerror="alert(1)"><!-- \u202e ]]>'
CONTENT = Content(
    title="Monday",
    started=datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
    speakers=(Speaker(name="Ann", id="1"), Speaker(name="Bob", id="2")),
    sentences=(
        Sentence(text="Good morning.", speaker=0, start=0, end=1.5, sentiment=0.6),
        Sentence(text="Who writes it?", speaker=0, start=1.5, end=3, sentiment=0.0),
        Sentence(text="I will write it.", speaker=1, start=3, end=65, sentiment=-0.5),
    ),
    action_items=(
        Finding(
            text="I will write it.",
            sentences=(2,),
            person="Bob",
            due=datetime(2026, 3, 6, 17, tzinfo=UTC),
        ),
    ),
    questions=(Finding(text="Who writes it?", sentences=(1,)),),
    topics=(TopicFinding(text="morning", sentences=(0, 2), score=0.9),),
)


def attributes(html: str, tag: str, class_: str) -> list[dict[str, str | None]]:
    return [
        found
        for name, found in Reader(html).tags
        if name == tag and class_ in (found.get("class") or "").split()
    ]


def plain(html: str) -> str:
    return " ".join("".join(Reader(html).texts).split())


def test_turns_have_a_speaker_a_time_and_sentences_with_milliseconds():
    html = render_article(CONTENT, id="r")

    assert len(attributes(html, "div", "turn")) == 2
    assert [
        (one["id"], one["data-from"], one["data-to"])
        for one in attributes(html, "span", "sentence")
    ] == [("r-0", "0", "1500"), ("r-1", "1500", "3000"), ("r-2", "3000", "65000")]
    assert "Ann 0:00 Good morning. Who writes it?" in plain(html.replace("<", " <"))


def test_findings_lead_to_their_sentences():
    html = render_article(CONTENT, id="r")

    links = attributes(html, "a", "cite") + attributes(html, "a", "topic")
    assert [(link["href"], link["data-sentences"]) for link in links] == [
        ("#r-2", "2"),
        ("#r-1", "1"),
        ("#r-0", "0 2"),
    ]
    assert "Bob · due 6 March 2026" in plain(html)


def test_a_finding_without_a_sentence_is_no_link():
    html = render_article(evolve(CONTENT, questions=(Finding(text="Who?"),)))

    assert attributes(html, "span", "cite")
    assert "Who?" in html


def test_the_head_has_date_length_speakers_and_words():
    shown = plain(render_article(CONTENT).replace("</li>", "</li>|"))

    assert "2 March 2026, 09:30 UTC|1:05|2 speakers|9 words" in shown


def test_every_text_of_others_is_escaped():
    sentence = Sentence(text=MARKUP, speaker=0, start=0, end=1)
    finding = Finding(text=MARKUP, sentences=(0,), person=MARKUP)
    html = render_article(
        Content(
            title=MARKUP,
            speakers=(Speaker(name=MARKUP, id=MARKUP),),
            sentences=(sentence, sentence),
            summary=(finding,),
            action_items=(finding,),
            follow_ups=(finding,),
            questions=(finding,),
            topics=(TopicFinding(text=MARKUP, sentences=(0,)),),
            recording=Recording(url=MARKUP),
            rename_url=MARKUP,
        )
    )

    read = Reader(html)
    assert not {"script", "img"} & {tag for tag, _ in read.tags}
    assert not [name for _, found in read.tags for name in found if name.startswith("on")]
    assert "<!--" not in html
    assert "".join(read.texts).count(MARKUP) >= 11


def test_names_and_texts_keep_their_direction_to_themselves():
    html = render_article(CONTENT)

    assert [tag for tag, found in Reader(html).tags if found.get("class") == "who"] == ["bdi"] * 6
    assert all(found["dir"] == "auto" for found in attributes(html, "a", "cite"))


def test_speakers_can_be_renamed_only_where_the_page_names_the_place():
    assert not attributes(render_article(CONTENT), "button", "rename")

    html = render_article(evolve(CONTENT, rename_url="x/members"))

    assert 'data-rename="x/members"' in html
    assert [one["data-member"] for one in attributes(html, "button", "rename")] == ["1", "2"]


def test_a_player_loads_a_link_only_when_it_is_played():
    for url, preload in (("HTTPS://a.test/b.mp3", "none"), ("./b.mp3", "metadata")):
        html = render_article(evolve(CONTENT, recording=Recording(url=url)))
        (player,) = [found for tag, found in Reader(html).tags if tag == "audio"]
        assert (player["src"], player["preload"]) == (url, preload)


def test_what_is_long_is_folded():
    many = tuple(Finding(text=f"Number {n}?", sentences=(0,)) for n in range(40))
    speakers = tuple(Speaker(name=f"Speaker {n}") for n in range(20))
    said = tuple(Sentence(text="Yes.", speaker=n, start=n, end=n + 1) for n in range(20))
    html = render_article(Content(title="x", questions=many, speakers=speakers, sentences=said))

    assert re.findall(r"<summary>([^<]+)</summary>", html) == [
        "Download",
        "32 more",
        "12 more speakers",
    ]
    assert len(attributes(html, "li", "lane-row")) == 20


def test_a_long_turn_has_paragraphs():
    said = tuple(Sentence(text="Yes.", speaker=0, start=n, end=n + 1) for n in range(20))
    html = render_article(Content(title="x", speakers=(Speaker(name="Ann"),), sentences=said))

    assert len(re.findall(r'<p dir="auto">', html)) == 3
    assert re.findall(r'class="at" href="#report-(\d+)">([\d:]+)<', html) == [
        ("0", "0:00"),
        ("8", "0:08"),
        ("16", "0:16"),
    ]


def test_without_any_known_speaker_no_turn_has_a_name():
    html = render_article(Content(title="x", sentences=(Sentence(text="Yes.", start=0, end=1),)))

    assert "Unknown speaker" not in html
    assert plain(html).count("Speech") == 1


def test_nothing_said_is_said_plainly():
    shown = plain(render_article(Content(title="")))

    assert "A conversation" in shown
    assert "This conversation has no transcript." in shown
    assert "No insights were found." in shown


def test_sentences_that_take_no_time_have_no_chart():
    html = render_article(Content(title="x", sentences=(Sentence(text="Yes.", start=0, end=0),)))

    assert "Who spoke when" not in html


def test_headings_begin_at_the_level_of_the_page():
    html = render_article(CONTENT, level=2)

    assert set(re.findall(r"<(h\d)", html)) == {"h2", "h3"}
