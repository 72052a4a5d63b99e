"""What the package says of itself, and of its extras, is true of this checkout."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import symbl_aio
from tests.tables import table

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
SOURCES = sorted((ROOT / "symbl_aio").rglob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Of adjacent literals only the first can hold all of it: each remedy is in one.
REMEDY = re.compile(r"pip install '\.\[([a-z,]+)\]' in a checkout of symbl-aio")


@table("path", [*SOURCES, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_install_line_needs_an_index_that_has_the_name(path: Path):
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        assert text.count("pip install") == len(REMEDY.findall(text))
    assert "symbl-aio[" not in text.replace("/symbl-aio[", "")


def test_every_extra_that_a_remedy_or_a_page_names_exists():
    named = [
        extra
        for path in [*SOURCES, *PAGES]
        for extras in re.findall(r"(?:'\.\[|extra ``?)([a-z,]+)", path.read_text("utf-8"))
        for extra in extras.split(",")
    ]
    assert set(named) >= {"asr", "cli", "durable", "fastapi", "multipart", "otel"}
    assert set(named) <= set(PROJECT["optional-dependencies"])


def test_the_pythons_that_are_claimed_are_those_that_the_tests_run_on():
    claimed = [
        found[1]
        for name in PROJECT["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", name))
    ]
    run_on = re.search(r"^PYTHONS := (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert run_on
    assert run_on[1].split() == claimed
    assert PROJECT["requires-python"] == f">={claimed[0]}"
    *others, last = claimed
    assert f"CPython {', '.join(others)} and {last}" in (ROOT / "README.md").read_text("utf-8")


def test_an_index_page_shows_no_picture_and_no_link_that_leads_nowhere():
    hook = PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    (fragment,) = hook["fragments"]
    page = (ROOT / fragment["path"]).read_text("utf-8")
    assert "![" in page
    for change in hook["substitutions"]:
        page = re.sub(change["pattern"], change["replacement"], page)

    assert "![" not in page
    assert all(":" in target for target in re.findall(r"\]\(([^)]*)\)", page))
    assert "From one process to many machines is the guide" in page


def test_the_page_for_reports_names_no_address():
    page = (ROOT / "SECURITY.md").read_text("utf-8")
    assert "In private" in page
    assert not re.search(r"https?://|@\w", page)


def test_the_source_archive_has_the_pages_that_it_is_read_by():
    included = PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {"/README.md", "/SECURITY.md", "/CHANGELOG.md", "/CONTRIBUTING.md"} <= set(included)


def test_the_version_is_written_once_and_is_that_of_the_package_that_is_installed():
    assert "version" in PROJECT["dynamic"]
    assert symbl_aio.__version__ == version("symbl-aio")
