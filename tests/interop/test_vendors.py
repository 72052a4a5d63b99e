"""Clients that have the vendor's host in their code, unmodified, against the local server.

``make test-interop`` installs them; without one, its tests are skipped by name.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.interop import network
from tests.interop.vendors import PROGRAMS, ROOT, Vendors

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

VENDORS = Vendors.found()
CHROMIUM = os.environ.get("SYMBL_AIO_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture(scope="module", autouse=True)
def namespaces() -> None:
    if not network.available():
        pytest.skip("this machine allows no network namespaces (unshare)")


async def results(tmp_path: Path, *program: object, **environment: str) -> dict[str, Any]:
    """Run a client's program, and return its result of each call."""
    process = await asyncio.create_subprocess_exec(
        *network.enter(*map(str, program)),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    marked = [line for line in out.decode().splitlines() if line.startswith("RESULTS ")]
    assert marked, out.decode()
    return dict(json.loads(marked[-1].removeprefix("RESULTS ")))


@pytest.mark.skipif(VENDORS.python is None, reason="symbl 2.0.6 is not installed")
async def test_the_examples_of_the_sdk_for_python(tmp_path: Path) -> None:
    calls = await results(tmp_path, VENDORS.python, PROGRAMS / "symbl_sdk.py")

    assert {name: said for name, said in calls.items() if said != "ok"} == {}
    assert len(calls) == 23


@pytest.mark.skipif(
    VENDORS.packages is None or shutil.which("node") is None,
    reason="node, or its packages, are not installed",
)
@pytest.mark.parametrize(
    ("program", "count"),
    [
        (("api_client.js",), 18),
        (("symbl_js.js",), 2),
        (("live.js", "@symblai/symbl-js"), 6),
        (("live.js", "symbl-node"), 6),
    ],
)
async def test_the_clients_for_node(tmp_path: Path, program: tuple[str, ...], count: int) -> None:
    name, *arguments = program
    calls = await results(
        tmp_path, "node", PROGRAMS / name, *arguments, NODE_PATH=str(VENDORS.packages)
    )

    assert {name: said for name, said in calls.items() if said != "ok"} == {}
    assert len(calls) == count


@pytest.mark.skipif(
    VENDORS.bundler is None or CHROMIUM is None,
    reason="the web SDK, its bundler or Chromium are not installed",
)
async def test_the_web_sdk_in_a_browser(tmp_path: Path) -> None:
    program = PROGRAMS / "web_sdk.py"
    calls = await results(
        tmp_path,
        sys.executable,
        program,
        VENDORS.bundler,
        CHROMIUM,
        NODE_PATH=str(VENDORS.packages),
    )

    assert {name: said for name, said in calls.items() if said != "ok"} == {}
    assert len(calls) == 9
