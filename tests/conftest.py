"""What the tests of the client share: a local server, and settings that make it quick."""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from symbl_aio.testing import LocalSymbl

# Without the extra there is nothing to import there, and nothing to run.
collect_ignore = [] if importlib.util.find_spec("playwright") else ["browser"]

# Who is run in the background by a shell ignores Ctrl-C, and so do all processes that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):  # which nohup has ignored
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The suite means the same in every shell: what is set there for programs stays out of it.
FOR_TESTS = ("SYMBL_AIO_CHROMIUM", "SYMBL_AIO_SCREENSHOT", "SYMBL_AIO_TEST_PG_URL")
OF_PROGRAMS = (
    "ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE",
)  # fmt: skip
for name in tuple(os.environ):
    if name.upper() in OF_PROGRAMS or (name.startswith("SYMBL_") and name not in FOR_TESTS):
        del os.environ[name]
os.environ["TERM"] = "xterm"

settings.register_profile(
    "default", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "nightly", settings.get_profile("default"), max_examples=2000, stateful_step_count=200
)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
settings.load_profile(PROFILE)


@pytest.fixture(scope="session", autouse=True)
def data_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Make each worker's `symbl-aio serve` store in a directory of its own, not in the user's."""
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give searches that are meant to be long the time they need."""
    if PROFILE == "nightly":
        for item in items:
            item.add_marker(pytest.mark.timeout(3600))


def pytest_collection_finish() -> None:
    """Let the garbage collector leave alone what stays to the end: thousands of tests, and modules.

    Else each look for garbage goes through all of it, which takes longer than most tests.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """After each module leave alone what it has left: reports, and routes that aiohttp caches."""
    yield
    if nextitem is not None and nextitem.path != item.path:
        pytest_collection_finish()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the tables that tests have filled in, whichever process ran them."""
    lines = [
        line
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, line in getattr(report, "user_properties", ())
        if name == "ledger" and report.when == "call"
    ]
    if lines:
        terminalreporter.section("seen by the server")
        for line in lines:
            terminalreporter.write_line(str(line))


@pytest.fixture
def server_settings() -> dict[str, Any]:
    """The settings of ``server``. A module with other needs has a fixture of this name."""
    return {"probe_media": False, "default_transcript": "Ann: Hello there."}


@pytest.fixture(params=["sendfile", "read"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run a test on both ways of a file to a plain connection, and check that it took its own."""
    if request.param == "read":
        monkeypatch.delattr(os, "sendfile")  # as on Windows
        yield "read"
        return
    sendfile, sent = os.sendfile, []

    def counting(*arguments: int) -> int:
        sent.append(sendfile(*arguments))
        return sent[-1]

    monkeypatch.setattr(os, "sendfile", counting)
    yield "sendfile"
    assert any(sent)


@pytest.fixture
async def server(server_settings: dict[str, Any]) -> AsyncIterator[LocalSymbl]:
    async with LocalSymbl(**server_settings) as running:
        yield running
