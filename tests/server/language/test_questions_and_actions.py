from symbl_aio.server.language.values import Speaker
from tests.server.language.lines import PRIYA, TOM, action, analyse_lines
from tests.tables import table


@table(
    "text",
    [
        "Is this a real question?",
        "Why?",
        "what time is it",
        "Okay so do you want to join",
        "Really, how many users have old phones",
    ],
)
def test_a_question_is_found(text):
    (question,) = analyse_lines(text).questions
    assert (question.kind, question.text, question.message) == ("question", text, 0)


@table("text", ["Right?", "Okay?", "He asked why.", "What a day!", "the who concert", "I do that"])
def test_a_sentence_without_a_question_is_none(text):
    assert analyse_lines(text).questions == ()


@table(
    "text, phrase, assignee",
    [
        ("Okay, I'll fix the login by Friday.", "fix the login by Friday", PRIYA),
        ("I\u2019m going to write the release notes.", "write the release notes", PRIYA),
        ("I will also be testing the new build.", "testing the new build", PRIYA),
        ("Let me check the logs.", "check the logs", PRIYA),
        ("The tests are slow, so I need to clean the fixtures", "clean the fixtures", PRIYA),
        ("We will create a small file, and that is it.", "create a small file", None),
        ("Tom will prepare the slides.", "prepare the slides", TOM),
        ("Tom, can you update the tracker?", "update the tracker", TOM),
        ("Could you review my draft, Tom?", "review my draft", TOM),
        ("Tom Becker, update the tracker today.", "update the tracker today", TOM),
        ("Please review the pull request.", "review the pull request", None),
        ("Thanks. Update the wiki, please.", "Update the wiki", None),
        ("Can someone fix the build?", "fix the build", None),
        ("I'd like you to test the app.", "test the app", None),
    ],
)
def test_an_action_item_is_found(text, phrase, assignee):
    found = action(text)
    assert found is not None
    assert found.kind == "action_item"
    assert (found.phrases, found.assignee, found.speaker) == ((phrase,), assignee, PRIYA)
    assert 0.65 <= found.score <= 1


@table(
    "text",
    [
        "I will send you the numbers.",
        "I just need to follow up with the technician first.",
        "Let me check it and get back to you.",
        "Could someone please book a room?",
        "Tom, email the client.",
        "I'll be calling the bank.",
        "Let's schedule a demo with the client.",
    ],
)
def test_contacting_a_person_is_a_follow_up(text):
    found = action(text)
    assert found is not None
    assert found.kind == "follow_up"


@table(
    "text",
    [
        "I won't fix that old thing.",
        "I will not send the file.",
        "Please do not share this link.",
        "Please don't forget the review.",
        "If I will write it down, fine.",
        "That's what I'll build next.",
        "I'll see you tomorrow.",
        "I'm going to be fine.",
        "I'll do that.",
        "Let me know what you think.",
        "Let's start with the agenda.",
        "Can you hear me?",
        "Can you explain the numbers?",
        "You can find it in the folder.",
        "Will I write the report?",
        "Bob will prepare the slides.",
        "Tom will be there.",
        "I have to go.",
        "Ask not what your country can do for you.",
        "Tom, that was a good talk.",
    ],
)
def test_small_talk_is_no_action(text):
    assert action(text) is None


def test_a_first_name_of_two_speakers_is_not_used():
    other = Speaker("3", "Tom Adams")
    found = analyse_lines(
        (PRIYA, "Can you update the tracker, Tom?"), (TOM, "Yes."), (other, "No.")
    )
    assert found.action_items[0].assignee is None
    found = analyse_lines((PRIYA, "Can you update it, Tom Adams?"), (TOM, "Yes."), (other, "No."))
    assert found.action_items[0].assignee == other
