"""Frames of audio, and the account of the bytes that may not have arrived."""

from __future__ import annotations

import ctypes

import hypothesis.strategies as st
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from symbl_aio._core.live_audio_account import (
    MAX_FRAME,
    MAX_UNCONFIRMED,
    PING_AFTER,
    AudioAccount,
    AudioFormats,
    frames,
    seconds_of,
)


@given(st.binary(max_size=5 * MAX_FRAME))
def test_frames_are_the_audio_in_order_and_never_too_large(audio: bytes):
    cut = [bytes(frame) for frame in frames(audio)]
    assert b"".join(cut) == audio
    assert all(0 < len(frame) <= MAX_FRAME for frame in cut)


def test_samples_of_several_bytes_are_cut_by_bytes():
    wide = memoryview(bytes(2 * MAX_FRAME)).cast("H")
    assert [len(frame) for frame in frames(wide)] == [MAX_FRAME, MAX_FRAME]


def test_any_memory_is_audio_item_by_item():
    for audio, expected in [
        (memoryview(b"abcdef")[::2], b"ace"),  # one channel of two
        (memoryview((ctypes.c_int16 * 2)(1, 2)), b"\x01\0\x02\0"),  # "<h", which has no cast
        (memoryview(b"").cast("H"), b""),
    ]:
        assert b"".join(frames(audio)) == expected


def test_the_length_of_audio_follows_from_its_encoding():
    assert seconds_of(32_000, "LINEAR16", 16_000) == 1
    assert seconds_of(8_000, "MULAW", 8_000) == 1
    assert seconds_of(8_000, "OPUS", 48_000) is None


def test_the_length_of_audio_of_several_formats_is_that_of_its_parts():
    formats = AudioFormats("LINEAR16", 16_000)
    formats.change(32_000, "OPUS", 48_000)
    formats.change(32_000, "MULAW", 8_000)  # no audio was in between
    assert formats.seconds_of(0, 32_000 + 8_000) == 2
    assert formats.seconds_of(16_000, 16_000) == 0.5
    assert formats.seconds_of(40_000, 4_000) == 0.5
    formats.change(40_000, "OPUS", 48_000)
    assert formats.encoding == "OPUS"
    assert formats.seconds_of(0, 40_000) == 2
    assert formats.seconds_of(0, 40_001) is None


def test_audio_waits_for_room_only_where_pings_are_answered():
    account = AudioAccount()
    account.handed_over = MAX_UNCONFIRMED + 1
    assert account.handed_over > account.limit
    account.received(1)
    assert account.handed_over <= account.limit
    assert not account.has_room
    account.received(MAX_UNCONFIRMED // 2 + 1)
    assert account.has_room

    account.is_not_answered()  # it was, before
    assert account.expects_pongs
    silent = AudioAccount()
    silent.is_not_answered()
    assert not silent.expects_pongs
    silent.handed_over = 2**40
    assert silent.has_room
    silent.received(1)  # late, but it does answer
    assert silent.expects_pongs


def test_the_server_is_asked_again_before_audio_has_to_wait():
    account = AudioAccount()
    account.asked()
    assert account.mark == PING_AFTER
    account.handed_over = MAX_UNCONFIRMED - 10
    account.asked()
    assert account.mark == account.limit == MAX_UNCONFIRMED
    account.handed_over = MAX_UNCONFIRMED
    account.asked()
    assert account.mark == MAX_UNCONFIRMED + PING_AFTER


class Accounting(RuleBasedStateMachine):
    """Each byte is handed over, then received or lost, and never changes after that."""

    def __init__(self) -> None:
        super().__init__()
        self.account = AudioAccount()
        self.fate: list[str] = []

    @rule(size=st.integers(1, 5000))
    def hand_over(self, size: int) -> None:
        self.account.handed_over += size
        self.fate += ["open"] * size

    @precondition(lambda self: self.fate)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        position = data.draw(st.integers(0, len(self.fate)))
        self.account.received(position)
        self.fate[:position] = ["in" if was == "open" else was for was in self.fate[:position]]

    @rule(beyond=st.integers(1, 2**64))
    def confirm_a_position_that_was_never_reached(self, beyond: int) -> None:
        self.account.received(len(self.fate) + beyond)

    @rule()
    def lose(self) -> None:
        position, lost = self.account.lose()
        assert self.fate[position : position + lost].count("open") == lost
        assert self.fate.count("open") == lost
        self.fate = ["lost" if was == "open" else was for was in self.fate]

    @invariant()
    def the_open_bytes_are_those_of_which_nothing_is_known(self) -> None:
        assert self.account.open == self.fate.count("open")


TestAccounting = Accounting.TestCase
