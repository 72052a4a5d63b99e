from symbl_aio.server.language.analysis_values import Speaker, Utterance
from symbl_aio.server.language.talk_time import measure_talk_time
from tests.server.language.lines import PRIYA, TOM


def test_talk_silence_and_overlap_add_up():
    lines = [
        Utterance("one two three four", PRIYA, 0, 10),
        Utterance("five six", TOM, 8, 20),
        Utterance("seven", None, 30, 40),
        Utterance("eight", PRIYA, 35, 36),
    ]
    found = measure_talk_time(lines)
    assert (found.total, found.talk, found.silence, found.overlap) == (40, 30, 10, 3)
    priya, tom, unknown = found.speakers
    assert (priya.speaker, priya.talk, priya.listen, priya.overlap) == (PRIYA, 11, 19, 3)
    assert [(o.speaker, o.seconds) for o in priya.overlaps] == [(TOM, 2), (None, 1)]
    assert (tom.talk, tom.pace) == (12, 10)
    assert (unknown.speaker, unknown.talk) == (None, 10)


def test_an_empty_conversation_has_no_talk():
    found = measure_talk_time([])
    assert (found.total, found.talk, found.silence, found.speakers) == (0, 0, 0, ())


def test_an_utterance_without_length_has_no_pace():
    (only,) = measure_talk_time([Utterance("Hi", Speaker("4", " "), 5, 5)]).speakers
    assert (only.talk, only.pace) == (0, 0)
