"""Live speech recognition in a worker process of its own, for all streams of the server.

It is not one of the processes for recordings: a long recording must not keep a speaker waiting.
The process (``live_worker``) starts with the first stream, and again after it has died.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from symbl_aio.server.background_tasks import BackgroundTasks
from symbl_aio.server.language.sentences import TimedText, sentences
from symbl_aio.server.live.audio_clock import AudioFormat
from symbl_aio.server.live.speech_stream import Heard, ResultQueue, SpeechError
from symbl_aio.server.recognition_pool import RecognitionOptions
from symbl_aio.server.recognizer import LATE, RecognitionError, start_worker

_log = logging.getLogger(__name__)

WORKER = Path(__file__).with_name("live_worker.py")
_CLOSED = "recognition was closed"


class LiveRecognizer:
    """The process, and the streams that it serves.

    ``most_audio``: bytes of one stream that wait for the process. ``on_recognised`` is called
    with the seconds of a stream, and those for which the model worked.
    """

    def __init__(
        self,
        options: RecognitionOptions,
        most_audio: int,
        on_recognised: Callable[[float, float], None] = lambda sound, taken: None,
        *,
        worker: Path = WORKER,
    ) -> None:
        self.english_only = options.english_only
        self.timeout = options.timeout
        self.most_audio = most_audio
        self.on_recognised = on_recognised
        python, _, _, settings = options.command
        self._command = (python, "-P", str(worker), settings)
        self._process: Process | None = None
        self._streams: dict[int, RecognisedStream] = {}
        self._numbers = itertools.count()
        self._tasks = BackgroundTasks()
        self._starting = asyncio.Lock()
        self._closed = False
        # The loop's time.
        self._answered_at = 0.0

    def deadline(self, since: float) -> float:
        """Return the loop's time at which the process is stuck, for one who waits ``since``.

        It answers all streams in turn: who waits is not alone with it.
        """
        now = asyncio.get_running_loop().time()
        if now > max(since, self._answered_at) + self.timeout + LATE:
            self._answered_at = now
        return max(since, self._answered_at) + self.timeout

    async def open(
        self, audio: AudioFormat, *, language: str | None, offset: float
    ) -> RecognisedStream:
        """Return a stream once the model is loaded. Raises ``SpeechError`` if it cannot be.

        ``offset``: the second of the conversation at which the audio begins.
        """
        await self._ensure_process()
        number = next(self._numbers)
        stream = self._streams[number] = RecognisedStream(self, number, offset)
        try:
            await self.send(
                number,
                open=True,
                encoding=audio.encoding,
                rate=audio.sample_rate,
                language=language,
            )
            await stream.wait_until_ready()
        except BaseException:
            self._streams.pop(number, None)
            raise
        return stream

    async def send(self, number: int, audio: bytes = b"", **fields: object) -> None:
        """Send a request about a stream. One to a dead process is lost: its stream has an error."""
        process = self._process
        if process is None or process.stdin is None:
            return
        header = {"stream": number, **fields} | ({"size": len(audio)} if audio else {})
        # A dead process is detected by the end of its output.
        with contextlib.suppress(ConnectionError):
            # One write for both: requests of other streams must not come in between.
            process.stdin.write(json.dumps(header).encode() + b"\n" + audio)
            await process.stdin.drain()

    def forget(self, number: int) -> None:
        self._streams.pop(number, None)

    def kill(self) -> None:
        """Kill the process, so that each of its streams ends with an error."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def aclose(self) -> None:
        """Kill the process even while it is busy. Closing twice is safe."""
        self._closed = True
        self.kill()
        async with self._starting:
            process, self._process = self._process, None
            await self._tasks.aclose()
        self._fail_all(_CLOSED)
        if process is not None:
            await process.communicate()  # to the end of its output, so that the pipes close

    async def _ensure_process(self) -> None:
        async with self._starting:
            if self._closed:
                raise SpeechError(_CLOSED)
            if self._process is not None and self._process.returncode is None:
                return
            try:
                self._process = await start_worker(self._command)
            except RecognitionError as error:
                raise SpeechError(str(error)) from error
            self._tasks.spawn(self._read(self._process), name="live recognition")

    async def _read(self, process: Process) -> None:
        """Pass each answer to its stream, until the process ends."""
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                self._answered_at = asyncio.get_running_loop().time()
                answer = json.loads(line)
                stream = self._streams.get(answer["stream"])
                if stream is not None:
                    stream.receive(answer)
        except ValueError:
            _log.warning("the live recognition process wrote no JSON, and is ended")
            self.kill()
        code = await process.wait()
        if not self._closed:
            _log.warning("the live recognition process ended with code %s", code)
        self._fail_all(f"the recognition process ended with code {code}")

    def _fail_all(self, reason: str) -> None:
        streams = list(self._streams.values())
        self._streams.clear()
        for stream in streams:
            stream.fail(reason)


