"""Several recognisers at work, and the order in which recordings get one.

A recording is due when it would have ended, had it been played since its arrival. So a short one
does not wait behind many long ones, and a long one is overtaken only by those that arrive while
it would be playing. Between applications it counts how much of each was begun, so that fifty
recordings of one do not come before the first of another.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import os
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import NamedTuple

from attrs import frozen

from symbl_aio.server.recognizer import (
    TIMEOUT,
    WORKER,
    RecognisedSpeech,
    Recognizer,
    Wanted,
)

# For a recording of unknown length: that of a low bit rate, 32 kbit/s.
_BYTES_PER_SECOND = 4000

# The tokens of a Whisper model that has those of languages, too; an English one has one fewer.
_MULTILINGUAL_TOKENS = 51_865


@frozen
class RecognitionOptions:
    """How speech is recognised.

    ``model``: a folder with a CTranslate2 Whisper model; None: that of the extra ``asr``.
    ``device``: ``auto``, ``cpu`` or ``cuda``; ``compute_type``: as CTranslate2 names it.
    ``processes``: how many recordings at a time; they share the cores. ``timeout``: seconds
    without a sign of life after which a process counts as stuck.
    """

    model: Path | None = None
    device: str = "cpu"
    compute_type: str = "int8"
    processes: int = 1
    timeout: float = TIMEOUT

    @property
    def command(self) -> tuple[str, ...]:
        """The command of a worker process."""
        threads = max(1, min(os.cpu_count() or 1, 4 * self.processes) // self.processes)
        options = {
            "model": None if self.model is None else os.path.abspath(self.model),
            "device": self.device,
            "compute_type": self.compute_type,
            "threads": threads,
        }
        return (*WORKER, json.dumps(options))

    @property
    def english_only(self) -> bool:
        """Whether the model knows English only.

        False also for a folder that does not show it: the recognition process refuses then.
        """
        folder = self._folder
        if folder is None:
            return True
        try:
            if (folder / "vocabulary.txt").is_file():
                count = (folder / "vocabulary.txt").read_bytes().count(b"\n")
            else:
                count = len(json.loads((folder / "vocabulary.json").read_bytes()))
        except (OSError, ValueError):
            return False
        return count < _MULTILINGUAL_TOKENS

    @property
    def _folder(self) -> Path | None:
        named = self.model or os.environ.get("SYMBL_AIO_MODEL")
        return Path(named) if named else None

    def check_model(self) -> None:
        """Raise ValueError unless the folder looks like one with a model."""
        folder = self._folder
        if folder is None:
            return
        missing = [name for name in ("model.bin", "config.json") if not (folder / name).is_file()]
        if missing:
            raise ValueError(
                f"{folder} is no folder with a CTranslate2 Whisper model: "
                f"{' and '.join(missing)} is missing; choose another --model"
            )


class _Waiting(NamedTuple):
    due: float
    number: int
    length: float
    waiter: asyncio.Future[Recognizer]


class RecognitionPool:
    """Recognisers that share the recordings.

    ``on_recognised`` is called with the seconds of a recording, and those that it took.
    ``english_only``: the model knows no other language.
    """

    def __init__(
        self,
        options: RecognitionOptions,
        on_recognised: Callable[[float, float], None],
    ) -> None:
        self._recognizers = [
            Recognizer(timeout=options.timeout, command=options.command)
            for _ in range(options.processes)
        ]
        self.english_only = options.english_only
        self._idle = list(self._recognizers)
        # By application, the earliest due first.
        self._waiting: dict[Hashable, list[_Waiting]] = {}
        # When all that was begun of an application would have ended, one after another.
        self._played: dict[Hashable, float] = {}
        self._numbers = itertools.count()
        self._on_recognised = on_recognised

    async def transcribe(
        self,
        path: str | os.PathLike[str],
        wanted: Wanted | None = None,
        *,
        seconds: float | None,
        size: int,
        owner: Hashable = None,
    ) -> RecognisedSpeech:
        """Transcribe a recording of ``seconds``, or of unknown length and ``size`` bytes.

        ``owner``: its application. Raises ``RecognitionError`` as ``Recognizer.transcribe()`` does.
        """
        length = size / _BYTES_PER_SECOND if seconds is None else seconds
        recognizer = await self._acquire(length, owner)
        began = time.monotonic()
        try:
            speech = await recognizer.transcribe(path, wanted)
        finally:
            self._release(recognizer)
        self._on_recognised(speech.duration, time.monotonic() - began)
        return speech

    async def aclose(self) -> None:
        """Kill the processes even while they are busy. Closing twice is safe."""
        await asyncio.gather(*(recognizer.aclose() for recognizer in self._recognizers))

    async def _acquire(self, length: float, owner: Hashable) -> Recognizer:
        if self._idle:
            self._begin(length, owner)
            return self._idle.pop()
        waiter: asyncio.Future[Recognizer] = asyncio.get_running_loop().create_future()
        due = time.monotonic() + length
        waiting = self._waiting.setdefault(owner, [])
        heapq.heappush(waiting, _Waiting(due, next(self._numbers), length, waiter))
        try:
            return await waiter
        except asyncio.CancelledError:
            # It may have been given one in the same moment.
            if waiter.done() and not waiter.cancelled():
                self._release(waiter.result())
            raise

    def _release(self, recognizer: Recognizer) -> None:
        while self._waiting:
            owner = min(self._waiting, key=self._due)
            waiting = self._waiting[owner]
            _, _, length, waiter = heapq.heappop(waiting)
            if not waiting:
                del self._waiting[owner]
            if not waiter.done():
                self._begin(length, owner)
                waiter.set_result(recognizer)
                return
        self._idle.append(recognizer)

    def _due(self, owner: Hashable) -> tuple[float, int]:
        first = self._waiting[owner][0]
        return max(first.due, self._played.get(owner, 0.0) + first.length), first.number

    def _begin(self, length: float, owner: Hashable) -> None:
        self._played[owner] = max(time.monotonic(), self._played.get(owner, 0.0)) + length
