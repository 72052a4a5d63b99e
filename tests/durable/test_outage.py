"""The database is away: nothing is lost, and a worker can be stopped all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic

import pytest

from examples.durable.postgres import Postgres, postgres
from tests.durable.chaos import Ledger, in_conversations, said, scene

pytestmark = [pytest.mark.durable, pytest.mark.timeout(120)]

ITEMS = in_conversations(conversations=4, length=2)
CAP = 4


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    with postgres() as server:
        if not server.can_crash:
            pytest.skip("the server is somebody else's")
        yield server


def check(ledger: Ledger) -> None:
    assert (ledger.lost, ledger.duplicates, ledger.inversions) == (0, 0, 0)
    assert ledger.states == {"completed": len(ITEMS)}


async def test_a_worker_ends_when_it_is_asked_to(own_server: Postgres) -> None:
    async with scene(own_server.create(), webhooks=True, concurrency=CAP) as found:
        await found.hand_in(ITEMS, said)
        await found.server.ask("hold")
        worker = await found.add_worker()
        await found.until("accepted", CAP)
        await asyncio.to_thread(own_server.crash)
        await asyncio.sleep(3.0)  # the fault is this long: each loop has failed once, and backs off
        began = monotonic()
        assert await worker.stop() == 0
        assert monotonic() - began < 15.0
        await asyncio.to_thread(own_server.start)
        await found.server.ask("release")
        await found.add_worker()
        check(await found.finish())


async def test_a_worker_goes_on_when_the_database_is_back(own_server: Postgres) -> None:
    async with scene(own_server.create(), webhooks=True, concurrency=CAP) as found:
        await found.hand_in(ITEMS, said)
        await found.server.ask("hold")
        await found.add_worker()
        await found.until("accepted", CAP)
        await asyncio.to_thread(own_server.crash)
        # The jobs end, and no process can record the webhook calls.
        await found.server.ask("release")
        await found.until("ended", CAP)
        await asyncio.sleep(10.0)  # the fault is this long: past the timeouts and some backoffs
        await asyncio.to_thread(own_server.start)
        began = monotonic()
        check(await found.finish())
        # DBOS backs off during an outage, and so notices its end later.
        assert monotonic() - began < 30.0
