"""Watching folders: a file is taken once, when it has stopped growing."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncGenerator, Sequence
from typing import cast

from symbl_aio.cli.upload.find_files import Found
from symbl_aio.cli.upload.fingerprint import Stamp, stamp_of
from symbl_aio.cli.upload.grouping import Grouped, Meeting, alone, by_folder
from symbl_aio.cli.upload.watch import Settled, watched
from tests.cli.upload.recordings import record


class Underway:
    def __init__(self) -> None:
        self.active: set[str] = set()
        self.again: set[str] = set()
        self.in_place: set[int] = set()


A = Found("/r/a.wav", "a.wav", "a.wav", "/r")
LINK = Found("https://h/a#0", "https://h/a", "h/a", "https://h", "https://h/a")


def stamp(seconds: float, size: int = 1) -> Stamp:
    return Stamp(size, int(seconds * 1e9), 1)


def test_a_file_is_taken_after_a_quiet_time_and_once():
    settled = Settled(quiet=10)
    at_5 = {A.source: stamp(5)}
    assert settled.ready([A], at_5, 14.9) == ([], set())
    assert settled.ready([A], at_5, 15) == ([A], {A.source})
    settled.take(A.source, at_5[A.source])
    assert settled.ready([A], at_5, 99) == ([A], set())


def test_a_file_that_changes_is_taken_again_once_it_stands_still():
    settled = Settled(quiet=10)
    settled.take(A.source, stamp(5))
    grown = {A.source: stamp(50, size=2)}
    assert settled.ready([A], grown, 55) == ([], set())
    assert settled.ready([A], grown, 60) == ([A], {A.source})


def test_a_file_whose_time_is_in_the_future_is_taken_after_a_quiet_time():
    settled = Settled(quiet=10)
    ahead = {A.source: stamp(9e9)}
    assert settled.ready([A], ahead, 100) == ([], set())
    grown = {A.source: stamp(9e9, size=2)}
    assert settled.ready([A], grown, 105) == ([], set())
    assert settled.ready([A], grown, 114.9) == ([], set())
    assert settled.ready([A], grown, 115) == ([A], {A.source})


def test_a_file_of_a_clock_that_is_behind_is_taken_once_it_stands_still():
    settled = Settled(quiet=10)
    assert settled.ready([], {}, 100) == ([], set())
    # Its server's clock is a minute behind: by its time, each change is an old one.
    for now in range(102, 130, 2):
        growing = {A.source: stamp(now - 60, size=now)}
        assert settled.ready([A], growing, now) == ([], set()), now
    assert settled.ready([A], growing, 138) == ([A], {A.source})
    settled.take(A.source, growing[A.source])
    assert settled.ready([A], {A.source: stamp(79, size=999)}, 140) == ([], set())


def test_a_file_that_fails_again_and_again_is_taken_after_longer_pauses():
    settled = Settled(quiet=10)
    now = 100.0
    for pause in (10, 20, 40, 80, 80):
        settled.take(A.source, stamp(5))
        settled.release(A.source, now)
        assert settled.ready([A], {A.source: stamp(5)}, now + pause - 1) == ([], set())
        now += pause
        assert settled.ready([A], {A.source: stamp(5)}, now) == ([A], {A.source}), pause


def test_an_old_file_is_taken_at_once_and_one_that_is_moved_in_after_a_quiet_time():
    settled = Settled(quiet=10)
    assert settled.ready([A], {A.source: stamp(5)}, 100) == ([A], {A.source})
    settled.take(A.source, stamp(5))
    moved = Found("/r/b.wav", "b.wav", "b.wav", "/r")
    stamps = {A.source: stamp(5), moved.source: stamp(6)}
    assert settled.ready([A, moved], stamps, 102) == ([A], set())
    assert settled.ready([A, moved], stamps, 112) == ([A, moved], {moved.source})


def test_a_link_is_taken_at_once_and_a_file_that_is_gone_is_not():
    settled = Settled(quiet=10)
    assert settled.ready([LINK, A], {A.source: None}, 0) == ([LINK], {LINK.source})
    settled.take(LINK.source, None)
    assert settled.ready([LINK], {}, 0) == ([LINK], set())


async def test_meetings_are_yielded_as_their_recordings_appear(tmp_path):
    run = Underway()
    record(tmp_path, "x/1.wav")
    meetings = cast(
        "AsyncGenerator[Meeting, None]",
        watched([str(tmp_path)], by_folder, 0, run, interval=0),
    )
    first = await anext(meetings)
    assert [part.relative for part in first.parts] == ["x/1.wav"]
    # A meeting under way is left alone; another one is not.
    run.active.add(first.identity)
    record(tmp_path, "x/2.wav", "y/1.wav")
    assert (await anext(meetings)).name == "y"
    run.active.clear()
    again = await anext(meetings)
    assert [part.relative for part in again.parts] == ["x/1.wav", "x/2.wav"]
    # What did not arrive is taken once more, and what was seen before this look is not relied on.
    run.in_place.add(7)
    run.again.add(again.parts[0].source)
    assert (await anext(meetings)).identity == again.identity
    assert not run.in_place
    await meetings.aclose()


async def test_a_file_of_the_future_does_not_stop_the_others(tmp_path):
    late, _ = record(tmp_path, "late.wav", "a.wav")
    os.utime(late, (2e9 * 2, 2e9 * 2))
    meetings = cast(
        "AsyncGenerator[Meeting, None]",
        watched([str(tmp_path)], alone, 1e-9, Underway(), interval=0),
    )
    assert (await anext(meetings)).name == "a"
    await meetings.aclose()
    assert stamp_of(str(tmp_path / "gone")) is None


async def test_a_large_folder_is_listed_and_grouped_beside_the_event_loop(tmp_path):
    record(tmp_path, "a.wav")
    grouped_in: set[threading.Thread] = set()

    def group(found: Sequence[Found]) -> Grouped:
        grouped_in.add(threading.current_thread())
        return alone(found)

    meetings = cast(
        "AsyncGenerator[Meeting, None]",
        watched([str(tmp_path)], group, 0, Underway(), interval=0),
    )
    assert (await anext(meetings)).name == "a"
    await meetings.aclose()
    assert threading.main_thread() not in grouped_in
