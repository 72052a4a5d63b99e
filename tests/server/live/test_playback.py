from __future__ import annotations

from symbl_aio.server.live.audio_clock import AudioFormat
from symbl_aio.server.live.playback import Playback, PlaybackStream
from symbl_aio.server.live.speech_stream import Heard
from symbl_aio.server.transcript_registry import RegisteredStream, parse_transcript

LINES = parse_transcript("Ann: One two three.\nFour five.")


def played(due: list[Heard]) -> list[tuple[str, bool]]:
    return [(heard.text, heard.is_final) for heard in due]


def test_a_line_comes_when_its_time_has_passed_and_its_words_before() -> None:
    playback = Playback(RegisteredStream(LINES))

    assert played(playback.play(0.3)) == []
    assert played(playback.play(0.5)) == [("One", False)]
    assert played(playback.play(0.6)) == []
    assert played(playback.play(1.7)) == [("One two three.", True), ("Four", False)]
    assert played(playback.rest()) == [("Four five.", True)]
    assert playback.rest() == playback.play(9.0) == []


def test_all_lines_come_at_once_without_a_pace() -> None:
    playback = Playback(RegisteredStream(LINES, paced=False))

    assert played(playback.play(0.0)) == [("One two three.", True), ("Four five.", True)]


async def test_a_second_stream_continues_where_the_first_ended() -> None:
    playback = Playback(RegisteredStream(LINES))
    first = PlaybackStream(playback, AudioFormat(), 0.0)
    await first.feed(bytes(32_000 * 3 // 2))
    second = PlaybackStream(playback, AudioFormat(), 1.5)
    await second.feed(bytes(32_000))
    await second.finish()

    finals = [heard.text async for heard in second.results() if heard.is_final]

    assert finals == ["Four five."]


async def test_the_lines_that_were_not_played_come_at_the_end() -> None:
    stream = PlaybackStream(Playback(RegisteredStream(LINES)), AudioFormat(), 0.0)
    await stream.finish()

    assert [heard.speaker async for heard in stream.results()] == ["Ann", None]
