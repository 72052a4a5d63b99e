import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbl_aio.server.language.analysis_values import Utterance
from symbl_aio.server.language.talk_time import measure_talk_time
from tests.server.language.lines import PRIYA, TOM, analyse, analyse_lines


def test_results_below_the_threshold_are_left_out():
    lines = (
        "I'll fix the login.",
        "Is it late?",
        "We need to update the budget.",
        "The pension plan grew.",
        "One pension plan costs more.",
    )
    everything = analyse_lines(*lines, confidence_threshold=0)
    assert {i.score for i in everything.action_items} == {0.9, 0.75}
    above_threshold = analyse_lines(*lines, confidence_threshold=0.9)
    assert [i.text for i in above_threshold.action_items] == ["I'll fix the login."]
    assert len(above_threshold.questions) == 1
    assert {topic.score for topic in everything.topics} == {0.729, 1.0}
    assert [topic.score for topic in above_threshold.topics] == [1.0]
    assert analyse_lines(*lines, confidence_threshold=1.0).questions == ()


def test_message_phrases_are_included_on_request():
    text = "I'll fix the login."
    assert analyse_lines(text).messages[0].phrases == ()
    assert analyse_lines(text, detect_phrases=True).messages[0].phrases == ("fix the login",)


SPOKEN = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.sampled_from(
            "I'll we can you please send Tom Priya the report by Friday at 5 pm in 9999999 weeks "
            "on February 30 $3 12% ? . ! , budget it's what".split()
        ),
        max_size=15,
    ).map(" ".join),
)
UTTERANCES = st.lists(
    st.builds(
        lambda text, who, start, length: Utterance(text, who, start, start + length),
        SPOKEN,
        st.sampled_from([None, PRIYA, TOM]),
        st.floats(0, 1e5),
        st.floats(0, 1e3),
    ),
    max_size=6,
)


@given(UTTERANCES, st.integers(0, 6))
def test_appending_never_changes_the_messages_before(utterances, cut):
    before = analyse(utterances[:cut])
    after = analyse(utterances)
    assert after.messages[: len(before.messages)] == before.messages


@given(UTTERANCES)
def test_every_reference_and_offset_is_valid(utterances):
    found = analyse(utterances, detect_entities=True, detect_phrases=True)
    assert found == analyse(utterances, detect_entities=True, detect_phrases=True)
    for message in found.messages:
        assert message.text == message.text.strip() != ""
        assert message.start <= message.end
        assert -1 <= message.sentiment <= 1
    for insight in found.questions + found.action_items + found.follow_ups:
        assert insight.text == found.messages[insight.message].text
    for entity in found.entities:
        text = found.messages[entity.message].text
        assert text[entity.offset : entity.offset + len(entity.text)] == entity.text
    for topic in found.topics:
        assert list(topic.messages) == sorted(set(topic.messages))
        assert topic.messages[-1] < len(found.messages)
    times = measure_talk_time(utterances)
    assert times.talk + times.silence == pytest.approx(times.total, abs=0.01)
    assert times.overlap <= times.talk + 0.01
