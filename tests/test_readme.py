"""The README is true: its programs run as they stand, its words exist, its table is the code's."""

import re
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from symbl_aio.cli.commands import cli
from symbl_aio.cli.endings import MEANINGS
from tests.programs import heading_of, programs, run, shell_lines
from tests.tables import table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PROGRAMS = programs(README)


def test_the_readme_has_programs():
    assert len(PROGRAMS) >= 4


@pytest.mark.parametrize("program", PROGRAMS, ids=partial(heading_of, README))
async def test_every_program_of_the_readme_runs_as_it_stands(program, tmp_path):
    assert await run(program, tmp_path, alone=program == PROGRAMS[0])


def test_every_make_word_of_the_documents_exists():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for document in ("README.md", "CONTRIBUTING.md", "docs/durable.md"):
        text = (ROOT / document).read_text("utf-8")
        for words in re.findall(r"(?:`|\$ )make ([a-z -]+)", text):
            for word in words.split():
                assert word in targets, f"{document} tells of make {word}"


@table("line", [line for line in shell_lines(README) if line.startswith("symbl-aio ")])
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
