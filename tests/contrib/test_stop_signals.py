from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator

import pytest

from symbl_aio.contrib.stop_signals import on_stop_signal


@pytest.fixture(params=[signal.SIGTERM, signal.SIGINT])
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    before = signal.getsignal(request.param)
    yield request.param
    signal.signal(request.param, before)


async def test_whoever_asked_is_told_and_the_servers_handler_is_called_as_before(
    number: signal.Signals,
):
    heard: list[int] = []
    told = asyncio.Event()

    def theirs(number: int, _frame: object) -> None:
        heard.append(number)

    signal.signal(number, theirs)
    with on_stop_signal(told.set):
        signal.raise_signal(number)
        await told.wait()
    assert heard == [number]
    assert signal.getsignal(number) is theirs


async def test_a_signal_that_nobody_handles_is_left_alone(number: signal.Signals):
    signal.signal(number, signal.SIG_DFL)
    with on_stop_signal(lambda: None):
        assert signal.getsignal(number) is signal.SIG_DFL


async def test_a_handler_that_came_later_stays(number: signal.Signals):
    signal.signal(number, lambda *_: None)
    with on_stop_signal(lambda: None):
        signal.signal(number, later := lambda *_: None)
    assert signal.getsignal(number) is later


def test_in_another_thread_nothing_is_touched(number: signal.Signals):
    signal.signal(number, theirs := lambda *_: None)
    seen: list[object] = []

    async def main() -> None:
        with on_stop_signal(lambda: None):
            seen.append(signal.getsignal(number))

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()
    assert seen == [theirs]


def test_a_later_handler_may_call_it_when_the_loop_has_ended(number: signal.Signals):
    heard: list[str] = []
    signal.signal(number, lambda *_: heard.append("theirs"))

    async def main() -> None:
        with on_stop_signal(lambda: heard.append("ours")):
            chained = signal.getsignal(number)
            assert callable(chained)
            signal.signal(number, lambda number, frame: chained(number, frame))

    asyncio.run(main())
    signal.raise_signal(number)
    assert heard == ["theirs"]
