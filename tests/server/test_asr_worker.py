"""The worker's limits, without its packages; ``tests/asr`` recognises real speech."""

from __future__ import annotations

import pytest

from symbl_aio.server.asr_worker import (
    LONGEST,
    ReportableError,
    check_not_longer,
    check_not_shorter,
    shift,
)


def test_a_recording_may_have_four_hours_and_no_more() -> None:
    check_not_longer(LONGEST, None)
    with pytest.raises(ReportableError, match="longer than the 4 hours allowed"):
        check_not_longer(LONGEST + 0.1, None)


def test_sound_beyond_the_length_that_the_header_states_ends_the_recording() -> None:
    check_not_longer(11.9, 11.0)
    with pytest.raises(ReportableError, match=r"more sound than the 11\.0 s that its header"):
        check_not_longer(12.1, 11.0)
    # Two per cent of a long recording.
    check_not_longer(3670.0, 3600.0)


def test_less_sound_than_stated_is_a_recording_that_was_cut_off() -> None:
    check_not_shorter(10.1, 11.0)
    check_not_shorter(0.5, None)
    with pytest.raises(ReportableError, match=r"cut off after 9\.9 of 11\.0 s"):
        check_not_shorter(9.9, 11.0)


def test_no_segment_ends_after_the_sound() -> None:
    found = [(0.0, 4.0, "One."), (10.0, 29.0, "Two."), (12.5, 30.0, "Padding.")]
    assert shift(found, 300.0, 312.0) == [(300.0, 304.0, "One."), (310.0, 312.0, "Two.")]
