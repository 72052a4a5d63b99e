"""The worker process of live recognition: audio of many streams in, words out.

It runs as a file and imports nothing of the package but two modules, which it loads by their
paths. A request on stdin is a line of JSON, with ``stream`` as its id: ``open`` (with ``encoding``,
``rate`` and ``language``), ``change`` (``encoding``, ``rate``), ``end``, or audio (``size`` bytes
follow the line). It exits when stdin is closed.

An answer is a line of JSON with the same id: ``ready`` after ``open``; ``taken``, the bytes that
were heard, with ``seconds``, the length of the audio until then; ``interim`` and ``final``, both
lists of [start, end, text, confidence]; and last ``ended``, with the ``error`` or null, and the
seconds for which the model was ``busy``. Times are seconds of the stream's audio.

Its one argument is that of ``asr_worker``.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from symbl_aio.server import asr_worker as asr
    from symbl_aio.server.live import live_audio_decoder as decoding
else:

    def _load(path: Path) -> Any:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    asr = _load(Path(__file__).parent.with_name("asr_worker.py"))
    decoding = _load(Path(__file__).with_name("live_audio_decoder.py"))

RATE = decoding.SAMPLE_RATE

# A probability from which a sound counts as a voice: a soft word is worth a noise.
_VOICE = 0.35
# So long a silence ends a final result. Shorter pieces would lose the words around a pause.
_QUIET = 1.2
# Without voices the last seconds are kept: a soft word is noticed by the sound around it.
_CONTEXT = 3.0
# Kept before and after a voice: a soft sound belongs to the word.
_PAD = 0.3
# Without a pause, speech is cut after so many seconds, in the quietest moment near the end.
_LONGEST = 10.0
_SEARCH = 3.0
# Seconds of audio that may wait for the model.
_BACKLOG = 30.0
# An interim result needs so much new audio.
_STEP = 0.2

Answer: TypeAlias = Callable[..., None]
Piece: TypeAlias = tuple[float, float, str, float]


def main() -> None:
    """Serve requests from stdin until it is closed."""
    asr.ignore_stop_signals()
    # Libraries print to stdout; only answers may reach the parent.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**fields: object) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    worker = Worker(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}, answer)
    threading.Thread(target=worker.read, args=(sys.stdin.buffer,), daemon=True).start()
    worker.run()


class Worker:
    """All streams. ``read()`` runs in a thread, so that audio arrives while the model computes."""

    def __init__(self, options: Mapping[str, Any], answer: Answer) -> None:
        self._options = options
        self._answer = answer
        self._model: asr.Model | None = None
        self._streams: dict[int, Stream] = {}
        self._requests: deque[tuple[dict[str, Any], bytes]] = deque()
        self._arrived = threading.Condition()
        self._closed = False
        self._turns = 0

    def read(self, requests: IO[bytes]) -> None:
        """Read requests until the input is closed."""
        for line in requests:
            request = json.loads(line)
            audio = requests.read(request.get("size", 0))
            with self._arrived:
                self._requests.append((request, audio))
                self._arrived.notify()
        with self._arrived:
            self._closed = True
            self._arrived.notify()

    def run(self) -> None:
        """Serve the streams in turn until the input is closed."""
        while True:
            with self._arrived:
                while not (self._requests or self._closed or self._due()):
                    self._arrived.wait()
                requests = list(self._requests)
                self._requests.clear()
                if self._closed:
                    return
            for request, audio in requests:
                self._accept(request, audio)
            if due := self._due():
                self._advance(self._next(due))

    def _due(self) -> list[Stream]:
        return [stream for stream in self._streams.values() if stream.is_due]

    def _next(self, due: list[Stream]) -> Stream:
        """Return the stream whose turn it is, for one piece of work.

        Every other turn is for speakers whose audio is recognised as they speak: they do not wait
        for all streams that are behind, whose audio came faster than that.
        """
        self._turns += 1
        live = [stream for stream in due if stream.backlog <= _LONGEST + _SEARCH]
        behind = [stream for stream in due if stream.backlog > _LONGEST + _SEARCH]
        chosen = min((live or behind) if self._turns % 2 else (behind or live), key=_last_turn)
        chosen.last_turn = self._turns
        return chosen

    def _accept(self, request: dict[str, Any], audio: bytes) -> None:
        identity = request["stream"]
        stream = self._streams.get(identity)
        try:
            if request.get("open"):
                self._model = self._model or asr.load_model(self._options)
                decoder = decoding.Decoder(request["encoding"], request["rate"])
                recognition = asr.Recognition(self._model, request["language"])
                self._streams[identity] = Stream(identity, decoder, recognition)
                self._answer(stream=identity, ready=True)
            elif stream is None:
                return  # it has failed before
            elif request.get("change"):
                stream.change(decoding.Decoder(request["encoding"], request["rate"]))
            elif request.get("end"):
                stream.end()
            else:
                stream.add(audio)
                self._acknowledge(stream)
        except Exception as error:
            self._fail(identity, error)

    def _advance(self, stream: Stream) -> None:
        try:
            for kind, pieces in stream.advance():
                self._answer(stream=stream.identity, **{kind: pieces})
            self._acknowledge(stream)
            if stream.is_over:
                del self._streams[stream.identity]
                stream.recognition.require_certainty()
                self._answer(stream=stream.identity, ended=True, error=None, busy=stream.busy)
        except Exception as error:
            self._fail(stream.identity, error)

    def _acknowledge(self, stream: Stream) -> None:
        """Acknowledge audio, unless the recognition is behind: more would fill the memory."""
        if stream.owed and stream.backlog <= _BACKLOG:
            self._answer(stream=stream.identity, taken=stream.owed, seconds=stream.seconds)
            stream.owed = 0

    def _fail(self, identity: int, error: Exception) -> None:
        self._streams.pop(identity, None)
        if isinstance(error, asr.ReportableError):
            reason = str(error)
        else:
            # The text of another library's error may contain a path.
            reason = f"recognition broke with {type(error).__name__}"
        self._answer(stream=identity, ended=True, error=reason, busy=0.0)


class Stream:
    """The audio of one stream that is in no final result yet.

    Audio that would fill the memory waits as it came: a few bytes may be minutes of it. ``busy``:
    the seconds that the model has worked for it. ``owed``: bytes that were decoded, and not
    acknowledged.
    """

    def __init__(
        self, identity: int, decoder: decoding.Decoder, recognition: asr.Recognition
    ) -> None:
        import numpy as np

        self.identity = identity
        self.recognition = recognition
        self.busy = 0.0
        self.owed = 0
        self.last_turn = 0
        self._decoder = decoder
        # Audio, another decoder for what follows, and None for the end.
        self._arrived: deque[bytes | decoding.Decoder | None] = deque()
        self._samples: decoding.Samples = np.zeros(0, "int16")
        self._new: list[decoding.Samples] = []
        # The sample of the stream with which ``_samples`` begins.
        self._start = 0
        self._length = 0
        self._seen = 0
        self._ended = False
        self._is_unfinished = False
        self.is_over = False

    @property
    def seconds(self) -> float:
        """The length of the audio that was decoded."""
        return self._length / RATE

    @property
    def backlog(self) -> float:
        """The seconds of audio that are in no final result yet."""
        return (self._length - self._start) / RATE

    @property
    def is_due(self) -> bool:
        """Whether there is work to do: enough new audio, or the end."""
        if self.is_over:
            return False
        if self._arrived and self.backlog <= _BACKLOG:
            return True
        return self._ended or self._is_unfinished or self._length - self._seen >= _STEP * RATE

    def add(self, audio: bytes) -> None:
        """Add the audio of one frame."""
        self._arrived.append(audio)
        self._decode()

    def change(self, decoder: decoding.Decoder) -> None:
        """Decode the audio that follows by another decoder."""
        self._arrived.append(decoder)
        self._decode()

    def end(self) -> None:
        """End the audio."""
        self._arrived.append(None)
        self._decode()

    def _decode(self) -> None:
        while self._arrived and self.backlog <= _BACKLOG:
            match self._arrived.popleft():
                case bytes(audio):
                    most = self._decoder.most
                    if rest := audio[most:]:
                        self._arrived.appendleft(rest)
                    audio = audio[:most]
                    self.owed += len(audio)
                    self._append(self._decoder.decode(audio))
                case None:
                    self._append(self._decoder.flush())
                    self._ended = True
                case decoder:
                    self._append(self._decoder.flush())
                    self._decoder = decoder

    def _append(self, samples: decoding.Samples) -> None:
        self._new.append(samples)
        self._length += len(samples)

    def advance(self) -> Iterator[tuple[str, list[Piece]]]:
        """Yield one final result if speech has ended, otherwise an interim one if it goes on."""
        import numpy as np

        began = time.monotonic()
        self._samples = np.concatenate([self._samples, *self._new])
        self._new.clear()
        self._seen = self._length
        self._is_unfinished = False
        window = self._samples[: int((_LONGEST + _SEARCH) * RATE)]
        voices = _voices(window)
        is_last = len(window) == len(self._samples)
        if not voices:
            kept = 0 if self._ended and is_last else int(_CONTEXT * RATE)
            self._drop(len(window) - kept)
        else:
            start, end = voices[0]
            if end - start > _LONGEST * RATE:
                end = start + _quietest(window[start : start + int(_LONGEST * RATE)])
                yield "final", self._final(start, end)
                self._drop(end)
                self._is_unfinished = True
            elif end < len(window) or (self._ended and is_last):
                yield "final", self._final(start, end)
                self._drop(end)
                self._is_unfinished = True
            elif is_last:
                yield "interim", self._interim(start)
            else:
                # The voice goes on after the window: it is looked at from its beginning.
                self._drop(start)
        self.is_over = self._ended and not len(self._samples)
        self._is_unfinished |= not is_last
        self._decode()
        self.busy += time.monotonic() - began

    def _drop(self, count: int) -> None:
        count = max(0, count)
        self._samples = self._samples[count:]
        self._start += count

    def _final(self, start: int, end: int) -> list[Piece]:
        return self._recognise(start, end, is_final=True)

    def _interim(self, start: int) -> list[Piece]:
        return self._recognise(start, len(self._samples), is_final=False)

    def _recognise(self, start: int, end: int, *, is_final: bool) -> list[Piece]:
        text, score = self.recognition.recognise_short(self._samples[start:end], is_final=is_final)
        begin, until = (self._start + start) / RATE, (self._start + end) / RATE
        return [(begin, until, text, math.exp(score))] if text else []


def _last_turn(stream: Stream) -> int:
    return stream.last_turn


def _voices(samples: decoding.Samples) -> list[tuple[int, int]]:
    """Return the ranges of samples with voices, which a silence of ``_QUIET`` separates.

    The last one ends with the samples if its voice may go on.
    """
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    if not len(samples) or max(-int(samples.min()), int(samples.max())) < asr.SILENCE:
        return []
    options = VadOptions(
        threshold=_VOICE, min_silence_duration_ms=int(_QUIET * 1000), speech_pad_ms=int(_PAD * 1000)
    )
    found = get_speech_timestamps(asr.waveform(samples), options)
    return [(int(voice["start"]), int(voice["end"])) for voice in found]


def _quietest(samples: decoding.Samples) -> int:
    """Return the middle of the quietest moment in the last ``_SEARCH`` seconds."""
    size = RATE // 5
    count = int(_SEARCH * RATE) // size
    tail = samples[-count * size :].astype("float32").reshape(count, size)
    return len(samples) - count * size + int((tail**2).mean(axis=1).argmin()) * size + size // 2


if __name__ == "__main__":
    main()
