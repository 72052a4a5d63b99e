"""The guide is true: its services run as they stand."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from symbl_aio.contrib.problems import BadUploadError
from tests.programs import ROOT, heading_of, programs, run

GUIDE = (ROOT / "docs" / "web.md").read_text("utf-8")
PROGRAMS = programs(GUIDE)


def test_the_guide_has_services_for_both_frameworks():
    assert len(PROGRAMS) == GUIDE.count("```python") == 3


@pytest.mark.parametrize("program", PROGRAMS, ids=partial(heading_of, GUIDE))
async def test_every_service_of_the_guide_runs_as_it_stands(program: str, tmp_path: Path):
    told = await run(program, tmp_path, alone=program == PROGRAMS[0])

    assert "Hello." in told or "job" in told


def test_every_status_of_the_table_is_one_that_is_answered():
    """The table of the guide has exactly the statuses that the source names."""
    table = {int(status) for status in re.findall(r"^\| (\d{3}) \|", GUIDE, re.MULTILINE)}
    source = "".join(
        path.read_text("utf-8") for path in (ROOT / "symbl_aio" / "contrib").glob("*.py")
    )
    named = {int(s) for s in re.findall(rf"{BadUploadError.__name__}\(\s*(\d{{3}})", source)}
    rows = {int(s) for s in re.findall(r"^    \(\w+Error, (\d{3})", source, re.MULTILINE)}
    rows |= {int(s) for s in re.findall(r"_make\(None, (\d{3})", source)}

    assert table == named | rows


def test_every_page_it_links_to_is_there():
    for target in re.findall(r"\]\(([^)#:]+)\)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target
