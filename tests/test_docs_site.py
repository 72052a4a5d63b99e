"""The pages of the site that ``make docs`` builds: their programs run, their lists are complete."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

import symbl_aio
from symbl_aio import durable, errors, models, report, server, sync
from symbl_aio.cli.commands import cli
from symbl_aio.config import Config
from tests.check_site import byte_code, fetches
from tests.programs import heading_of, programs, run, run_tests, shell_lines
from tests.tables import table

ROOT = Path(__file__).parents[1]
NAMES = (
    "bulk", "coming-from", "errors", "faq", "index", "quickstart", "reports", "sync", "testing",
    "tutorial",
)  # fmt: skip
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in NAMES}
SETTINGS = ROOT / "symbl_aio" / "config.py"
BLOCKS = [(name, program) for name, page in PAGES.items() for program in programs(page)]
PROGRAMS = [(name, program) for name, program in BLOCKS if "def test_" not in program]
LINES = [
    line for page in PAGES.values() for line in shell_lines(page) if line.startswith("symbl-aio ")
]


def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_site", ROOT / "docs" / "site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def name_of(value: str) -> str:
    if value in PAGES:
        return value
    (page,) = [page for page in PAGES.values() if value in page]
    return heading_of("## Top\n" + page, value)


@pytest.mark.parametrize(("page", "program"), PROGRAMS, ids=name_of)
async def test_every_program_of_the_pages_runs_as_it_stands(
    page: str, program: str, tmp_path: Path
):
    printed = await run(program, tmp_path)

    assert printed or "print(" not in program


async def test_the_tests_of_the_pages_pass(tmp_path: Path):
    tests = [program for _, program in BLOCKS if "def test_" in program]

    printed = await run_tests(tests, tmp_path)

    assert re.search(r"(\d+) passed", printed), printed
    assert len(tests) >= 3


@table("line", LINES)
def test_every_command_of_the_pages_exists_with_its_options(line: str):
    done = CliRunner().invoke(cli, [line.split()[1], "--help"])

    assert done.exit_code == 0
    for option in re.findall(r" (--?[a-z-]+)", line):
        assert option in done.output


def rows(page: str) -> list[list[str]]:
    found = [
        line.removeprefix("|").removesuffix("|").split("|")
        for line in page.splitlines()
        if line.startswith("|")
    ]
    return [[cell.strip() for cell in row] for row in found]


def test_every_error_has_a_cause_and_a_remedy():
    listed = {row[0].strip("`"): row for row in rows(PAGES["errors"]) if row[0].startswith("`")}
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, (errors.SymblError, UserWarning))
    }

    assert set(listed) == defined
    for name, row in listed.items():
        assert len(row) == 4, name
        _, state, cause, remedy = row
        assert cause, name
        assert remedy or cause.startswith("base of"), name
        assert state.split(",")[0] in ("not accepted", "accepted", "unknown", ""), name


def test_the_errors_that_carry_a_job_are_those_of_an_accepted_submission():
    listed = {row[0].strip("`"): row[1] for row in rows(PAGES["errors"]) if row[0].startswith("`")}

    for name, state in listed.items():
        cls = getattr(errors, name)
        if issubclass(cls, errors.JobError):
            assert state == "accepted"
        if issubclass(cls, errors.UploadError) or cls is errors.ConfigurationError:
            assert state == "not accepted"
    assert listed["AmbiguousSubmissionError"] == "unknown"


def as_written(value: object) -> tuple[str, ...]:
    """Return how a default may stand in the table."""
    if value is None or value == ():
        return ("none",)
    if isinstance(value, bool):
        return (str(int(value)),)
    return (f"{value:g}", str(value)) if isinstance(value, float) else (str(value),)


def test_every_setting_has_its_default_and_the_words_of_its_field():
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    listed = {row[1].strip("`"): row[2:] for row in rows(page) if row[0].startswith("`SYMBL_")}
    classes = {
        node.name: node
        for node in ast.parse(SETTINGS.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef)
    }

    for name, (default, meaning) in listed.items():
        *groups, field = name.removeprefix("Config.").split(".")
        cls = groups[0].capitalize() if groups else "Config"
        body = classes[cls].body
        (below,) = [
            after.value.value
            for before, after in pairwise(body)
            if isinstance(before, ast.AnnAssign)
            and ast.unparse(before.target) == field
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ]
        first = " ".join(str(below).partition("\n\n")[0].split()).replace("``", "`")
        assert meaning.replace("\\|", "|") == first, name
        value: object = Config(base_url="https://api.symbl.ai")
        for part in (*groups, field):
            value = getattr(value, part)
        assert default.strip("`") in as_written(value), name


def test_what_the_old_clients_had_exists_here():
    """Each name in the second column is one of this library."""
    homes = (
        symbl_aio,
        symbl_aio.SymblClient,
        symbl_aio.Job,
        symbl_aio.Conversation,
        symbl_aio.Message,
        symbl_aio.AmbiguousSubmissionError,
    )
    named = {
        name
        for row in rows(PAGES["coming-from"]) + rows(PAGES["sync"])
        for name in re.findall(r"\b([A-Za-z_]+)\(", row[1])
    }

    assert len(named) > 20
    missing = {name for name in named if not any(hasattr(home, name) for home in homes)}
    assert missing <= {"wait", "close", "reconcile"}  # of the door without await


def test_every_public_name_is_in_the_reference():
    found = site().public_names()
    documented = {name for _, name in found}

    assert len(found) == len(set(found))
    for package in (symbl_aio, models, report, sync, durable, server):
        missing = set(package.__all__) - documented - {"ASSETS", "durable", "testing"}
        assert missing == set(), package.__name__
    pages = site().reference_pages()
    for home, name in found:
        assert any(f"::: {home}.{name}\n" in page for page in pages.values())


def test_every_page_of_the_folder_is_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text("utf-8")

    for page in sorted((ROOT / "docs").glob("*.md")):
        assert re.search(rf"[ :]{re.escape(page.name)}$", menu, re.MULTILINE), page.name


@table("name", PAGES)
def test_every_page_it_links_to_is_there(name: str):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", PAGES[name]):
        assert (ROOT / "docs" / target).exists() or target in site().PROJECT, target


def test_a_request_to_another_host_is_found(tmp_path: Path):
    (tmp_path / "page.html").write_text(
        '<link rel="stylesheet" href="//fonts.example/a.css"><a href="https://example.com">x</a>'
        '<link rel="canonical" href="https://example.com"><img src="https://b.example/a.png">'
        '<script src="local.js"></script>'
    )
    (tmp_path / "a.css").write_text(
        "@font-face{src:url('https://c.example/a.woff')} a{b:url(d.png)}"
    )

    assert fetches(tmp_path) == [
        "page.html: //fonts.example/a.css",
        "page.html: https://b.example/a.png",
        "a.css: https://c.example/a.woff",
    ]


def test_byte_code_of_the_machine_that_built_it_is_found(tmp_path: Path):
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "site.cpython-311.pyc").write_bytes(b"")
    (tmp_path / "index.html").write_text("<p>")

    assert byte_code(tmp_path) == ["__pycache__/site.cpython-311.pyc: byte code"]
