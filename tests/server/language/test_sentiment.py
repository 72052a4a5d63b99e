from symbl_aio.server.language.sentiment import sentiment_score
from tests.server.language.lines import analyse_lines
from tests.tables import table


@table(
    "text, low, high",
    [
        ("This is great, thank you so much!", 0.3, 1),
        ("That was a terrible outage.", -1, -0.3),
        ("It is not good.", -1, 0),
        ("It isn\u2019t bad.", 0, 1),
        ("The meeting is at five.", 0, 0),
        ("We found critical fixes with low risk.", 0, 0),
    ],
)
def test_sentiment_is_the_sign_of_the_words(text, low, high):
    assert low <= analyse_lines(text).messages[0].sentiment <= high


def test_what_follows_but_counts_more():
    assert sentiment_score("It is slow but good.") > 0 > sentiment_score("It is good but slow.")


@table("text", ["No problem.", "Not bad!", "I can't wait.", "Don\u2019t worry."])
def test_set_phrases_with_bad_words_are_not_bad(text):
    assert sentiment_score(text) > 0


@table(
    "text",
    [
        "I don't think this is a good idea.",
        "We do not believe that it is a great plan.",
        "I don't like it.",
        "It did not really work.",
        "It could be better.",
    ],
)
def test_what_is_denied_or_wished_better_is_bad(text):
    assert sentiment_score(text) < 0


@table(
    "text",
    ["What kind of plan is it?", "Best regards,", "Good morning, everyone.", "I would like to go."],
)
def test_forms_with_good_words_are_neutral(text):
    assert sentiment_score(text) == 0
