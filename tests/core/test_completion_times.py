import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbl_aio._core.polls import CompletionTimes

AGES = st.lists(st.floats(0, 1e5), min_size=8, max_size=400)


def habits_of(*ages: float, share: float = 0.1) -> CompletionTimes:
    habits = CompletionTimes(share)
    for age in ages:
        habits.add(age)
    return habits


def questions(habits: CompletionTimes, start: float = 0.0) -> list[float]:
    asked: list[float] = []
    while (age := habits.next_age(asked[-1] if asked else start)) is not None:
        asked.append(age)
    return asked


def test_a_few_jobs_tell_nothing():
    habits = habits_of(*range(1, 8))
    assert not habits.known
    assert habits.next_age(0) is None

    habits.add(8)
    assert habits.known
    assert (habits.youngest, habits.median) == (1, 5)


def test_at_a_constant_rate_of_ends_the_intervals_are_the_share_of_the_median():
    habits = habits_of(*range(1, 257), *range(1, 257), share=0.05)
    first, second, *_ = questions(habits)

    # One in 256 ends each second, and the median is 129.
    interval = 0.05 * (129 * 256) ** 0.5
    assert first == pytest.approx(interval, rel=0.1)
    assert second - first < first, "the fewer are left, the sooner one of them ends"


def test_an_age_at_which_none_ended_is_passed_over():
    habits = habits_of(*(10 + n / 100 for n in range(100)), *(500 + n / 10 for n in range(100)))
    between = [age for age in questions(habits) if 15 < age < 495]

    assert len(between) < 10


def test_what_was_long_ago_is_forgotten():
    habits = habits_of(*[900.0] * 1000, *[5.0] * 600)

    assert habits.median == 5
    assert habits.next_age(6) is None


def test_jobs_that_end_at_once_do_no_harm():
    habits = habits_of(*[0.0] * 20)

    assert habits.next_age(0) is None


@given(AGES, st.floats(0, 1e5))
def test_the_next_question_is_later_and_before_all_have_ended(ages, age):
    habits = habits_of(*ages)
    answer = habits.next_age(age)

    if answer is None:
        assert age >= sorted(ages[-512:])[0]
    else:
        assert age <= answer <= max(ages)
