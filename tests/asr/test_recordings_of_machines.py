"""Recordings as phones, recorders, pipes and mixers write them: what the server makes of each.

The files are made of the recordings of the demo, by FFmpeg, SoX and espeak-ng, and byte by byte.
Words are compared loosely: another processor recognises others.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from attrs import frozen

from symbl_aio.server import LocalServer
from symbl_aio.server.recognizer import Recognizer
from tests.server.conftest import Caller

pytestmark = [
    pytest.mark.asr,
    pytest.mark.skipif(not Recognizer.available(), reason="needs the asr extra"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]

MEDIA = Path(__file__).parents[2] / "examples" / "media"
KENNEDY, NOVEL = MEDIA / "inaugural.mp4", MEDIA / "sensibility.m4a"
KENNEDY_WORDS = "fellow americans ask not what your country can do for you ask what you can do"
NOVEL_WORDS = "john dashwood had then leisure to consider how much there might be prudently"


def tool(name: str) -> str:
    """Return the path of a program of the machine, or skip the test by its name."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs {name}")
    return path


def ffmpeg(target: Path, *arguments: str | Path) -> bytes:
    """Return the bytes of a file that FFmpeg writes."""
    subprocess.run(
        [tool("ffmpeg"), "-v", "error", "-y", *map(str, arguments), str(target)], check=True
    )
    return target.read_bytes()


def say(target: Path, language: str, text: str) -> bytes:
    """Return a wav in which espeak-ng reads a text."""
    subprocess.run([tool("espeak-ng"), "-v", language, "-w", str(target), text], check=True)
    return target.read_bytes()


def say_to_a_pipe(text: str) -> bytes:
    """Return a wav that espeak-ng writes to a pipe."""
    command = [tool("espeak-ng"), "--stdout", text]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


@frozen
class Result:
    """The end of a job: its status, its reason, and the messages of its conversation."""

    status: str
    job: dict[str, Any]
    messages: list[dict[str, Any]]
    duration: float

    @property
    def words(self) -> list[str]:
        return re.findall(r"[a-z']+", " ".join(m["text"] for m in self.messages).lower())

    def has(self, expected: str, share: float = 0.75) -> bool:
        """Return whether most of the expected words were recognised."""
        wanted = expected.split()
        return sum(word in self.words for word in wanted) >= share * len(wanted)


