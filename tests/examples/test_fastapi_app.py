"""The example as ``make example`` runs it: two processes, one address, no browser."""

from __future__ import annotations

import io
import json
import os
import re
import signal
from asyncio.subprocess import STDOUT
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import psutil
import pytest
from attrs import define

from tests.forks import Program
from tests.support import QUICK_VARIABLES

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "examples" / "media" / "inaugural.mp4"


async def started(port: str) -> Program:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SYMBL_")}
    return await Program.start(
        "examples.fastapi_app",
        env=inherited
        | {"PORT": port, "PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": "1", **QUICK_VARIABLES},
        stderr=STDOUT,
    )


@define
class Example:
    """A running example."""

    process: Program
    url: str = ""

    async def line(self, wanted: str) -> re.Match[str]:
        """Read on to a line that matches."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if found := re.search(wanted, line.decode()):
                return found
        raise AssertionError(f"it ended before it said {wanted!r}")

    async def end(self) -> tuple[int | None, str]:
        """Press Ctrl-C, as it is felt by both processes, and give how it ended."""
        for one in (psutil.Process(self.process.pid), *self.children()):
            with suppress(psutil.NoSuchProcess):  # the first one may have ended the others
                one.send_signal(signal.SIGINT)
        said, _ = await self.process.communicate()
        return self.process.returncode, said.decode()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()


@pytest.fixture
async def example() -> AsyncIterator[Example]:
    example = Example(await started("0"))
    example.url = (await example.line(r"Open (http://127\.0\.0\.1:\d+) "))[1]
    yield example
    if example.process.returncode is None:
        await example.end()


async def test_a_recording_is_taken_followed_and_read_over_http(example: Example):
    async with aiohttp.ClientSession(example.url) as visitor:
        async with visitor.get("/") as page:
            assert "<title>Recordings</title>" in await page.text()
        data = RECORDING.read_bytes()
        async with visitor.post("/recordings", params={"name": "talk.mp4"}, data=data) as taken:
            assert taken.status == 202
            job = await taken.json()
        async with visitor.get(f"/symbl/jobs/{job['job']}/events") as events:
            told = await events.text()
        assert re.findall(r'"status":"(\w+)"', told)[-1] == "completed"
        async with visitor.get("/conversations") as listed:
            assert [found["name"] for found in await listed.json()] == ["talk.mp4"]
        async with visitor.get(f"/conversations/{job['conversation']}") as read:
            assert read.content_type == "text/html"
            report = await read.text()
        assert '<article class="report"' in report
        assert 'class="sentence"' in report
        async with visitor.get("/report/report.js") as script:
            assert "activate" in await script.text()
        # The second is refused long before all of it has arrived.
        for spoken in (b"Nobody speaks in here.", b"No word. " * 5_000_000):
            async with visitor.post("/recordings", data=io.BytesIO(spoken)) as refused:
                assert refused.status == 415
                assert refused.content_type == "application/problem+json"
                assert refused.headers["Connection"] == "close"

    code, said = await example.end()
    assert (code, said.strip()) == (0, "")


async def test_what_is_spoken_goes_to_a_conversation_that_is_listed(example: Example):
    async with (
        aiohttp.ClientSession(example.url) as visitor,
        visitor.ws_connect("/speak?rate=16000", origin=example.url) as speaking,
    ):
        await speaking.send_bytes(bytes(32_000))
        await speaking.send_json({"type": "stop_request"})
        events = [json.loads(message.data) async for message in speaking]
        assert speaking.close_code == 1000
        assert events[-1]["state"] == "conversation_completed"
        async with visitor.get("/conversations") as listed:
            (found,) = await listed.json()
        assert found["id"] == events[0]["conversation_id"]
        assert found["name"].startswith("Spoken on")
        async with visitor.get("/record.js") as script:
            assert "speak?rate=" in await script.text()

    code, said = await example.end()
    assert (code, said.strip()) == (0, "")


async def test_a_service_that_is_killed_is_started_again_at_the_same_address(example: Example):
    async with aiohttp.ClientSession(example.url) as visitor:
        async with visitor.get("/conversations") as before:
            assert before.status == 200
        (service,) = example.children()
        service.kill()
        await example.line("The service was killed")
        async with visitor.get("/conversations") as after:
            assert after.status == 200

    assert (await example.end())[0] == 0


async def test_an_address_that_is_taken_is_told_with_a_remedy(example: Example):
    other = await started(example.url.rpartition(":")[2])
    said, _ = await other.communicate()

    assert other.returncode == 2
    assert b"PORT=" in said
    assert b"Traceback" not in said
