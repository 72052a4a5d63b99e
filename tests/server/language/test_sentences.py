from itertools import pairwise

from symbl_aio.server.language.sentences import TimedText, sentences
from tests.server.language.lines import PRIYA, analyse, analyse_lines
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
        "J. R. R. Tolkien and H. G. Wells wrote it.",
        "We meet at 9 a.m. Monday in the hall.",
        "The U.S. Senate and the U.S. Army agreed.",
        "I will send the report, which is long enough for a wrapped line, to\nGrace by Friday",
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
    assert analyse([]).messages == ()


def test_words_have_times_in_order():
    (message,) = analyse_lines("Fail again, fail better.").messages
    assert [word.text for word in message.words] == ["Fail", "again,", "fail", "better."]
    assert message.words[0].start == message.start
    assert message.words[-1].end == message.end
    assert all(a.end <= b.start for a, b in pairwise(message.words))


@table(
    "text, parts",
    [
        ("We met at 9 a.m. Then we left.", ["We met at 9 a.m.", "Then we left."]),
        ("He lives in the U.S. We do not.", ["He lives in the U.S.", "We do not."]),
        ("Take plan B. It is cheap.", ["Take plan B.", "It is cheap."]),
        ("Hi Tom,\nthanks for\nthe mail", ["Hi Tom,\nthanks for\nthe mail"]),
        ("Hi Tom,\nI am late", ["Hi Tom,", "I am late"]),
        ("one\n\ntwo", ["one", "two"]),
        (
            "Can you\n- call Ann\n- 2 more\n1. print it\nBest regards",
            ["Can you", "- call Ann", "- 2 more", "1. print it", "Best regards"],
        ),
        ("> are you there?\n> yes\nI am", ["> are you there?", "> yes", "I am"]),
    ],
)
def test_lines_and_abbreviations_end_sentences_where_the_next_word_begins_one(
    text: str, parts: list[str]
) -> None:
    assert [message.text for message in analyse_lines(text).messages] == parts


def test_behind_the_most_sentences_the_text_is_cut_by_length() -> None:
    text = "Yes. " * 1000

    found = sentences([TimedText(text, 0.0, 10.0)], most=10)

    assert [piece.text for piece in found[:10]] == ["Yes."] * 10
    assert all(990 < len(piece.text) <= 1000 for piece in found[10:-1])
    assert " ".join(piece.text for piece in found) == text.strip()
    assert len(sentences([TimedText(text, 0.0, 10.0)], most=-3)) == 5
