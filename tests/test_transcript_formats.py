import json
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from symbl_aio import Message, Text, Utterance, talk_time, to_markdown, to_srt, to_text, to_webvtt
from symbl_aio._protocol.decode_models import decode_list
from symbl_aio.models import User
from symbl_aio.testing import LocalSymbl
from tests.names import is_control
from tests.support import QUICK
from tests.tables import table

BEGAN = datetime(2024, 3, 5, 8, 0, tzinfo=UTC)
INES, OMAR = User(id="a", name="Ines"), User(email="omar@harbour.example")


def message(
    text: str, sender: User = INES, start: float | None = None, duration: float | None = None
) -> Message:
    return Message(id="1", text=text, sender=sender, time_offset=start, duration=duration)


TALK = [
    message("The bridge\n\nopens.", INES, 0.0, 2.25),
    message("On Tuesday --> not <before>.", INES, 2.25, 1.5),
    message("Who & when?", OMAR, 3725.5, 1.0),
]


def test_a_text_has_a_line_for_each_message():
    assert to_text(TALK) == (
        "Ines: The bridge opens.\n"
        "Ines: On Tuesday --> not <before>.\n"
        "omar@harbour.example: Who & when?\n"
    )
    assert to_text(TALK[2:], speakers=False) == "Who & when?\n"


def test_srt_has_a_numbered_subtitle_for_each_message():
    assert to_srt(TALK) == (
        "1\n00:00:00,000 --> 00:00:02,250\nInes: The bridge opens.\n\n"
        "2\n00:00:02,250 --> 00:00:03,750\nInes: On Tuesday -> not <before>.\n\n"
        "3\n01:02:05,500 --> 01:02:06,500\nomar@harbour.example: Who & when?\n"
    )
    assert "Ines" not in to_srt(TALK, speakers=False)


def test_webvtt_has_the_speakers_as_voices_and_nothing_that_could_be_markup():
    assert to_webvtt(TALK) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:02.250\n<v Ines>The bridge opens.\n\n"
        "00:00:02.250 --> 00:00:03.750\n<v Ines>On Tuesday --&gt; not &lt;before&gt;.\n\n"
        "01:02:05.500 --> 01:02:06.500\n<v omar@harbour.example>Who &amp; when?\n"
    )
    assert "<v" not in to_webvtt(TALK, speakers=False)


def test_markdown_has_a_paragraph_for_each_turn():
    assert to_markdown(TALK) == (
        "**Ines** 00:00:00\n\n"
        "The bridge opens. On Tuesday --\\> not \\<before\\>.\n\n"
        "**omar@harbour.example** 01:02:05\n\n"
        "Who & when?\n"
    )
    assert to_markdown(TALK[2:], times=False) == "**omar@harbour.example**\n\nWho & when?\n"
    assert to_markdown([message("Hm.", User())], times=False) == "Hm.\n"


@table(
    "text,written",
    [
        ("# 1 *b* _c_", "\\# 1 \\*b\\* \\_c\\_"),
        ("- no list", "\\- no list"),
        ("1. no list", "1\\. no list"),
        ("1) no list", "1\\) no list"),
        ("---", "\\---"),
        ("-", "\\-"),
        ("AT&T &lt;b&gt; &#60;", "AT&T \\&lt;b\\&gt; \\&\\#60;"),
        ("-5 degrees, 1.5 m", "-5 degrees, 1.5 m"),
    ],
)
def test_markdown_takes_nothing_that_was_said_for_markup(text, written):
    assert to_markdown([message(text, User())], times=False) == f"{written}\n"


def test_nothing_said_is_nothing_written():
    assert (to_text([]), to_srt([]), to_markdown([]), talk_time([])) == ("", "", "", ())
    assert to_webvtt([]) == "WEBVTT\n"


def at(seconds: float | None, length: float | None = None, text: str = "Hm.") -> Message:
    start = None if seconds is None else BEGAN + timedelta(seconds=seconds)
    end = None if start is None or length is None else start + timedelta(seconds=length)
    return Message(id="1", text=text, start_time=start, end_time=end)


def spans(messages: list[Message]) -> list[str]:
    return [line for line in to_srt(messages).splitlines() if " --> " in line]


