"""The README is true: its programs run as they stand, its words exist, its table is the code's."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from symbl_aio.cli.commands import cli
from symbl_aio.cli.endings import MEANINGS
from symbl_aio.testing import LocalSymbl

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
RECORDING = ROOT / "examples" / "media" / "inaugural.mp4"

PROGRAMS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SHELL = [
    line.removeprefix("$ ").split("#")[0].strip()
    for block in re.findall(r"^```console\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]


def heading_of(program: str) -> str:
    before = README[: README.index(program)]
    heading: str = re.findall(r"^## (.*)$", before, re.MULTILINE)[-1]
    return heading


def test_the_readme_has_programs():
    assert len(PROGRAMS) >= 4


@pytest.mark.parametrize("program", PROGRAMS, ids=heading_of)
async def test_every_program_of_the_readme_runs_as_it_stands(program, tmp_path):
    for name in ("standup.mp4", "standup-part2.mp4"):
        (tmp_path / name).write_bytes(RECORDING.read_bytes())
    is_test = "def test_" in program
    script = tmp_path / ("test_readme_block.py" if is_test else "program.py")
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
            cwd=tmp_path,
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
    assert out


def test_every_make_word_of_the_documents_exists():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for document in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text("utf-8")
        for words in re.findall(r"(?:`|\$ )make ([a-z -]+)", text):
            for word in words.split():
                assert word in targets, f"{document} tells of make {word}"


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("symbl-aio ")])
def test_every_command_of_the_readme_exists(line):
    done = CliRunner().invoke(cli, [line.split()[1], "--help"])

    assert done.exit_code == 0


def test_the_exit_codes_are_those_of_the_program():
    table = re.search(r"\| Exit code \| Meaning \|\n\|[- |]+\|\n((?:\|.*\n)+)", README)
    assert table
    rows = dict(re.findall(r"\| (\d+) \| (.*?) \|", table[1]))
    assert rows == {str(code): meaning for code, meaning in MEANINGS.items()}


def test_every_picture_and_page_it_links_to_is_there():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
