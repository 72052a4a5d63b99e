"""Wrong credentials have a rate for each address."""

from __future__ import annotations

import logging

import pytest

from symbl_aio.server.guess_limit import GuessLimit
from tests.support import Clock


def test_a_burst_is_allowed_and_then_one_guess_at_a_time() -> None:
    clock = Clock()
    guesses = GuessLimit(3, 6.0, clock)
    for _ in range(3):
        assert guesses.wait("192.0.2.1") == 0
        guesses.record_wrong("192.0.2.1")

    assert guesses.wait("192.0.2.1") == 6
    assert guesses.wait("192.0.2.2") == 0
    clock.now += 6
    assert guesses.wait("192.0.2.1") == 0
    guesses.record_wrong("192.0.2.1")
    assert guesses.wait("192.0.2.1") == 6


def test_guesses_are_forgotten() -> None:
    clock = Clock()
    guesses = GuessLimit(3, 6.0, clock)
    for _ in range(3):
        guesses.record_wrong("192.0.2.1")
    clock.now += 18
    for _ in range(3):
        assert guesses.wait("192.0.2.1") == 0
        guesses.record_wrong("192.0.2.1")


def test_the_addresses_of_an_ipv6_network_count_as_one() -> None:
    guesses = GuessLimit(1, 6.0, Clock())
    guesses.record_wrong("2001:db8::1")

    assert guesses.wait("2001:db8::ffff:2") > 0
    assert guesses.wait("2001:db8:0:1::1") == 0
    guesses.record_wrong("::ffff:192.0.2.1")
    assert guesses.wait("::ffff:192.0.2.2") == 0


def test_a_crowd_of_addresses_does_not_fill_the_memory() -> None:
    guesses = GuessLimit(1, 6.0, Clock())
    logging.getLogger("symbl_aio.server").setLevel(logging.ERROR)
    try:
        for number in range(20_000):
            guesses.record_wrong(f"10.0.{number // 250}.{number % 250}")
    finally:
        logging.getLogger("symbl_aio.server").setLevel(logging.NOTSET)

    assert len(guesses._forgotten_at) == 10_000


def test_a_wrong_guess_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        GuessLimit(1, 6.0, Clock()).record_wrong("192.0.2.1")

    assert [record.message for record in caplog.records] == ["wrong credentials from 192.0.2.1"]
