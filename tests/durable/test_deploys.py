"""The account's limit, and a follower for each job, through deploys and kills before a backlog.

In the field's proportions: jobs that outlast a worker timeout, 2,000 conversations that wait,
two workers of which one is always there.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from examples.durable.postgres import Postgres
from symbl_aio.durable import Entry, ItemState
from symbl_aio.durable._database.dbos import Workflows
from tests.durable.chaos import WORKER_TIMEOUT, Handed, Scene, in_conversations, said, scene

pytestmark = pytest.mark.durable

CAP = 10
WAITING = 2_000
LATEST = 2 * WORKER_TIMEOUT
"""Seconds without a follower, at most."""
POLL = 1.5
"""Seconds after which a follower knows of an end, at most: two polls, and their round trips."""
PATIENCE = 120.0


def entry(item: Handed) -> Entry:
    return Entry(item.key, said(item))


async def is_taken_over(found: Scene, worker: str) -> None:
    """Wait until a dead worker has no workflow any more."""
    workflows = Workflows(found.tables)
    async with asyncio.timeout(PATIENCE):
        # Only the table shows it.
        while await found.tables.call(lambda: workflows.of_worker(worker)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def are_known(found: Scene, ends: list[tuple[str, float]]) -> None:
    """Wait until the outbox knows that these jobs have ended."""
    ended = {key for key, _ in ends}
    async with asyncio.timeout(PATIENCE):
        # Only the table shows it.
        while not ended <= {job.key async for job in found.outbox.jobs(state=ItemState.COMPLETED)}:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def latenesses(found: Scene) -> list[float]:
    """Return the seconds from the end of each job to its being known, by one machine's clock.

    Of a job whose end is not known yet: the seconds since its end.
    """
    seen = await found.server.ask("seen")
    ended = {
        item.key: item.ended_at
        async for item in found.outbox.jobs(state=ItemState.COMPLETED)
        if item.ended_at is not None
    }
    return [ended.get(key, seen["now"]) - end for key, end in seen["ends"]]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("webhooks", [True, False], ids=["webhooks", "polls"])
@pytest.mark.parametrize("seconds", [2.0, 30.0], ids=["2 s", "30 s"])
@pytest.mark.parametrize(("way", "times"), [("deploy", 6), ("kill", 8)])
async def test_the_limit_is_kept_and_no_job_left_alone(
    pg_database: str, pg: Postgres, way: str, times: int, seconds: float, webhooks: bool
) -> None:
    settings: dict[str, Any] = {"concurrency": CAP, "poll_interval": WORKER_TIMEOUT / 3}
    async with scene(pg_database, webhooks=webhooks, job_seconds=seconds, **settings) as found:
        items = in_conversations(WAITING, 1)
        await found.outbox.submit_many(map(entry, items))
        await asyncio.gather(found.add_worker(), found.add_worker())
        await found.until("accepted", CAP)
        for event in range(times):
            number = event % 2
            worker = found.workers[number]
            assert worker is not None
            name = await worker.ask("id")
            if way == "kill":
                await found.kill(number)
            else:
                found.workers[number] = None
                assert await worker.stop() == 0
            await found.restart(number)
            await is_taken_over(found, name)
            # Whoever took over may have polled nothing yet: its own death would be a second period.
            await are_known(found, (await found.server.ask("seen"))["ends"])
        seen = await found.server.ask("seen")
        await found.until("ended", len(seen["ends"]) + CAP)
        late = await latenesses(found)
        seen = await found.server.ask("seen")
    accepted = [key for key, _, _ in seen["accepted"]]
    print(f"{len(late)} ends, known {max(late):.1f} s later at most")  # noqa: T201
    assert seen["most"] == CAP
    assert len(accepted) == len(set(accepted))
    assert len(late) >= CAP
    assert max(late) <= LATEST + POLL
