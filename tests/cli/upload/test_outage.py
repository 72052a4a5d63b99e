"""Which recordings are sent while the server answers nothing usable."""

from __future__ import annotations

import asyncio

import pytest

from symbl_aio.cli.upload.outage import IN_A_ROW, PROBES, Outage, Unanswered, Withheld


async def fail(outage: Outage, key: str) -> None:
    """Send a recording that has no answer, and of which there is no evidence."""
    await outage.admit(key)
    outage.check(key)
    outage.unanswered(key)
    outage.sought(key, found=False)
    outage.release(key)


async def begun(*, waits: bool = False) -> Outage:
    outage = Outage(waits=waits, pause=0)
    for number in range(IN_A_ROW):
        await fail(outage, f"first {number}")
    return outage


async def test_one_at_a_time_is_sent_after_several_without_an_answer():
    outage = await begun()
    await outage.admit("alone")
    outage.check("alone")
    other = asyncio.create_task(outage.admit("other"))
    await asyncio.sleep(0)

    assert not other.done()
    with pytest.raises(Withheld):
        outage.check("under way")
    outage.release("alone")
    await other
    outage.check("other")


async def test_the_first_acceptance_lets_all_go_on():
    outage = await begun()
    await outage.admit("alone")
    others = [asyncio.create_task(outage.admit(f"other {number}")) for number in range(5)]
    await asyncio.sleep(0)

    outage.accepted()

    await asyncio.gather(*others)
    outage.check("under way")


async def test_none_is_sent_while_evidence_is_looked_for_and_evidence_ends_it():
    outage = Outage(waits=False)
    for number in range(IN_A_ROW):
        await outage.admit(f"first {number}")
        outage.unanswered(f"first {number}")
    others = [asyncio.create_task(outage.admit(f"other {number}")) for number in range(5)]
    await asyncio.sleep(0)
    assert not any(other.done() for other in others)

    outage.sought("first 1", found=True)

    await asyncio.gather(*others)


async def test_the_run_ends_after_a_few_alone():
    outage = await begun()
    for number in range(PROBES):
        await fail(outage, f"alone {number}")

    with pytest.raises(Unanswered, match=f"to {IN_A_ROW + PROBES} recordings in a row"):
        await outage.admit("next")


async def test_a_run_that_waits_does_not_end():
    outage = await begun(waits=True)
    for number in range(2 * PROBES):
        await fail(outage, f"alone {number}")

    await outage.admit("next")
