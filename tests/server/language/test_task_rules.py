from __future__ import annotations

from symbl_aio.server.language.task_rules import Demand, task_at
from tests.tables import table


@table(
    "text, demand, task",
    [
        ("make a list", Demand.OBJECT, "make a list"),
        ("just also fix it", Demand.OBJECT, "fix it"),
        ("be testing the build", Demand.OBJECT, "testing the build"),
        ("check it and call ann", Demand.TASK, "call ann"),
        ("review and approve", Demand.ASKED, "review and approve"),
        ("look into the costs", Demand.TASK, "look into the costs"),
        ("add a light by friday", Demand.OFFICE, "add a light by friday"),
        ("print the badges by friday", Demand.DATED, "print the badges by friday"),
        ("let me know by noon", Demand.ASKED, "let me know by noon"),
        ("print 200 flyers", Demand.COMMAND, "print 200 flyers"),
        ("print flyers", Demand.LISTED, "print flyers"),
    ],
)
def test_a_task_is_found_at_its_verb(text: str, demand: Demand, task: str) -> None:
    offset = task_at(text, 0, demand)
    assert offset is not None
    assert text[offset:] == task


@table(
    "text, demand",
    [
        ("be fine", Demand.OBJECT),
        ("not send the file", Demand.OBJECT),
        ("do that", Demand.OBJECT),
        ("give you a quick overview", Demand.OBJECT),
        ("explain the numbers", Demand.ASKED),
        ("check it", Demand.TASK),
        ("add a light", Demand.OFFICE),
        ("print the badges", Demand.DATED),
        ("print flyers", Demand.COMMAND),
        ("let me know", Demand.ASKED),
        ("print the badges", Demand.CONTACT),
        ("", Demand.OBJECT),
    ],
)
def test_other_words_are_no_task(text: str, demand: Demand) -> None:
    assert task_at(text, 0, demand) is None
