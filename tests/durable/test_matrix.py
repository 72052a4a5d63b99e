"""Crashes, pauses and outages: nothing lost, nothing twice, all in order, never too many jobs.

Each run is judged by the log of the server, which is a process of its own. The table of
all runs stands at the end of pytest's output.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

from examples.durable.postgres import Postgres, postgres
from symbl_aio import Audio
from symbl_aio.durable.content import Media
from tests.durable.chaos import (
    WORKER_TIMEOUT,
    Handed,
    Ledger,
    Scene,
    in_conversations,
    said,
    scene,
)
from tests.durable.conftest import make_all_ready

pytestmark = [pytest.mark.durable, pytest.mark.timeout(240)]

CAP: Final = 6
ANSWER: Final = 0.05
"""Seconds from acceptance to the answer: a worker that dies in between does not know of it."""
JOB: Final = 0.1

Fault = Callable[[Scene, int, random.Random], Awaitable[None]]


async def nothing(_scene: Scene, _total: int, _rng: random.Random) -> None:
    """Inject no fault."""


async def killed(scene: Scene, total: int, rng: random.Random) -> None:
    """``kill -9`` a worker six times, and start it again."""
    for share in sorted(rng.sample(range(5, 90), 6)):
        await scene.until("accepted", total * share // 100)
        victim = rng.randrange(len(scene.workers))
        await scene.kill(victim)
        await scene.restart(victim)


async def gone(scene: Scene, total: int, rng: random.Random) -> None:
    """``kill -9`` all workers but one, and never start them again."""
    victims = list(range(1, len(scene.workers)))
    for victim, share in zip(victims, sorted(rng.sample(range(10, 70), len(victims))), strict=True):
        await scene.until("accepted", total * share // 100)
        await scene.kill(victim)


async def paused(scene: Scene, total: int, rng: random.Random) -> None:
    """Stop a worker for longer than the worker timeout, three times, and let it wake."""
    for share in sorted(rng.sample(range(10, 80), 3)):
        await scene.until("accepted", total * share // 100)
        victim = rng.randrange(len(scene.workers))
        await scene.pause_for_long(victim)


@frozen
class Crash:
    """End the database's server like a crash would, and start it again."""

    server: Postgres

    async def __call__(self, scene: Scene, total: int, rng: random.Random) -> None:
        long = rng.randrange(3)
        for number, share in enumerate(sorted(rng.sample(range(10, 80), 3))):
            await scene.until("accepted", total * share // 100)
            await asyncio.to_thread(self.server.crash)
            if number == long:  # once for longer than the worker timeout
                await asyncio.sleep(1.5 * WORKER_TIMEOUT)
            await asyncio.to_thread(self.server.start)


@frozen
class Run:
    """One cell of the matrix."""

    database: str
    workers: int
    fault: str
    webhooks: bool = True
    conversations: int = 40
    length: int = 10

    def __str__(self) -> str:
        hooks = "" if self.webhooks else "-silent"
        return f"{self.database}-{self.workers}-{self.fault}{hooks}"

    @property
    def items(self) -> int:
        return self.conversations * self.length


RUNS: Final = (
    *(Run("sqlite", 1, fault) for fault in ("nothing", "killed", "paused")),
    *(
        Run("postgresql", workers, fault)
        for workers in (2, 4)
        for fault in ("nothing", "killed", "gone", "paused", "crashed")
    ),
)
SILENT: Final = (
    Run("sqlite", 1, "killed", webhooks=False, conversations=20),
    Run("postgresql", 2, "killed", webhooks=False, conversations=20),
)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("recordings") / "talk.wav"
    file.write_bytes(b"RIFF\0\0\0\0WAVE" + bytes(2000))
    return file


def media(recording: Path) -> Callable[[Handed], Media]:
    """Return the media of items: one in seven is a recording, whose words no message shows."""
    return lambda item: Audio(recording) if hash_of(item) % 7 == 0 else said(item)


def hash_of(item: Handed) -> int:
    return item.number + int(item.conversation[1:])


@contextmanager
def database_of(run: Run, directory: Path) -> Iterator[tuple[str, Fault]]:
    """Return a database of the run's own, and the fault to inject."""
    faults: dict[str, Fault] = {
        "nothing": nothing,
        "killed": killed,
        "gone": gone,
        "paused": paused,
    }
    if run.database == "sqlite":
        yield f"sqlite:///{directory / 'outbox.db'}", faults[run.fault]
        return
    with postgres() as server:
        if run.fault == "crashed" and not server.can_crash:
            pytest.skip("the server is somebody else's")
        url = server.create()
        yield url, Crash(server) if run.fault == "crashed" else faults[run.fault]
        server.drop(url)


async def play(run: Run, recording: Path, directory: Path) -> Ledger:
    """Hand in all of a run's items, let workers work, and things go wrong."""
    rng = random.Random(str(run))
    with database_of(run, directory) as (database, fault):
        async with scene(
            database,
            webhooks=run.webhooks,
            concurrency=CAP,
            job_seconds=JOB,
            ambiguity_timeout=8.0,
        ) as found:
            await found.server.ask("inject", f"slow:{ANSWER}", "/v1/process/", 1_000_000)
            await found.hand_in(in_conversations(run.conversations, run.length), media(recording))
            await found.server.ask("hold")
            await asyncio.gather(*(found.add_worker() for _ in range(run.workers)))
            # All slots are taken, and stay so until the server lets its jobs go on.
            await found.until("accepted", CAP)
            await found.server.ask("release")
            await fault(found, run.items, rng)
            return await found.finish()


def check(ledger: Ledger) -> None:
    """What holds with and without webhooks."""
    assert ledger.lost == 0
    assert ledger.duplicates == 0
    assert ledger.inversions == 0
    assert ledger.most == CAP
    assert ledger.states == {"completed": ledger.items}


@pytest.mark.parametrize("run", RUNS, ids=str)
async def test_nothing_is_lost_nothing_sent_twice_and_all_in_order(
    run: Run, recording: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    ledger = await play(run, recording, tmp_path)
    record_property("ledger", f"{run!s:24} {ledger}")
    check(ledger)
    assert ledger.overlaps == 0
    # Who died in the instant between the note and the last byte left a doubt, and nothing else.
    assert ledger.unexplained == 0


@pytest.mark.parametrize("run", SILENT, ids=str)
async def test_without_webhooks_there_may_be_doubt_and_nothing_else(
    run: Run, recording: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    ledger = await play(run, recording, tmp_path)
    record_property("ledger", f"{run!s:24} {ledger}")
    check(ledger)


def test_the_matrix_has_five_thousand_items() -> None:
    assert sum(run.items for run in RUNS) >= 5000


@pytest.mark.parametrize("one_head", [True, False], ids=["one head", "all ready"])
async def test_the_order_rests_on_the_one_head_of_a_conversation(
    one_head: bool, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Without it the same test must fail, else it proves nothing."""
    run = Run("postgresql", 2, "nothing")
    with database_of(run, tmp_path) as (database, _):
        async with scene(database, webhooks=True, concurrency=CAP) as found:
            for conversation in range(10):
                await found.hand_in_at_once(f"c{conversation:03}", 30)
            if not one_head:
                make_all_ready(found.tables)
            await asyncio.gather(*(found.add_worker() for _ in range(run.workers)))
            ledger = await found.finish()
    record_property("ledger", f"{'one head' if one_head else 'all ready':24} {ledger}")
    assert ledger.duplicates == 0
    # With all ready, an append may also come before its conversation exists, and is blocked.
    assert (ledger.inversions == ledger.lost == 0) is one_head
