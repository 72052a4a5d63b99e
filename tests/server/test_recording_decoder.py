"""The limits of decoding, without its packages; ``tests/asr`` decodes real recordings."""

from __future__ import annotations

import pytest

from symbl_aio.server.recording_decoder import (
    LONGEST,
    ReportableError,
    check_not_longer,
    check_not_shorter,
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