Hear = Callable[..., Awaitable[Result]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caller() -> AsyncIterator[Caller]:
    """One server for all, since its recogniser takes seconds to load."""
    async with LocalServer(asr="auto") as server:
        caller = Caller(server)
        yield caller
        await caller.aclose()


@pytest.fixture
def hear(caller: Caller) -> Hear:
    """Submit a recording to a server that recognises speech, and wait for the end of its job."""

    async def submit(data: bytes, **query: str) -> Result:
        answer = await caller.audio(data, **query)
        assert answer.status == 201, answer.body
        await caller.server.until(lambda: not caller.server.unfinished)
        job = (await caller.get(f"/v1/job/{answer.body['jobId']}")).body
        path = f"/v1/conversations/{answer.body['conversationId']}"
        messages = (await caller.get(f"{path}/messages")).body["messages"]
        about = (await caller.get(path)).body
        begin, end = (datetime.fromisoformat(about[key]) for key in ("startTime", "endTime"))
        return Result(job["status"], job, messages, (end - begin).total_seconds())

    return submit


FOREIGN = {
    "es": "Buenos días a todos. La reunión de mañana empieza a las nueve y hablaremos del "
    "presupuesto del próximo año. Necesitamos contratar a dos personas más.",
    "de": "Guten Morgen zusammen. Die Besprechung beginnt morgen um neun Uhr und wir reden über "
    "den Haushalt des nächsten Jahres. Wir müssen zwei weitere Leute einstellen.",
    "fr": "Bonjour à tous. La réunion de demain commence à neuf heures et nous parlerons du "
    "budget de l'année prochaine. Nous devons embaucher deux personnes de plus.",
    "pt": "Bom dia a todos. A reunião de amanhã começa às nove e falaremos do orçamento do "
    "próximo ano. Precisamos contratar mais duas pessoas para a equipe de vendas.",
}


@pytest.mark.parametrize("language", FOREIGN)
async def test_speech_of_another_language_fails_and_never_becomes_english(
    hear: Hear, tmp_path: Path, language: str
) -> None:
    result = await hear(say(tmp_path / "said.wav", language, FOREIGN[language]))
    assert result.status == "failed"
    assert result.messages == []
    assert "recognises English only" in json.dumps(result.job)


DUTCH = (
    "Goedemorgen allemaal. De vergadering van morgen begint om negen uur en we praten over de "
    "begroting van volgend jaar. We moeten nog twee mensen aannemen voor het verkoopteam."
)
ARABIC = "صباح الخير جميعا. يبدأ اجتماع الغد في الساعة التاسعة وسنتحدث عن ميزانية العام المقبل"
ENGLISH = (
    "Good morning everybody. The meeting of tomorrow begins at nine and we will talk about the "
    "budget of next year. We have to hire two more people for the sales team. "
)


@pytest.mark.parametrize("pause", [3, 20, 60])
async def test_the_silence_between_two_speakers_belongs_to_neither(
    hear: Hear, tmp_path: Path, pause: int
) -> None:
    data = ffmpeg(
        tmp_path / "pause.wav",
        *("-i", NOVEL, "-i", KENNEDY, "-filter_complex"),
        f"[0:a]aformat=channel_layouts=mono:sample_rates=16000,apad=pad_dur={pause}[a];"
        "[1:a]aformat=channel_layouts=mono:sample_rates=16000[b];[a][b]concat=n=2:v=0:a=1",
    )
    result = await hear(data)
    assert result.has(NOVEL_WORDS)
    assert result.has(KENNEDY_WORDS)
    spans = [(m["timeOffset"], m["timeOffset"] + m["duration"]) for m in result.messages]
    # The first speaker ends after seven seconds, the second one begins at once.
    quiet = (7.6, 7.1 + pause - 0.6)
    assert [span for span in spans if span[0] < quiet[1] and span[1] > quiet[0]] == []


async def test_another_language_in_one_channel_is_left_out_and_never_becomes_english(
    hear: Hear, tmp_path: Path
) -> None:
    say(tmp_path / "english.wav", "en-us", ENGLISH * 3)
    for language, foreign in (("ar", ARABIC), ("nl", DUTCH)):
        say(tmp_path / f"{language}.wav", language, foreign)
        data = ffmpeg(
            tmp_path / "two.wav",
            *(
                "-i",
                tmp_path / "english.wav",
                "-i",
                tmp_path / f"{language}.wav",
                "-filter_complex",
            ),
            "[1:a]apad[b];[0:a][b]join=inputs=2:channel_layout=stereo,atrim=end=30",
        )
        result = await hear(data, enableSeparateRecognitionPerChannel="true")
        assert result.status == "completed"
        assert result.has("everybody meeting tomorrow begins budget hire people sales team")
        assert {message["from"]["name"] for message in result.messages} == {"Speaker 1"}


async def test_another_language_amid_english_is_left_out(hear: Hear, tmp_path: Path) -> None:
    say(tmp_path / "english.wav", "en-us", ENGLISH * 6)
    say(tmp_path / "dutch.wav", "nl", DUTCH * 3)
    data = ffmpeg(
        tmp_path / "long.wav",
        *("-i", tmp_path / "english.wav", "-i", tmp_path / "dutch.wav", "-filter_complex"),
        "[0:a]asplit[a][c];[a]atrim=end=30[a];[1:a]atrim=end=30[b];[c]atrim=end=30[c];"
        "[a][b][c]concat=n=3:v=0:a=1",
    )
    result = await hear(data)
    assert result.status == "completed"
    assert result.has("everybody meeting tomorrow begins budget hire people sales team")
    # Half a minute is recognised at a time, so that a border may have both languages.
    amid = [m for m in result.messages if 34 < m["timeOffset"] < 54]
    assert amid == []


async def test_english_of_the_same_voice_is_recognised(hear: Hear, tmp_path: Path) -> None:
    text = "Good morning everybody. We have to hire two more people for the sales team."
    result = await hear(say(tmp_path / "said.wav", "en-us", text), languageCode="en-US")
    assert result.has("good morning everybody we have to hire two more people")


async def test_no_message_ends_after_its_recording(hear: Hear, tmp_path: Path) -> None:
    for end in ("3", "5.5"):
        data = ffmpeg(tmp_path / "cut.wav", "-i", KENNEDY, "-t", end, "-vn")
        result = await hear(data)
        assert result.duration == pytest.approx(float(end), abs=0.1)
        for message in result.messages:
            assert message["timeOffset"] + message["duration"] <= result.duration + 0.01


async def test_each_of_two_channels_is_recognised_and_has_its_speaker(
    hear: Hear, tmp_path: Path
) -> None:
    data = ffmpeg(
        tmp_path / "two.wav", "-i", KENNEDY, "-i", NOVEL, "-filter_complex",
        "[0:a]aformat=channel_layouts=mono[a];[1:a]aformat=channel_layouts=mono,apad[b];"
        "[a][b]join=inputs=2:channel_layout=stereo,atrim=end=11",
    )  # fmt: skip
    speakers = [
        {"channel": 1, "speaker": {"name": "John"}},
        {"channel": 2, "speaker": {"name": "Jane", "email": "jane@example.test"}},
    ]
    result = await hear(
        data, enableSeparateRecognitionPerChannel="true", channelMetadata=json.dumps(speakers)
    )
    assert result.has(KENNEDY_WORDS)
    assert result.has(NOVEL_WORDS)
    by_name = {message["from"]["name"]: message["text"] for message in result.messages}
    assert "country" in by_name["John"]
    assert "Dashwood" in by_name["Jane"]
    starts = [message["timeOffset"] for message in result.messages]
    assert starts == sorted(starts)
    assert starts[-1] < 5


async def test_opposite_phases_do_not_cancel(hear: Hear, tmp_path: Path) -> None:
    data = ffmpeg(tmp_path / "anti.wav", "-i", KENNEDY, "-vn", "-af", "pan=stereo|c0=c0|c1=-1*c0")
    assert (await hear(data)).has(KENNEDY_WORDS)


async def test_the_track_with_speech_is_recognised(hear: Hear, tmp_path: Path) -> None:
    data = ffmpeg(
        tmp_path / "tracks.mp4", "-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-i", KENNEDY,
        "-map", "0:a", "-map", "1:a", "-t", "11", "-c:a", "aac",
    )  # fmt: skip
    assert (await hear(data)).has(KENNEDY_WORDS)


async def test_sound_that_begins_later_than_the_film_has_the_films_times(
    hear: Hear, tmp_path: Path
) -> None:
    data = ffmpeg(
        tmp_path / "late.mp4", "-i", KENNEDY, "-itsoffset", "2", "-i", KENNEDY,
        "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac",
    )  # fmt: skip
    result = await hear(data)
    assert result.has(KENNEDY_WORDS)
    assert 1.5 <= result.messages[0]["timeOffset"] <= 3.0
    assert result.duration == pytest.approx(13, abs=0.2)


# From a decoder that refuses frames of comfort noise: 20 ms of AMR in mode 8, among silence.
_NOISE_FRAME = b"\x44" + bytes(5)
_SILENT_FRAME = b"\x3c" + bytes(31)


async def test_frames_of_comfort_noise_keep_their_time(hear: Hear) -> None:
    data = b"#!AMR\n" + (_SILENT_FRAME * 50 + _NOISE_FRAME * 50) * 5
    result = await hear(data)
    assert result.status == "completed", result.job
    assert result.duration == pytest.approx(10, abs=1.1)


@pytest.mark.parametrize("size", [0x7FFFF000, 0x80000000, 0xFFFFFFFF, 0])
async def test_a_wav_from_a_pipe_is_whole(hear: Hear, tmp_path: Path, size: int) -> None:
    data = bytearray(
        ffmpeg(
            tmp_path / "pipe.wav", "-i", KENNEDY, "-vn", "-ac", "1", "-ar", "16000",
            "-map_metadata", "-1", "-fflags", "+bitexact",
        )
    )  # fmt: skip
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", size)
    assert (await hear(bytes(data))).has(KENNEDY_WORDS)


async def test_espeak_writes_such_a_wav(hear: Hear) -> None:
    data = say_to_a_pipe("Please call me back on Monday morning.")
    assert struct.unpack_from("<I", data, 40)[0] > len(data)
    assert (await hear(data)).has("please call me back on monday")


async def test_half_an_mp3_that_states_its_length_fails(hear: Hear, tmp_path: Path) -> None:
    data = ffmpeg(tmp_path / "whole.mp3", "-i", KENNEDY, "-vn", "-b:a", "32k")
    assert (await hear(data)).has(KENNEDY_WORDS)
    half = await hear(data[: len(data) // 2])
    assert half.status == "failed"
    assert "cut off" in json.dumps(half.job)


async def test_a_quiet_start_makes_no_recording_too_long(hear: Hear, tmp_path: Path) -> None:
    # Variable bit rate without a tag: the first frames suggest twenty times the length.
    source = ("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono:d=600", "-i", KENNEDY)
    data = ffmpeg(
        tmp_path / "quiet.mp3", *source, "-filter_complex",
        "[1:a]aresample=16000,aformat=channel_layouts=mono[s];[0:a][s]concat=n=2:v=0:a=1",
        "-q:a", "1", "-write_xing", "0",
    )  # fmt: skip
    result = await hear(data)
    assert result.status == "completed", result.job
    assert result.has(KENNEDY_WORDS)
    assert result.duration == pytest.approx(611, abs=2)


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("x.eac3", ["-c:a", "eac3", "-b:a", "96k"]),
        ("ima.wav", ["-ac", "1", "-ar", "16000", "-c:a", "adpcm_ima_wav"]),
        ("ms.wav", ["-ac", "1", "-ar", "16000", "-c:a", "adpcm_ms"]),
        ("x.mp4", ["-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"]),
        ("x.mov", ["-c:a", "aac", "-f", "mov"]),
        ("x.ogg", ["-c:a", "libvorbis"]),
        ("x.opus", ["-c:a", "libopus"]),
        ("x.wma", ["-c:a", "wmav2"]),
        ("x.aac", ["-c:a", "aac"]),
        ("x.aiff", []),
    ],
)
async def test_the_length_of_each_format_is_right(
    hear: Hear, tmp_path: Path, name: str, arguments: list[str]
) -> None:
    result = await hear(ffmpeg(tmp_path / name, "-i", KENNEDY, "-vn", *arguments))
    assert result.has(KENNEDY_WORDS)
    assert result.duration == pytest.approx(11.0, abs=0.2)


async def test_an_mp3_with_junk_in_front_is_recognised(hear: Hear, tmp_path: Path) -> None:
    data = ffmpeg(tmp_path / "whole.mp3", "-i", KENNEDY, "-vn", "-b:a", "32k")
    assert (await hear(b"\xff\xfb not a frame " * 100 + data)).has(KENNEDY_WORDS)


async def test_quicktime_without_a_brand_is_recognised(hear: Hear, tmp_path: Path) -> None:
    data = ffmpeg(tmp_path / "x.mov", "-i", KENNEDY, "-vn", "-c:a", "aac", "-f", "mov")
    assert data[4:8] == b"ftyp"
    assert (await hear(data[:4] + b"wide" + data[8:])).has(KENNEDY_WORDS)


async def test_seconds_that_hold_hours_of_silence_do_not_last(hear: Hear, tmp_path: Path) -> None:
    data = bytearray(
        ffmpeg(tmp_path / "x.flac", "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono:d=3600")
    )
    # 36 bits of the number of samples: one second.
    data[21] &= 0xF0
    data[22:26] = (8000).to_bytes(4, "big")
    result = await hear(bytes(data))
    assert result.status == "failed"
    assert "more sound than" in json.dumps(result.job)


@pytest.mark.parametrize("name", ["x.mp3", "x.opus"])
async def test_recordings_that_were_joined_are_recognised_to_the_end(
    hear: Hear, tmp_path: Path, name: str
) -> None:
    joined = b"".join(
        ffmpeg(tmp_path / name, "-i", recording, "-vn") for recording in (KENNEDY, NOVEL)
    )
    result = await hear(joined)
    assert result.has(KENNEDY_WORDS)
    assert result.has(NOVEL_WORDS)
    assert result.duration == pytest.approx(18.1, abs=0.3)


async def test_quiet_speech_on_the_constant_of_a_poor_sound_card_is_recognised(
    hear: Hear, tmp_path: Path
) -> None:
    poor = "volume=0.1,aeval=val(0)+0.1"
    data = ffmpeg(tmp_path / "x.wav", "-i", KENNEDY, "-vn", "-af", poor, "-c:a", "pcm_s16le")
    assert (await hear(data)).has(KENNEDY_WORDS)


async def test_mp3_in_a_wav_is_recognised(hear: Hear, tmp_path: Path) -> None:
    data = ffmpeg(tmp_path / "x.wav", "-i", KENNEDY, "-vn", "-c:a", "mp3")
    assert (await hear(data)).has(KENNEDY_WORDS)
