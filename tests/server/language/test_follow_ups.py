from symbl_aio.server.language.follow_ups import is_follow_up
from tests.tables import table


@table(
    "task",
    [
        "call ann on monday",
        "get back to you",
        "set up a short call",
        "send her an invitation",
        "meet again next week",
        "talk to the bank",
        "give them a call",
        "let you know",
        "check with the lawyers",
        "sync up again tomorrow",
        "reconvene at 2 pm",
        "discuss this in the next meeting",
        "go over the budget on our next call",
    ],
)
def test_contacting_a_person_is_a_follow_up(task: str) -> None:
    assert is_follow_up(task)


@table(
    "task",
    [
        "send the report to grace",
        "email you the offer",
        "call it a day",
        "talk about the budget",
        "discuss the next meeting",
        "sync the folders",
        "set up the server",
        "meet the deadline",
        "tell you a story",
        "book the hotel",
    ],
)
def test_work_and_talk_are_none(task: str) -> None:
    assert not is_follow_up(task)
