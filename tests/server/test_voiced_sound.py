"""The times of a text that was recognised in the parts of a recording with voices."""

from __future__ import annotations

import pytest

from symbl_aio.server.voiced_sound import SAMPLE_RATE, Piece, VoicedSound
from tests.tables import table

# Joined, the second part begins at second 7, and the third one at second 9.
VOICED = VoicedSound(
    [(first * SAMPLE_RATE, last * SAMPLE_RATE) for first, last in ((1, 8), (60, 62), (200, 210))]
)


@table(
    "start,end,expected",
    [
        (0.0, 7.0, [(1.0, 8.0, "one two three four")]),
        (2.0, 4.5, [(3.0, 5.5, "one two three four")]),
        # It begins or ends with the silence between two parts.
        (6.6, 9.0, [(60.0, 62.0, "one two three four")]),
        (9.0, 12.0, [(200.0, 203.0, "one two three four")]),
        (1.0, 7.3, [(2.0, 8.0, "one two three four")]),
        (6.8, 7.1, [(7.8, 8.0, "one two three four")]),
        # Voices before and after a silence.
        (5.0, 9.0, [(6.0, 8.0, "one two"), (60.0, 62.0, "three four")]),
        (8.0, 14.0, [(61.0, 62.0, "one"), (200.0, 205.0, "two three four")]),
        # Whisper may find words beyond the last sound.
        (18.0, 30.0, [(209.0, 210.0, "one two three four")]),
        (19.0, 30.0, []),
        (5.0, 5.0, []),
    ],
)
def test_a_text_has_the_times_of_the_voices_and_none_of_the_silence_between(
    start: float, end: float, expected: list[Piece]
) -> None:
    found = VOICED.pieces(start, end, " one two three four ")

    assert [text for *_, text in found] == [text for *_, text in expected]
    assert [times for *times, _ in found] == [pytest.approx(times) for *times, _ in expected]


def test_an_empty_text_is_no_piece() -> None:
    assert VOICED.pieces(0.0, 3.0, " ") == []
    assert VOICED.seconds == 19
