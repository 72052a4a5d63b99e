"""A pace is that of the last seconds, whatever was before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbl_aio._core.rates import RATE_WINDOW, RateMeter


def test_nothing_has_no_pace():
    assert RateMeter().rate(5.0) == 0.0


def test_what_is_over_does_not_count():
    pace = RateMeter()
    for tenth in range(1000):
        pace.count(tenth / 10)

    assert pace.rate(99.9) == pytest.approx(10, abs=0.1)
    assert pace.rate(105.0) == pytest.approx(5)
    assert pace.rate(200.0) == 0.0


@given(steps=st.lists(st.floats(0, 5), max_size=200), later=st.floats(0, 30))
def test_it_is_as_if_every_event_were_remembered(steps: list[float], later: float):
    pace, now, all_of_them = RateMeter(), 0.0, []
    for step in steps:
        now += step
        pace.count(now)
        all_of_them.append(now)
    now += later

    over = RATE_WINDOW + now - int(now)
    expected = sum(1 for at in all_of_them if at >= int(now) - RATE_WINDOW) / over
    assert pace.rate(now) == pytest.approx(expected)
    assert len(pace._counts) <= RATE_WINDOW + 1
