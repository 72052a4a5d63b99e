"""`symbl-aio listen`: captions of a recording and of standard input, on a real socket."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from symbl_aio import (
    ConfigurationError,
    Gap,
    InsightEvent,
    Missed,
    Question,
    Recognition,
    StreamRefusedError,
    User,
)
from symbl_aio.cli.exit_codes import code_of
from symbl_aio.cli.listen import _send, opened
from symbl_aio.cli.show_captions import Captions
from tests.live.peer import Peer, enveloped, open_peer, recognised, usual, wav
from tests.live.test_file_stream import ramp
from tests.shell import CREDENTIALS, Shell


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with open_peer() as running:

        async def answer(session: Any, request: dict[str, Any]) -> None:
            if request["type"] == "stop_request":
                await session.send(recognised("Good", is_final=False))
                await session.send(recognised("Good morning."))
            await usual(session, request)

        running.on_request = answer
        yield running


@pytest.fixture
def shell(peer: Peer) -> Shell:
    return Shell(SYMBL_BASE_URL=f"http://127.0.0.1:{peer.port}", **CREDENTIALS)


async def test_a_recording_is_captioned(peer: Peer, shell: Shell, tmp_path: Path):
    audio = ramp(8000)
    path = wav(tmp_path / "a.wav", audio)
    ended = await shell.run("listen", str(path), "--title", "Pier 4", "--speaker", "Ines")
    assert (ended.code, ended.out) == (0, "Good morning.\n")
    (conversation,) = peer.conversations.values()
    assert ended.err == f"Conversation {conversation}\n"
    (session,) = peer.sessions
    assert bytes(session.audio) == audio
    assert session.requests[0]["speaker"] == {"name": "Ines"}
    assert session.requests[0]["config"]["meetingTitle"] == "Pier 4"

    ended = await shell.run("listen", "--json", str(path))
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["event"] for line in lines] == [
        "state", "state", "recognition", "recognition", "state", "listened",
    ]  # fmt: skip
    assert lines[3]["text"] == "Good morning."


async def test_a_missing_recording_is_an_error_of_usage(peer: Peer, shell: Shell):
    ended = await shell.run("listen", "missing.wav")
    assert ended.code == 2
    assert "missing.wav cannot be read" in ended.err
    assert peer.sessions == []


async def test_a_server_that_refuses_the_start_is_an_error_of_its_own(peer: Peer, shell: Shell):
    async def refuse(session: Any, request: Any) -> None:
        await session.send(enveloped("error", message="no such language"))

    peer.on_request = refuse
    ended = await shell.run("listen", "--language", "xx", str(Path(sys.executable)), "--json")
    assert ended.code == 2  # no wav, and PyAV cannot decode it, or is not here
    assert code_of(StreamRefusedError("no such language")) == 5


def test_samples_of_standard_input_are_read_whole():
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as stream:
        os.write(write_end, b"12345")
        rate, read = opened(stream, 16_000)
        assert rate == 16_000
        os.write(write_end, b"6")
        assert read() + read() == b"123456"
        os.close(write_end)
        assert read() == b""


class Read(io.FileIO):
    """The reading end of a pipe. ``once`` is set when something was read from it."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.once = threading.Event()

    def readinto(self, buffer: Any) -> int | None:
        count = super().readinto(buffer)
        self.once.set()
        return count


@pytest.mark.parametrize("first", [1, 3, 5, 43, 45])
def test_a_wav_is_recognised_however_few_bytes_come_first(tmp_path: Path, first: int):
    recording = wav(tmp_path / "a.wav", ramp(3000), rate=8000).read_bytes()
    read_end, write_end = os.pipe()
    raw = Read(read_end)

    def write_rest() -> None:
        raw.once.wait(timeout=30)
        with os.fdopen(write_end, "wb") as end:
            end.write(recording[first:])

    os.write(write_end, recording[:first])
    writing = threading.Thread(target=write_rest)
    writing.start()
    with io.BufferedReader(raw) as stream:
        rate, read = opened(stream, 16_000)
        audio = b"".join(iter(read, b""))
    writing.join()
    assert (rate, audio) == (8000, ramp(3000))


