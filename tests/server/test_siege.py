"""A siege of a few seconds; ``python -m benchmarks.siege`` is one of two minutes."""

from __future__ import annotations

import pytest

from benchmarks.siege import siege


@pytest.mark.timeout(120)
@pytest.mark.heavy
async def test_an_honest_client_is_served_in_time_during_a_siege() -> None:
    outcome = await siege(3.0)

    # Other tests run beside this one: no second here, but nothing refused and nothing lost.
    assert outcome.faults(most_seconds=15.0) == []
    assert len(outcome.attacks) >= 12
    assert len(outcome.seconds) > 5
