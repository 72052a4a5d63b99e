from tests.server.language.lines import analyse_lines
from tests.tables import table


@table(
    "text",
    [
        "Is this a real question?",
        "Why?",
        "what time is it",
        "Okay so do you want to join",
        "Really, how many users have old phones",
        "Where does the train leave.",
        "anyone in the office",
        "what about Friday",
        "wait which folder",
    ],
)
def test_a_question_is_found(text):
    (question,) = analyse_lines(text).questions
    assert (question.kind, question.text, question.message) == ("question", text, 0)


@table(
    "text",
    [
        "Right?",
        "Okay?",
        "Huh?",
        "You know?",
        "> Is it late?",
        "What I mean is this.",
        "He asked why.",
        "What a day!",
        "the who concert",
        "I do that",
    ],
)
def test_a_sentence_without_a_question_is_none(text):
    assert analyse_lines(text).questions == ()