def test_times_are_counted_from_the_earliest_message_where_offsets_are_missing():
    mixed = Message(id="1", text="Hm.", time_offset=7.0, start_time=BEGAN)
    assert spans([at(12, 3), mixed]) == [
        "00:00:12,000 --> 00:00:15,000",
        "00:00:00,000 --> 00:00:01,000",
    ]


def test_what_tells_no_length_stays_until_it_can_be_read_or_the_next_one_comes():
    assert spans([at(0, text="x" * 60), at(10), at(10.5)]) == [
        "00:00:00,000 --> 00:00:04,000",
        "00:00:10,000 --> 00:00:10,500",
        "00:00:10,500 --> 00:00:11,500",
    ]


def test_what_tells_no_time_follows_what_came_before():
    assert spans([at(0, 2), at(None), at(None)]) == [
        "00:00:00,000 --> 00:00:02,000",
        "00:00:02,000 --> 00:00:03,000",
        "00:00:03,000 --> 00:00:04,000",
    ]


seconds = st.floats(-1e6, 1e6) | st.sampled_from([None, float("nan"), float("inf")])


@given(st.lists(st.builds(message, st.text(max_size=20), st.sampled_from([INES, OMAR]), seconds,
                          seconds), max_size=6))  # fmt: skip
def test_every_subtitle_ends_after_it_begins_and_holds_one_line(messages):
    blocks = to_srt(messages).split("\n\n") if messages else []
    assert len(blocks) == len(messages)
    for number, block in enumerate(blocks, 1):
        first, span, *text = block.strip("\n").split("\n")
        begins, ends = span.split(" --> ")
        assert first == str(number)
        assert len(text) <= 1
        assert len(begins) > len(ends) - 2
        assert tuple(map(int, begins.replace(",", ":").split(":"))) < tuple(
            map(int, ends.replace(",", ":").split(":"))
        )


def test_times_of_which_the_sum_is_infinite_are_written():
    assert len(spans([message("Hm.", INES, 1e308, 1e308)] * 2)) == 2


def test_talk_time_is_added_up_by_speaker_the_longest_first():
    ines, omar = talk_time([*TALK, message("Hm.", INES)])

    assert (ines.speaker, ines.seconds, ines.messages) == (INES, 3.75, 3)
    assert (omar.speaker, omar.seconds, omar.share) == (OMAR, 1.0, 1.0 / 4.75)
    assert talk_time([at(0, 2), at(5, -1)])[0].seconds == 2.0
    assert talk_time([message("Hm.", INES, duration=1e308)] * 2)[0].share == 1.0
    assert talk_time([message("Hm.")])[0].share == 0.0


def test_the_samples_give_subtitles():
    answer = json.loads((Path(__file__).parent / "samples" / "messages.json").read_text())

    assert to_srt(decode_list(Message, answer, "messages")).startswith("1\n00:00:00,000 --> ")


async def test_what_the_server_knows_is_written_without_asking_it_again(server: LocalSymbl):
    talk = Text([Utterance("Hello Omar.", speaker="Ines"), Utterance("Hello.", speaker="Omar")])
    async with server.client(**QUICK) as symbl:
        messages = await (await symbl.process(talk)).messages()
        asked = len(server.requests)
        written = to_text(messages), to_srt(messages), to_webvtt(messages), to_markdown(messages)
        assert all("Hello Omar." in text for text in written)
        assert {time.speaker.name for time in talk_time(messages)} == {"Ines", "Omar"}
        assert len(server.requests) == asked


@given(st.characters())
def test_of_all_characters_only_spaces_and_line_breaks_are_made_one_space(character: str) -> None:
    """No-break spaces, joiners and ideographic spaces are what somebody wrote."""
    breaks = character == " " or is_control(character)
    said = message(f"a{character}b", User(name=f"N{character}o"))
    kept = " " if breaks else character

    assert to_text([said]) == f"N{kept}o: a{kept}b\n"
    assert f"N{kept}o: a{kept}b\n" in to_srt([said])
    assert f"a{character}b".replace(character, kept) in unescape(to_webvtt([said]))


@table("space", "\u00a0\u202f\u3000\u2009\u200d\u200c")
def test_spaces_of_other_scripts_are_kept(space: str) -> None:
    said = message(f"10{space}000", User(name=f"Mme{space}Durand"))
    for write in (to_text, to_srt, to_webvtt, to_markdown):
        assert f"10{space}000" in write([said])
        assert f"Mme{space}Durand" in write([said])
