"""The recogniser with a stand-in for its process: real pipes, no model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from symbl_aio.server.live.audio_clock import AudioFormat
from symbl_aio.server.live.live_recognizer import LiveRecognizer, RecognisedStream
from symbl_aio.server.live.speech_stream import SpeechError
from symbl_aio.server.recognition_pool import RecognitionOptions
from tests.support import LoopClock

# The first byte of the audio selects the behaviour.
STAND_IN = """
import json, os, sys, threading

def answer(**fields):
    print(json.dumps(fields), flush=True)

while line := sys.stdin.buffer.readline():
    request = json.loads(line)
    number = request["stream"]
    audio = sys.stdin.buffer.read(request.get("size", 0))
    if request.get("open"):
        if request["language"] == "xx":
            answer(stream=number, ended=True, error="the model does not know xx", busy=0.0)
        elif request["language"] == "never":
            threading.Event().wait()
        else:
            answer(stream=number, ready=True)
    elif request.get("end"):
        pieces = [[0.0, 2.0, "Ever tried. Ever", 0.9], [2.0, 3.0, "failed.", 0.9]]
        answer(stream=number, final=pieces)
        answer(stream=number, ended=True, error=None, busy=0.25)
    elif audio[:1] == b"d":
        os._exit(3)
    elif audio[:1] == b"t":
        print("no JSON", flush=True)
    elif audio[:1] != b"h":
        answer(stream=number, taken=len(audio), seconds=len(audio) / 32000)
        answer(stream=number, interim=[[0.0, 1.0, audio[:4].decode(), 0.5]])
"""
AUDIO = AudioFormat()


@pytest.fixture
async def recognizer(tmp_path: Path) -> AsyncIterator[LiveRecognizer]:
    worker = tmp_path / "stand_in.py"
    worker.write_text(STAND_IN)
    recognizer = LiveRecognizer(RecognitionOptions(timeout=20), 1000, worker=worker)
    yield recognizer
    await recognizer.aclose()


async def read(stream: RecognisedStream) -> list[tuple[str, float, bool]]:
    return [(heard.text, heard.end, heard.is_final) async for heard in stream.results()]


async def test_words_come_with_the_times_of_the_conversation(recognizer: LiveRecognizer) -> None:
    counted: list[tuple[float, float]] = []
    recognizer.on_recognised = lambda sound, taken: counted.append((sound, taken))
    stream = await recognizer.open(AUDIO, language=None, offset=10.0)
    await stream.feed(b"one!" * 4000)
    results = stream.results()

    assert (await anext(results)).text == "one!"
    assert stream.until == 10.5
    await stream.finish()
    assert [(h.text, h.start, h.end) async for h in results] == [
        ("Ever tried.", 10.0, 11.375),
        ("Ever failed.", pytest.approx(11.5), 13.0),
    ]
    assert counted == [(0.5, 0.25)]


async def test_streams_share_the_process_and_no_words(recognizer: LiveRecognizer) -> None:
    streams = [await recognizer.open(AUDIO, language=None, offset=0.0) for _ in range(3)]
    for number, stream in enumerate(streams):
        await stream.feed(f"no {number}".encode())
        await stream.finish()

    for number, stream in enumerate(streams):
        texts = [text for text, _, _ in await read(stream)]
        assert [t for t in texts if t.startswith("no")] in ([], [f"no {number}"])
        assert len(texts) >= 2


async def test_a_language_that_is_not_known_is_refused_at_the_start(
    recognizer: LiveRecognizer,
) -> None:
    with pytest.raises(SpeechError, match="does not know xx"):
        await recognizer.open(AUDIO, language="xx", offset=0.0)


@pytest.mark.parametrize("audio", [b"die", b"text"])
async def test_a_process_that_dies_ends_its_streams_and_another_starts(
    recognizer: LiveRecognizer, audio: bytes
) -> None:
    stream = await recognizer.open(AUDIO, language=None, offset=0.0)
    await stream.feed(audio)
    with pytest.raises(SpeechError, match="process ended"):
        await read(stream)
    # The client may still send, and stop.
    await stream.feed(b"more")
    await stream.finish()

    other = await recognizer.open(AUDIO, language=None, offset=0.0)
    await other.finish()
    assert len(await read(other)) == 2


async def test_a_process_that_does_not_answer_is_killed(recognizer: LiveRecognizer) -> None:
    recognizer.timeout = 0.2
    with pytest.raises(SpeechError, match="no sign of life"):
        await recognizer.open(AUDIO, language="never", offset=0.0)


async def test_audio_waits_while_too_much_of_it_is_not_decoded(recognizer: LiveRecognizer) -> None:
    stream = await recognizer.open(AUDIO, language=None, offset=0.0)
    await stream.feed(b"hold" * 200)
    waiting = asyncio.create_task(stream.feed(b"hold" * 200))
    other = await recognizer.open(AUDIO, language=None, offset=0.0)

    # The process has read both by now, and has decoded none.
    assert not waiting.done()
    await other.finish()
    assert len(await read(other)) == 2
    recognizer.kill()
    await waiting


@pytest.mark.heavy
async def test_a_process_that_is_busy_with_other_streams_is_not_killed(
    recognizer: LiveRecognizer,
) -> None:
    recognizer.timeout = 0.5
    stream = await recognizer.open(AUDIO, language=None, offset=0.0)
    other = await recognizer.open(AUDIO, language=None, offset=0.0)
    waiting = asyncio.create_task(stream.feed(b"hold" * 400))
    results, loop = other.results(), asyncio.get_running_loop()
    until = loop.time() + 1.5
    while loop.time() < until:
        await other.feed(b"busy")
        assert (await anext(results)).text == "busy"
    assert not waiting.done()

    await waiting
    with pytest.raises(SpeechError):
        await read(stream)


async def test_closing_ends_streams_and_opens_no_more(recognizer: LiveRecognizer) -> None:
    stream = await recognizer.open(AUDIO, language=None, offset=0.0)
    await recognizer.aclose()

    with pytest.raises(SpeechError, match="closed"):
        await read(stream)
    with pytest.raises(SpeechError, match="closed"):
        await recognizer.open(AUDIO, language=None, offset=0.0)


@pytest.mark.parametrize("waits", ["for the start", "for the audio", "for the end"])
async def test_a_server_that_was_stopped_does_not_end_a_process_that_has_answered(
    recognizer: LiveRecognizer, monkeypatch: pytest.MonkeyPatch, waits: str
) -> None:
    clock = LoopClock(monkeypatch)
    await (await recognizer.open(AUDIO, language=None, offset=0.0)).finish()

    async def stop() -> None:
        clock.ahead += 10 * recognizer.timeout

    stopping = asyncio.create_task(stop()) if waits == "for the start" else None
    stream = await recognizer.open(AUDIO, language=None, offset=0.0)
    if waits == "for the audio":
        stopping = asyncio.create_task(stop())
        await stream.feed(b"much" * 300)
    await stream.finish()
    await (stopping or stop())
    assert (await read(stream))[-1] == ("Ever failed.", 3.0, True)
