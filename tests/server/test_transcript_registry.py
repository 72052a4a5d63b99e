from __future__ import annotations

from symbl_aio.server.transcript_registry import (
    Line,
    TranscriptRegistry,
    assign_times,
    parse_transcript,
)


def test_text_has_one_turn_a_line_and_perhaps_a_speaker() -> None:
    lines = parse_transcript(
        "Ann: Hello.\n\nGood morning. It is 9:30.\nDr. Bob Lee: Yes: really.\n12:30 is fine."
    )

    assert [(line.speaker, line.text) for line in lines] == [
        ("Ann", "Hello."),
        (None, "Good morning. It is 9:30."),
        ("Dr. Bob Lee", "Yes: really."),
        (None, "12:30 is fine."),
    ]


def test_lines_are_used_unchanged() -> None:
    line = Line("Hello.", "Ann", 1.0, 2.0)

    assert parse_transcript([line, "Bob: Hi."]) == (line, Line("Hi.", "Bob"))


def test_a_line_without_times_follows_the_line_before_it() -> None:
    lines = [Line("One two."), Line("Three.", None, 5.0, 7.0), Line("Four."), Line("x", None, 9.0)]

    times = [(start, end) for _, start, end in assign_times(lines, 10.0)]

    assert times == [(10.0, 10.8), (15.0, 17.0), (17.0, 17.4), (19.0, 19.4)]


def test_a_transcript_is_found_by_content_by_name_or_for_all() -> None:
    known = TranscriptRegistry("Default.")
    known.register("By name.", sha256=None, name="talk")
    known.register("By content.", sha256="AB", name=None)

    assert known.by_name(None, "other", "talk") == (Line("By name."),)
    assert known.by_name("other") is None
    assert known.by_hash("ab") == (Line("By content."),)
    assert known.by_hash(None) is None
    assert known.default == (Line("Default."),)
    known.register("New default.", sha256=None, name=None)
    assert known.default == (Line("New default."),)


def test_there_may_be_no_transcript() -> None:
    assert TranscriptRegistry(None).default is None


def test_a_transcript_may_be_for_one_stream_or_number_or_for_every_one() -> None:
    known = TranscriptRegistry(None)
    known.register("Any.", stream="*", number="*")
    known.register("One.", stream="meeting", number="+1 (555) 123", paced=False)

    streams = [known.by_stream(identity) for identity in ("meeting", "other")]
    calls = [known.by_number(number) for number in ("1555123", "sip:a@example.com")]
    for found in (streams, calls):
        assert [(f.lines[0].text, f.paced) for f in found if f] == [("One.", False), ("Any.", True)]
    assert known.default is None
