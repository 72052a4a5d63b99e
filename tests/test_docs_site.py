"""The pages of the site that ``make docs`` builds: their programs run, their lists are complete."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest
from attrs import fields, has
from click.testing import CliRunner

import symbl_aio
from symbl_aio import durable, errors, models, report, server, sync
from symbl_aio.cli.commands import cli
from symbl_aio.config import Config
from tests.check_site import fetches
from tests.programs import heading_of, programs, run, shell_lines
from tests.tables import table

ROOT = Path(__file__).parents[1]
NAMES = (
    "bulk", "coming-from", "errors", "faq", "index", "quickstart", "reports", "sync", "testing",
    "tutorial",
)  # fmt: skip
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in NAMES}
PROGRAMS = [(name, program) for name, page in PAGES.items() for program in programs(page)]
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


def test_every_setting_and_its_variable_is_listed():
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    listed = set(re.findall(r"`Config\.([a-z_.]+)`", page))
    expected = set()
    for field in fields(Config):
        value = getattr(Config(), field.name)
        inside = (
            [f"{field.name}.{one.name}" for one in fields(type(value))] if has(type(value)) else []
        )
        expected |= set(inside or [field.name])

    assert expected <= listed | {"base_url", "labs_url"}


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