def test_a_wav_on_standard_input_names_its_rate(tmp_path: Path):
    made = wav(tmp_path / "a.wav", ramp(3000), rate=8000)
    with made.open("rb") as stream:
        rate, read = opened(stream, 16_000)
        assert rate == 8000
        assert read() == ramp(3000)[: 2 * 800]

    stereo = wav(tmp_path / "b.wav", ramp(3000), channels=2)
    with stereo.open("rb") as stream, pytest.raises(ConfigurationError, match="one channel"):
        opened(stream, 16_000)


def test_a_wav_without_a_length_on_standard_input_is_read_to_its_end(tmp_path: Path):
    path = wav(tmp_path / "a.wav", b"", rate=8000)
    stream = io.BufferedReader(io.BytesIO(path.read_bytes() + ramp(1000)))
    rate, read = opened(stream, 16_000)
    found = b""
    while part := read():
        found += part
    assert (rate, found) == (8000, ramp(1000))


async def test_standard_input_without_audio_is_an_error_of_usage(peer: Peer, shell: Shell):
    process = await asyncio.create_subprocess_shell(
        f"{shlex.quote(sys.executable)} -m symbl_aio.cli listen <&-",
        env=shell.environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    ended = await shell.end(process)
    assert ended.code == 2
    assert "pipe it in" in ended.err
    assert peer.sessions == []


@pytest.mark.parametrize("is_named", [True, False])
async def test_ctrl_c_while_a_microphone_is_silent_names_the_conversation(
    is_named: bool, peer: Peer, shell: Shell
):
    async def answer(session: Any, request: dict[str, Any]) -> None:
        if is_named:
            await usual(session, request)
        elif request["type"] == "start_request":
            await session.send(enveloped("started_listening"))

    peer.on_request = answer
    # In a new interpreter: at its end it would be aborted.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "symbl_aio.cli", "listen"),
        env=shell.environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(bytes(3200))
    await process.stdin.drain()
    session = await peer.session()
    await session.until(lambda: len(session.audio) == 3200)

    process.send_signal(signal.SIGINT)
    err = (await process.stderr.read()).decode()  # its standard input is open until then

    assert await process.wait() == 130
    told = "".join(
        f"symbl-aio: stopped; conversation {conversation} has the audio that arrived\n"
        for conversation in peer.conversations.values()
    )
    assert (err, bool(told)) == (told, is_named)


async def test_a_read_that_fails_in_the_middle_ends_the_audio(peer: Peer):
    pieces = [b"12"]

    def read() -> bytes:
        if not pieces:
            raise OSError(5, "Input/output error")
        return pieces.pop()

    failures: list[OSError] = []
    async with peer.client() as symbl, symbl.stream() as stream:
        await _send(stream, read, failures)
        assert [event async for event in stream]
    assert [failure.errno for failure in failures] == [5]
    assert bytes(peer.sessions[0].audio) == b"12"


def test_a_terminal_shows_the_words_that_may_change_on_one_line():
    out, err = io.StringIO(), io.StringIO()
    captions = Captions(
        Console(file=out, force_terminal=True, width=30, color_system=None), Console(file=err)
    )
    ines = User(name="Ines")
    captions.show(Recognition(text="The ferry", speaker=ines))
    captions.show(Recognition(text="The ferry at four is running late", speaker=ines))
    captions.show(Recognition(text="The ferry is late.\x1b[2J", is_final=True, speaker=ines))
    captions.show(InsightEvent(insight=Question(id="", text="Is it?", type="question")))
    captions.show(Gap(seconds=1.25, bytes_lost=3200, position=0))
    captions.show(Missed(events=4))
    captions.clear()
    lines = out.getvalue().split("\n")
    assert lines[0].split("\r")[-1].endswith("Ines: The ferry is late. [2J")
    assert "…" in lines[0]
    assert lines[1:] == ["  question: Is it?", ""]
    assert "3200 bytes of audio may not have arrived" in err.getvalue()
    assert "4 events" in err.getvalue()


def test_without_a_terminal_only_final_words_are_printed():
    out = io.StringIO()
    captions = Captions(Console(file=out), Console(file=io.StringIO()))
    captions.show(Recognition(text="The ferry"))
    captions.show(Recognition(text="The ferry is late.", is_final=True))
    assert out.getvalue() == "The ferry is late.\n"
