"""The README and the pages of the client are true: their programs run, their commands exist."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from symbl_aio.cli.commands import cli
from symbl_aio.cli.exit_codes import FAULT, MEANINGS, OK, USAGE
from tests.programs import heading_of, programs, run, shell_lines
from tests.tables import table

ROOT = Path(__file__).parents[1]
NAMES = (
    "README.md", "docs/guide.md", "docs/command-line.md", "docs/promises.md", "docs/live.md",
)  # fmt: skip
PAGES = {name: (ROOT / name).read_text("utf-8") for name in NAMES}
PROGRAMS = [(name, program) for name, page in PAGES.items() for program in programs(page)]
LINES = [
    line for page in PAGES.values() for line in shell_lines(page) if line.startswith("symbl-aio ")
]


def name_of(value: str) -> str:
    """Return the heading above a program, or the name of its page, for the id of a test."""
    return value if value in PAGES else heading_of("\n".join(PAGES.values()), value)


def test_the_pages_have_programs():
    assert len(programs(PAGES["README.md"])) >= 4
    assert len(programs(PAGES["docs/guide.md"])) >= 6


@pytest.mark.parametrize(("page", "program"), PROGRAMS, ids=name_of)
async def test_every_program_of_the_pages_runs_as_it_stands(page, program, tmp_path):
    assert await run(program, tmp_path, alone=(page, program) == PROGRAMS[0])


def test_the_readme_can_be_read_in_one_go():
    assert len(PAGES["README.md"].splitlines()) <= 170


def test_every_make_word_of_the_documents_exists():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for document in (*PAGES, "CONTRIBUTING.md", "docs/durable.md"):
        text = (ROOT / document).read_text("utf-8")
        for words in re.findall(r"(?:`|\$ )make ([a-z -]+)", text):
            for word in words.split():
                assert word in targets, f"{document} names make {word}"


def test_every_word_of_make_is_in_the_table_for_contributors():
    (words,) = re.findall("^WORDS := (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    table_of_words = (ROOT / "CONTRIBUTING.md").read_text("utf-8")

    assert [word for word in words.split() if f"| `make {word}` |" not in table_of_words] == []


@table("line", LINES)
def test_every_command_of_the_pages_exists_with_its_options(line):
    done = CliRunner().invoke(cli, [line.split()[1], "--help"])

    assert done.exit_code == 0
    for option in re.findall(r"--[a-z-]+", line):
        assert option in done.output


def test_the_exit_codes_are_those_of_the_program():
    page = PAGES["docs/command-line.md"]
    table = re.search(r"\| Exit code \| Meaning \|\n\|[- |]+\|\n((?:\|.*\n)+)", page)
    assert table
    rows = dict(re.findall(r"\| (\d+) \| (.*?) \|", table[1]))
    assert rows == {str(code): meaning for code, meaning in MEANINGS.items()}


def test_the_page_for_operators_has_the_exit_codes_of_a_worker():
    page = (ROOT / "docs" / "operating.md").read_text()
    table = re.search(r"\| Code \| When \|.*\n\|[- |]+\|\n((?:\|.*\n)+)", page)
    assert table
    rows = set(re.findall(r"^\| (\d+) ", table[1], re.M))
    of_workers = {code for code, meaning in MEANINGS.items() if "start it again" in meaning}
    assert rows >= {str(code) for code in of_workers | {OK, USAGE, FAULT}}


@table("name", PAGES)
def test_every_picture_and_page_it_links_to_is_there(name):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", PAGES[name]):
        assert ((ROOT / name).parent / target).exists(), target


@table("name", [*PAGES, "CONTRIBUTING.md", "SECURITY.md"])
def test_every_heading_it_links_to_is_there(name):
    here = ROOT / name
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", here.read_text("utf-8")):
        page = (here.parent / target if target else here).read_text("utf-8")
        headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
        assert anchor in [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings]
