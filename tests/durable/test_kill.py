"""A worker is killed in the middle of its work and starts again: the smallest of the matrix."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.durable.chaos import in_conversations, said, scene

# Four processes have to start, and each wait of a scene has 90 s: less would end it before those
# do on a machine with other work.
pytestmark = pytest.mark.timeout(300)


async def test_a_worker_that_is_killed_and_starts_again_loses_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    database = f"sqlite:///{tmp_path / 'outbox.db'}"
    async with scene(database, webhooks=True, concurrency=3, ambiguity_timeout=15.0) as found:
        await found.server.ask("inject", "slow:0.05", "/v1/process/", 1000)
        await found.hand_in(in_conversations(conversations=4, length=3), said)
        await found.add_worker()
        await found.until("accepted", 4)
        await found.kill(0)
        await found.restart(0)
        ledger = await found.finish()
    assert (ledger.lost, ledger.duplicates, ledger.inversions, ledger.overlaps) == (0, 0, 0, 0)
    assert ledger.unexplained == 0
    assert ledger.most <= 3
    assert ledger.states == {"completed": 12}