class RecognisedStream:
    """A ``SpeechStream`` whose words the process recognises."""

    def __init__(self, recognizer: LiveRecognizer, number: int, offset: float) -> None:
        self._recognizer = recognizer
        self._number = number
        self._offset = offset
        self._seconds = 0.0
        # Bytes that the process has not decoded yet.
        self._waiting = 0
        self._changed = asyncio.Event()
        self._is_ready = False
        self._error: SpeechError | None = None
        self._results = ResultQueue()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def until(self) -> float:
        return self._offset + self._seconds

    async def wait_until_ready(self) -> None:
        """Wait until the process takes audio. Raises ``SpeechError``."""
        await self._wait(lambda: self._is_ready)

    async def feed(self, audio: bytes) -> None:
        # After an error the client may still send; its stream ended with that error.
        if self._error is not None:
            return
        self._waiting += len(audio)
        await self._recognizer.send(self._number, audio)
        if self._waiting > self._recognizer.most_audio:
            with contextlib.suppress(SpeechError):
                await self._wait(lambda: self._waiting <= self._recognizer.most_audio)

    async def change(self, audio: AudioFormat) -> None:
        await self._recognizer.send(
            self._number, change=True, encoding=audio.encoding, rate=audio.sample_rate
        )

    async def finish(self, *, lost: bool = False) -> None:
        await self._recognizer.send(self._number, end=True)
        self._watch_from(asyncio.get_running_loop().time())

    def results(self) -> AsyncIterator[Heard]:
        return aiter(self._results)

    def receive(self, answer: dict[str, Any]) -> None:
        """Process an answer of the worker process."""
        match answer:
            case {"ready": True}:
                self._is_ready = True
            case {"taken": int(taken), "seconds": float(seconds)}:
                self._waiting -= taken
                self._seconds = seconds
            case {"interim": list(pieces)}:
                for start, end, text, confidence in pieces:
                    self._put(text, start, end, False, confidence)
            case {"final": list(pieces)}:
                timed = [TimedText(text, start, end) for start, end, text, _ in pieces]
                for sentence in sentences(timed):
                    self._put(sentence.text, sentence.start, sentence.end, True, 1.0)
            case {"ended": True, "error": error, "busy": busy}:
                self._recognizer.forget(self._number)
                self._recognizer.on_recognised(self._seconds, busy)
                self._end(None if error is None else SpeechError(str(error)))
        self._changed.set()

    def fail(self, reason: str) -> None:
        """End the stream with an error."""
        self._end(SpeechError(reason))
        self._changed.set()

    def _put(self, text: str, start: float, end: float, is_final: bool, confidence: float) -> None:
        self._results.put(
            Heard(text, self._offset + start, self._offset + end, is_final, confidence)
        )

    def _end(self, error: SpeechError | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._error = error or SpeechError("the stream has ended")
        self._results.end(error)

    def _watch_from(self, since: float) -> None:
        """Kill the process if it answers no more: it is stuck."""
        if self._watch is not None:
            self._watch.cancel()
        if self._error is not None:
            return
        loop = asyncio.get_running_loop()
        deadline = self._recognizer.deadline(since)
        if loop.time() < deadline:
            self._watch = loop.call_at(deadline, self._watch_from, since)
        else:
            self._recognizer.kill()

    async def _wait(self, predicate: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        since = loop.time()
        while not predicate():
            if self._error is not None:
                raise self._error
            self._changed.clear()
            deadline = self._recognizer.deadline(since)
            if loop.time() >= deadline:
                self._recognizer.kill()
                raise SpeechError("recognition gave no sign of life and was ended")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
