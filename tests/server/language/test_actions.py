from symbl_aio.server.language.analysis_values import Speaker
from tests.server.language.lines import PRIYA, TOM, action, analyse_lines
from tests.tables import table

# Named, and not among the speakers.
BOB = Speaker("", "Bob")
ANN_LEE = Speaker("", "Mary Ann Lee")


@table(
    "text, phrase, assignee",
    [
        ("Okay, I'll fix the login by Friday.", "fix the login by Friday", PRIYA),
        ("I\u2019m going to write the release notes.", "write the release notes", PRIYA),
        ("I will also be testing the new build.", "testing the new build", PRIYA),
        ("Let me check the logs.", "check the logs", PRIYA),
        ("The tests are slow, so I need to clean the fixtures", "clean the fixtures", PRIYA),
        ("We will create a small file, and that is it.", "create a small file", None),
        ("Bob will prepare the slides.", "prepare the slides", BOB),
        ("Mary Ann Lee has to sign the form today.", "sign the form today", ANN_LEE),
        ("Bob, can you look at ticket 12 today?", "look at ticket 12 today", BOB),
        ("Okay, Bob, please update the wiki.", "update the wiki", BOB),
        ("Could you review my draft, Bob?", "review my draft", BOB),
        ("Guys, can you look at ticket 12?", "look at ticket 12", None),
        ("Absolutely, could you send the deck today?", "send the deck today", None),
        ("Tomorrow, can you test the app?", "test the app", None),
        ("The action item for Tom is to update the deck.", "update the deck", None),
        ("Reminder: submit timesheets by Friday.", "submit timesheets by Friday", None),
        ("I forgot it, but I will do it tonight.", "do it tonight", PRIYA),
        ("I'm sending the contract over today.", "sending the contract over today", PRIYA),
        ("I'll have to check the logs.", "check the logs", PRIYA),
        ("We are going to need to fix the login.", "fix the login", None),
        ("Would it be possible to get the contract?", "get the contract", None),
        ("So @Bob please update the wiki.", "update the wiki", BOB),
        ("Action item: Bob to write the notes.", "write the notes", BOB),
        ("The team must deliver the prototype by Friday.", "deliver the prototype by Friday", None),
        ("Tom will prepare the slides.", "prepare the slides", TOM),
        ("Tom, can you update the tracker?", "update the tracker", TOM),
        ("Could you review my draft, Tom?", "review my draft", TOM),
        ("Tom Becker, update the tracker today.", "update the tracker today", TOM),
        ("Please review the pull request.", "review the pull request", None),
        ("Thanks. Update the wiki, please.", "Update the wiki", None),
        ("Can someone fix the build?", "fix the build", None),
        ("I'd like you to test the app.", "test the app", None),
        ("Bob will update the wiki by Wednesday.", "update the wiki by Wednesday", BOB),
        ("I will send the report to Tom by Friday.", "send the report to Tom by Friday", PRIYA),
        ("We need to print the badges by the tenth.", "print the badges by the tenth", None),
        ("It would be great if you could sign it.", "sign it", None),
        ("Action item for Tom: check the price.", "check the price", TOM),
        ("So um I I'll uh clean the the fixtures", "clean the the fixtures", PRIYA),
        ("@Tom don't forget to add the link", "add the link", TOM),
        ("- Order new cards", "Order new cards", None),
        ("We agreed that Tom sends out the invitations.", "sends out the invitations", None),
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
        "I will send you an email.",
        "I just need to follow up with the technician first.",
        "Let me check it and get back to you.",
        "Could someone please book a room?",
        "Tom, email the client.",
        "I'll be calling the bank.",
        "Let's schedule a demo with the client.",
        "Please, call me on Tuesday.",
        "Can we set up some time on Thursday?",
        "I'll let you know by Friday.",
        "Let me know by Wednesday.",
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
        "Tom will be there.",
        "I have to go.",
        "Ask not what your country can do for you.",
        "Tom, that was a good talk.",
        "We have to make it small.",
        "We should add a light so that you can see it.",
        "Could you do that with Excel?",
        "I'll go through the agenda.",
        "I'm going to present the findings.",
        "If you have any questions, please call me.",
        "Please find attached the report.",
        "Please find the minutes of our call attached.",
        "Let's look at the budget.",
        "I'm sending the contract.",
        "I'll do it.",
        "I'll have to go.",
        "We will need to be careful.",
        "Is it possible to get the contract?",
        "> I will send the report.",
        "The plants will be moved separately.",
        "We will talk about colours next time.",
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
