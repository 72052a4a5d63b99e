"""Programs that stand in documents, and what it takes to run them as they stand."""

from __future__ import annotations

import asyncio
import io
import os
import re
import runpy
import socket
import sys
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    asynccontextmanager,
    chdir,
    contextmanager,
    redirect_stderr,
    redirect_stdout,
)
from pathlib import Path

import aiohttp
import pytest

from symbl_aio.testing import LocalSymbl
from tests.contrib.site import listening, uvicorn_serving
from tests.support import QUICK_VARIABLES

ROOT = Path(__file__).parents[1]
RECORDING = ROOT / "examples" / "media" / "inaugural.mp4"


def programs(document: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)


def shell_lines(document: str) -> list[str]:
    """Give what is typed, without prompts and comments."""
    return [
        line.removeprefix("$ ").split("#")[0].strip()
        for block in re.findall(r"^```console\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def heading_of(document: str, program: str) -> str:
    before = document[: document.index(program)]
    heading: str = re.findall(r"^## (.*)$", before, re.MULTILINE)[-1]
    return heading


async def run(program: str, directory: Path, *, alone: bool = False) -> str:
    """Run a program, or a test, on a local server and two recordings; return what it printed.

    A web service is served and used instead, and its answer is returned. ``alone``: in a process
    of its own, as a user runs it; else in this one, which has imported it all already.
    """
    _write_recordings(directory)
    if re.search(r"^(app = |def make_app)", program, re.MULTILINE):
        return await _serve_and_use(program, directory, alone)
    if "def test_" in program:
        return await run_tests([program], directory)
    script = directory / "program.py"
    script.write_text(program, "utf-8")
    async with LocalSymbl() as symbl:
        if not alone:
            with _inside(symbl, directory):
                return await asyncio.to_thread(_printed, script)
        return await _end(symbl, directory, "-W", "error", str(script))


def _write_recordings(directory: Path) -> None:
    for name in ("standup.mp4", "standup-part2.mp4"):
        (directory / name).write_bytes(RECORDING.read_bytes())
    with wave.open(str(directory / "standup.wav"), "wb") as writer:
        writer.setparams((1, 2, 16_000, 0, "NONE", ""))
        writer.writeframes(bytes(32_000))


async def run_tests(programs: list[str], directory: Path) -> str:
    """Run programs that are tests, all in one process of pytest; return what it printed."""
    _write_recordings(directory)
    for number, program in enumerate(programs):
        (directory / f"test_block_{number}.py").write_text(program, "utf-8")
    async with LocalSymbl() as symbl:
        return await _end(
            symbl,
            directory,
            *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"),
        )


async def _end(symbl: LocalSymbl, directory: Path, *arguments: str) -> str:
    """Run a process of Python to its end, without an error; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=directory,
        env=os.environ | _environment(symbl),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, ""), out.decode()
    return out.decode()


def _printed(script: Path) -> str:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        runpy.run_path(str(script), run_name="__main__")
    assert err.getvalue() == "", out.getvalue()
    return out.getvalue()


@contextmanager
def _inside(symbl: LocalSymbl, directory: Path) -> Iterator[None]:
    """Let the block run where a process of its own would, with its variables."""
    with pytest.MonkeyPatch.context() as patch, chdir(directory):
        for name, value in _environment(symbl).items():
            patch.setenv(name, value)
        yield


def _environment(symbl: LocalSymbl) -> dict[str, str]:
    return {
        "SYMBL_BASE_URL": symbl.base_url,
        "SYMBL_APP_ID": "app",
        "SYMBL_APP_SECRET": "secret",
        "PYTHONPATH": str(ROOT),
        **QUICK_VARIABLES,
    }


async def _serve_and_use(program: str, directory: Path, alone: bool) -> str:
    """Serve a web service as its documents say, upload a recording, and see its job to the end."""
    service = directory / "service.py"
    service.write_text(program, "utf-8")
    async with LocalSymbl(probe_media=False, default_transcript="Ann: Hello.") as symbl:
        if alone or "def make_app" in program:
            async with _process(program, directory, symbl) as url:
                return await _use(program, url, symbl)
        sock, url = listening()
        with _inside(symbl, directory):
            app = runpy.run_path(str(service))["app"]
            async with uvicorn_serving(app, sock, ws="wsproto"):
                speaks = "@app.websocket" in program
                return await (_speak(url) if speaks else _use(program, url, symbl))


async def _speak(url: str) -> str:
    """Speak a second into the page's microphone; return the events."""
    async with (
        aiohttp.ClientSession() as visitor,
        visitor.ws_connect(f"{url}/speak?rate=48000", origin=url) as websocket,
    ):
        await websocket.send_bytes(bytes(96_000))
        await websocket.send_json({"type": "stop_request"})
        events = [str(message.data) async for message in websocket]
    assert "conversation_completed" in events[-1]
    return "\n".join(events)


@asynccontextmanager
async def _process(program: str, directory: Path, symbl: LocalSymbl) -> AsyncIterator[str]:
    """Serve it in a process of its own; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    how = (
        ["aiohttp.web", "-H", "127.0.0.1", "-P", port, "service:make_app"]
        if "def make_app" in program
        else ["uvicorn", "service:app", "--port", port]
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", *how),
        cwd=directory,
        env=os.environ | _environment(symbl),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    printed = b""
    while b"unning on http" not in printed:
        line = await process.stdout.readline()
        printed += line
        assert line, printed.decode()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.communicate()


async def _use(program: str, url: str, symbl: LocalSymbl) -> str:
    async with aiohttp.ClientSession(url) as visitor:
        form = aiohttp.FormData({"name": "Monday"})
        form.add_field("file", RECORDING.read_bytes(), filename="talk.mp4")
        async with visitor.post("/recordings", data=form) as answer:
            taken: dict[str, str] = await answer.json()
            assert answer.status == 200, taken
        async with visitor.get(f"/symbl/jobs/{taken['job']}") as answer:
            assert answer.status == (200 if "/symbl" in program else 404)
        await symbl.until(lambda: not symbl.unfinished)
        async with visitor.get(f"/conversations/{taken.get('conversation')}") as answer:
            return await answer.text() if answer.status == 200 else str(taken)
