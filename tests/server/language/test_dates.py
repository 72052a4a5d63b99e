from datetime import datetime, timedelta

from symbl_aio.server.language.analysis_values import Utterance
from tests.server.language.lines import PRIYA, STARTED_AT, action, analyse
from tests.tables import table


@table(
    "phrase, due",
    [
        ("today", (3, 4)),
        ("tomorrow", (3, 5)),
        ("the day after tomorrow", (3, 6)),
        ("tomorrow at 5 pm", (3, 5, 17)),
        ("at 9:15 tomorrow", (3, 5, 9, 15)),
        ("at 12 a.m. on Friday", (3, 6, 0)),
        ("tonight", (3, 4, 20)),
        ("this afternoon", (3, 4, 15)),
        ("Friday morning", (3, 6, 9)),
        ("by Friday", (3, 6)),
        ("on Wednesday", (3, 11)),
        ("next Wednesday", (3, 11)),
        ("next Tuesday", (3, 10)),
        ("next week", (3, 9)),
        ("next month", (4, 1)),
        ("by the end of the day", (3, 4)),
        ("by the end of the week", (3, 6)),
        ("by the end of next week", (3, 13)),
        ("by the end of the month", (3, 31)),
        ("in half an hour", (3, 4, 10, 30)),
        ("within the next 3 days", (3, 7)),
        ("in two weeks", (3, 18)),
        ("on March 20th", (3, 20)),
        ("on the 2nd", (4, 2)),
        ("on the 14th", (3, 14)),
        ("on March 20, 2026, or so", (3, 20)),
        ("on 2026-05-01", (5, 1)),
        ("by 3/20/2026", (3, 20)),
        ("by 20/3/2026", (3, 20)),
        ("by 20.3.2026", (3, 20)),
        ("on 3/20/26 at 2 pm", (3, 20, 14)),
        ("by 3/20", (3, 20)),
        ("on 1st of May 2026", (5, 1)),
        ("at 3 o'clock", (3, 4, 15)),
        ("before noon", (3, 4, 12)),
        ("at 9 am", (3, 5, 9)),  # today's is over
    ],
)
def test_a_phrase_of_time_makes_an_action_definitive(phrase: str, due: tuple[int, ...]):
    found = action(f"I will write the report {phrase}.")
    assert found is not None
    assert found.definitive
    month, day, hour, minute = (*due, 0, 0)[:4]
    assert found.due == datetime(2026, month, day, hour, minute, tzinfo=STARTED_AT.tzinfo)


def test_a_day_of_the_year_that_is_over_means_the_next_one():
    found = action("I will write the report on March 3.")
    assert found is not None
    assert found.due == datetime(2027, 3, 3, tzinfo=STARTED_AT.tzinfo)


@table(
    "phrase",
    [
        "we had last Friday",
        "of yesterday",
        "on February 30",
        "at 13 pm",
        "soon",
        "of 9/11",
        "on 24/7",
        "on 1/2/3",
        "with Python 3.11.27",
        "at 10.10.20.26",
    ],
)
def test_without_a_time_to_come_an_action_is_indefinite(phrase):
    found = action(f"I will write the report {phrase}.")
    assert found is not None
    assert (found.due, found.definitive) == (None, False)


def test_dates_are_relative_to_the_time_of_the_sentence():
    late = Utterance("I will write it down in half an hour.", PRIYA, 7200, 7203)
    (found,) = analyse([late]).action_items
    assert found.due == STARTED_AT + timedelta(hours=2.5)
