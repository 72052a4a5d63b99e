"""``symbl-aio serve`` is killed at random moments under load: no promise to a caller is broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server.storage.kills import Record, check, storm

pytestmark = [pytest.mark.durable, pytest.mark.timeout(1500)]


@pytest.mark.parametrize("kills", [pytest.param(4, id="killed-4"), pytest.param(20, id="many-20")])
async def test_a_server_keeps_its_promises(
    tmp_path: Path,
    unused_tcp_port: int,
    kills: int,
    record_property: Callable[[str, object], None],
) -> None:
    ledger = await storm(tmp_path / "data", unused_tcp_port, kills, seed=kills)
    for line in ledger.lines():
        record_property("ledger", line)

    assert ledger.faults == []
    assert ledger.kills == kills
    assert ledger.accepted >= 5 * kills
    assert ledger.jobs_completed == ledger.accepted


@pytest.mark.parametrize(
    ("texts", "is_right"),
    [
        (["Line 1 0 of it.", "Line 1 1 of it."], True),
        (["Line 1 0 of it.", "Line 1 1 of it.", "Line 1 2 of it."], True),
        (["Line 1 0 of it."], False),
        (["Line 1 1 of it.", "Line 1 0 of it."], False),
        (["Line 1 0 of it.", "Line 1 0 of it.", "Line 1 1 of it."], False),
        (["Line 1 0 of it.", "Line 1 1 of it.", "Line 9 9 of it."], False),
    ],
)
def test_the_ledger_of_the_killed_sees_what_is_lost_twice_or_out_of_order(
    texts: list[str], is_right: bool
) -> None:
    record = Record("1", ["Line 1 0 of it.", "Line 1 1 of it."], {"Line 1 2 of it."})

    assert (check(record, texts) == []) is is_right
