"""The guide is true: its programs run as they stand, on both databases, and its words exist."""

import io
import re
import runpy
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from symbl_aio.cli.commands import cli
from symbl_aio.testing import LocalSymbl
from tests.contrib.site import get, listening, uvicorn_serving
from tests.programs import RECORDING, ROOT, heading_of, programs, run, shell_lines
from tests.shell import CREDENTIALS

GUIDE = (ROOT / "docs" / "durable.md").read_text("utf-8")
SERVICES = [program for program in programs(GUIDE) if "FastAPI(" in program]
PROGRAMS = [program for program in programs(GUIDE) if program not in SERVICES]
FILE = "sqlite:///outbox.db"
PATIENT = 20.0


def test_the_guide_has_programs():
    assert len(PROGRAMS) >= 4
    assert len(SERVICES) == 1


@pytest.mark.parametrize("program", PROGRAMS, ids=partial(heading_of, GUIDE))
async def test_every_program_of_the_guide_runs_as_it_stands(program, tmp_path):
    assert await run(program, tmp_path, alone=program == PROGRAMS[0])
    assert (tmp_path / "outbox.db").exists()


@pytest.mark.durable
async def test_one_line_changes_for_postgresql(tmp_path, pg_database):
    first = PROGRAMS[0]
    assert first.count(FILE) == 1

    said = await run(first.replace(FILE, pg_database), tmp_path)

    assert said.startswith("completed ")
    assert "minutes" in said
    assert not (tmp_path / "outbox.db").exists()


async def test_the_service_of_the_guide_keeps_sends_and_hears(
    server: LocalSymbl, tmp_path: Path, monkeypatch
):
    sock, url = listening()
    settings = {"SYMBL_BASE_URL": server.base_url, "SYMBL_WEBHOOK_SECRET": "s", **CREDENTIALS}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SYMBL_AIO_DATABASE", raising=False)
    monkeypatch.chdir(tmp_path)
    program = SERVICES[0].replace("https://example.com", url)
    (tmp_path / "service.py").write_text(program, "utf-8")
    service = runpy.run_path("service.py")

    async with (
        uvicorn_serving(service["app"], sock),
        aiohttp.ClientSession() as session,
        session.post(f"{url}/standups/monday", data=io.BytesIO(RECORDING.read_bytes())) as answer,
    ):
        told = await answer.json()
        # Unwoken, the worker would ask after half a minute.
        await service["symbl"].outbox.result("monday", timeout=PATIENT)
        status, item = await get(f"{url}/symbl/items/monday")

    assert program != SERVICES[0]
    assert told == {"item": "monday", "state": "queued"}
    assert (status, item["state"]) == (200, "completed")
    assert server.webhook_calls[-1].acknowledged


@pytest.mark.parametrize(
    "line", [line for line in shell_lines(GUIDE) if line.startswith("symbl-aio ")]
)
def test_every_command_of_the_guide_exists_with_its_options(line):
    words = [word for word in line.split()[1:] if word.islower() and not word.startswith("-")]
    command = words[:2] if words[0] == "db" else words[:1]
    done = CliRunner().invoke(cli, [*command, "--help"])

    assert done.exit_code == 0
    for option in re.findall(r"--[a-z-]+", line):
        assert option in done.output


def test_every_picture_and_page_it_links_to_is_there():
    for target in re.findall(r"\]\(([^)#:]+)\)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target
