"""A real browser, and the example as a real process, which can be killed and started again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from symbl_aio.testing import LocalSymbl

ROOT = Path(__file__).parents[2]
CHROMIUM = os.environ.get("SYMBL_AIO_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
# The sandbox cannot be had by root, nor in most containers; and nothing here calls home.
SWITCHES = (
    "--no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()

expect.set_options(timeout=20_000)  # for a machine that is busy with other things


class Service:
    """The example under uvicorn, on one port for as long as the test lasts.

    ``supervised``: the port is listened to while the service is not there, too, as by
    ``make example``, systemd or the parent of several workers. New connections wait then.
    """

    def __init__(self, base_url: str, journal: Path, *, supervised: bool) -> None:
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.bind(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._where = ["--port", str(port)]
        self._inherited: list[int] = []
        if supervised:
            self._listening.listen()
            self._inherited = [self._listening.fileno()]
            self._where = ["--fd", str(self._listening.fileno())]
        else:
            self._listening.close()
        self._settings = {
            "SYMBL_BASE_URL": base_url,
            "SYMBL_APP_ID": "app",
            "SYMBL_APP_SECRET": "secret",
            "PUBLIC_URL": self.url,
            "WEBHOOK_SECRET": "of the tests",
            "JOURNAL": str(journal),
        }
        self._process: Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self.log: list[str] = []

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        listens = asyncio.Event()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", "uvicorn", "examples.fastapi_app.app:app"),
            *(*self._where, "--no-access-log", "--timeout-graceful-shutdown", "1"),
            cwd=ROOT,
            env=os.environ | self._settings,
            stderr=PIPE,
            pass_fds=self._inherited,
        )
        self._reading = asyncio.create_task(self._read(self._process, listens))
        waiting = asyncio.create_task(listens.wait())
        await asyncio.wait((waiting, self._reading), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert listens.is_set(), "\n".join(self.log)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it as the signal does, and wait for its end."""
        assert self._process is not None
        assert self._reading is not None
        self._process.send_signal(how)
        await self._process.wait()
        await self._reading

    async def kill(self) -> None:
        await self.stop(signal.SIGKILL)

    def close(self) -> None:
        """Listen no more."""
        self._listening.close()

    async def _read(self, process: Process, listens: asyncio.Event) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            self.log.append(line.decode().rstrip())
            if "running on" in self.log[-1]:
                listens.set()


@pytest.fixture
def server_settings() -> dict[str, Any]:
    return {}


@pytest.fixture
def supervised() -> bool:
    """A test may ask for a supervised service, see ``Service``."""
    return False


@pytest.fixture
async def service(server: LocalSymbl, tmp_path: Path, supervised: bool) -> AsyncIterator[Service]:
    service = Service(server.base_url, tmp_path / "journal", supervised=supervised)
    try:
        await service.start()
        yield service
        await service.stop()
    finally:
        service.close()
    assert not [line for line in service.log if "Traceback" in line], "\n".join(service.log)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on PATH, nor in SYMBL_AIO_CHROMIUM")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser, service: Service) -> AsyncIterator[Page]:
    """The page, open. A mistake in its programs fails the test."""
    context = await browser.new_context(
        viewport={"width": 1180, "height": 900}, locale="en-GB", timezone_id="UTC"
    )
    page = await context.new_page()
    faults: list[str] = []

    def spoke(message: ConsoleMessage) -> None:
        # Each refusal is written there by the browser, however well the page takes it.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            faults.append(message.text)

    page.on("console", spoke)
    page.on("pageerror", lambda error: faults.append(str(error)))
    await page.goto(service.url)
    yield page
    await context.close()
    assert faults == []
