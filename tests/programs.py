"""Programs that stand in documents, and what it takes to run them as they stand."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from pathlib import Path

import aiohttp

from symbl_aio.testing import LocalSymbl

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


async def run(program: str, directory: Path) -> str:
    """Run a program, or a test, on a local server and two recordings; give what it printed.

    A web service is served and used instead, and what it answers is given.
    """
    for name in ("standup.mp4", "standup-part2.mp4"):
        (directory / name).write_bytes(RECORDING.read_bytes())
    if re.search(r"^(app = |def make_app)", program, re.MULTILINE):
        return await _serve_and_use(program, directory)
    is_test = "def test_" in program
    script = directory / ("test_readme_block.py" if is_test else "program.py")
    script.write_text(program, "utf-8")
    as_test = [
        *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"),
    ]
    async with LocalSymbl() as symbl:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(as_test if is_test else ["-W", "error"]),
            str(script),
            cwd=directory,
            env=_environment(symbl),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, ""), out.decode()
    return out.decode()


def _environment(symbl: LocalSymbl) -> dict[str, str]:
    return os.environ | {
        "SYMBL_BASE_URL": symbl.base_url,
        "SYMBL_APP_ID": "app",
        "SYMBL_APP_SECRET": "secret",
        "PYTHONPATH": str(ROOT),
    }


async def _serve_and_use(program: str, directory: Path) -> str:
    """Serve a web service as its documents say, upload a recording, and see its job to the end."""
    (directory / "service.py").write_text(program, "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    how = (
        ["aiohttp.web", "-H", "127.0.0.1", "-P", port, "service:make_app"]
        if "def make_app" in program
        else ["uvicorn", "service:app", "--port", port]
    )
    async with LocalSymbl(probe_media=False, default_transcript="Ann: Hello.") as symbl:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "-m", *how),
            cwd=directory,
            env=_environment(symbl),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        said = b""
        while b"unning on http" not in said:
            line = await process.stdout.readline()
            said += line
            assert line, said.decode()
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as visitor:
                form = aiohttp.FormData({"name": "Monday"})
                form.add_field("file", RECORDING.read_bytes(), filename="talk.mp4")
                async with visitor.post("/recordings", data=form) as answer:
                    told: dict[str, str] = await answer.json()
                    assert answer.status == 200, told
                async with visitor.get(f"/symbl/jobs/{told['job']}") as answer:
                    assert answer.status == (200 if "/symbl" in program else 404)
                await symbl.until(lambda: not symbl.unfinished)
                async with visitor.get(f"/conversations/{told.get('conversation')}") as answer:
                    return await answer.text() if answer.status == 200 else str(told)
        finally:
            process.terminate()
            await process.communicate()
