from __future__ import annotations

import asyncio

import pytest

from symbl_aio.server.live.audio_clock import AudioFormat
from symbl_aio.server.live.speech_stream import (
    Heard,
    ResultQueue,
    SpeechError,
    UntranscribedStream,
)


async def test_an_interim_result_replaces_one_that_was_not_read() -> None:
    results = ResultQueue()
    for heard in (
        Heard("one", 0, 1, False),
        Heard("one two", 0, 2, False),
        Heard("One two.", 0, 2),
        Heard("three", 2, 3, False),
    ):
        results.put(heard)
    results.end()

    assert [heard.text async for heard in results] == ["One two.", "three"]


async def test_a_reader_waits_for_results_and_for_the_end() -> None:
    results = ResultQueue()

    async def read() -> list[str]:
        return [heard.text async for heard in results]

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    results.put(Heard("One.", 0, 1))
    await asyncio.sleep(0)
    results.put(Heard("Two.", 1, 2))
    results.end()

    assert await reader == ["One.", "Two."]


async def test_an_error_comes_after_the_results_before_it() -> None:
    results = ResultQueue()
    results.put(Heard("One.", 0, 1))
    results.end(SpeechError("the process died"))
    results.end()
    reader = aiter(results)

    assert (await anext(reader)).text == "One."
    with pytest.raises(SpeechError, match="died"):
        await anext(reader)


async def test_audio_that_is_not_transcribed_has_a_notice_with_its_length() -> None:
    stream = UntranscribedStream(AudioFormat(), 10.0)
    await stream.feed(bytes(48_000))
    await stream.finish()

    (heard,) = [heard async for heard in stream.results()]

    assert heard.notice
    assert heard.text.startswith("[1.5 s of audio received, not transcribed")
    assert (heard.start, heard.end) == (10.0, 11.5)


async def test_a_stream_without_audio_has_no_notice() -> None:
    stream = UntranscribedStream(AudioFormat(), 0.0)
    await stream.finish()

    assert [heard async for heard in stream.results()] == []
