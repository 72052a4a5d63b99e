"""A web service with a worker inside is stopped with jobs in flight, and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import aiohttp
import pytest

from symbl_aio.durable import ItemState, Outbox
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import until
from tests.durable.server import key_of
from tests.forks import ROOT

pytestmark = [pytest.mark.durable, pytest.mark.timeout(120)]

KEYS = [f"item-{n}" for n in range(20)]


@asynccontextmanager
async def serving(
    database: str, server: LocalSymbl
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """Run the service in a process, beside the block."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "uvicorn", "tests.durable.service:app",
            "--fd", str(listening.fileno()), "--log-level", "error",
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[listening.fileno()],
            env={**os.environ, "API": server.base_url, "DATABASE": database},
        )  # fmt: skip
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", child
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()


async def test_it_stops_within_two_seconds_and_loses_nothing(
    database: str, outbox: Outbox, server: LocalSymbl
) -> None:
    server.hold_jobs()
    async with serving(database, server) as (url, child), aiohttp.ClientSession() as session:
        for key in KEYS:
            async with session.post(f"{url}/said/{key}") as answer:
                assert answer.status == 200
        for key in KEYS:
            await until(outbox, key, ItemState.ACCEPTED)
        async with session.get(f"{url}/threads") as answer:
            assert await answer.json() == child.pid
        began = monotonic()
        child.send_signal(signal.SIGTERM)
        told, _ = await child.communicate()
        assert monotonic() - began < 2.0
        assert int(told) == child.pid
    server.release()
    async with serving(database, server) as (url, _):
        for key in KEYS:
            assert (await outbox.result(key, timeout=30)).ok
    accepted = Counter(key_of(one) for one in server.submissions if one.accepted)
    assert accepted == Counter(KEYS)
