from itertools import pairwise

from symbl_aio.server.language.pipeline import analyse
from tests.server.language.lines import PRIYA, STARTED_AT, analyse_lines
from tests.tables import table


def test_each_sentence_is_a_message_with_its_share_of_the_time():
    first, second = analyse_lines("Twelve chars. And then come twenty-four more").messages
    assert (first.text, second.text) == ("Twelve chars.", "And then come twenty-four more")
    assert 0.0 == first.start < first.end < second.start < second.end == 10.0
    assert first.speaker is PRIYA


@table(
    "text",
    [
        "Mr. Smith met Dr. Jones at 5 p.m. on the boat.",
        "We grew 3.5 percent, e.g. in Spain.",
        "John F. Kennedy spoke... and people listened.",
        "Bring pens, paper, etc. to the room.",
        "See example.com for more",
        "no end mark at all",
        "Take No. 7 (see fig. 2).",
    ],
)
def test_not_every_full_stop_ends_a_sentence(text):
    assert [message.text for message in analyse_lines(text).messages] == [text]


def test_marks_quotes_and_line_breaks_end_sentences():
    text = "No. Really?! yes… \u201cIt is late.\u201d She left (at last). Vitamin\nC. is   fine"
    assert [message.text for message in analyse_lines(text).messages] == [
        "No.",
        "Really?!",
        "yes…",
        "\u201cIt is late.\u201d",
        "She left (at last).",
        "Vitamin\nC. is   fine",
    ]


def test_blank_text_is_no_message():
    assert analyse_lines("", "   ").messages == ()
    assert analyse([], started_at=STARTED_AT).messages == ()


def test_words_have_times_in_order():
    (message,) = analyse_lines("Fail again, fail better.").messages
    assert [word.text for word in message.words] == ["Fail", "again,", "fail", "better."]
    assert message.words[0].start == message.start
    assert message.words[-1].end == message.end
    assert all(a.end <= b.start for a, b in pairwise(message.words))
