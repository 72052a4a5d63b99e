"""Programs that stand in documents, and what it takes to run them as they stand."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

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
    """Run a program, or a test, on a local server and two recordings; give what it printed."""
    for name in ("standup.mp4", "standup-part2.mp4"):
        (directory / name).write_bytes(RECORDING.read_bytes())
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
            env=os.environ
            | {
                "SYMBL_BASE_URL": symbl.base_url,
                "SYMBL_APP_ID": "app",
                "SYMBL_APP_SECRET": "secret",
                "PYTHONPATH": str(ROOT),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, ""), out.decode()
    return out.decode()
