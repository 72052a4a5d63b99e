"""Which submissions are sent while the server answers nothing usable."""

from __future__ import annotations

import asyncio

import pytest

from symbl_aio._outage import IN_A_ROW, Outage, UnansweredError, WithheldError

PROBES = 3


async def fail(outage: Outage, key: str, *, is_sought: bool = False) -> None:
    """Send a submission that has no answer, and of which there is no evidence, at least yet."""
    await outage.admit(key)
    outage.check(key)
    outage.unanswered(key)
    if not is_sought:
        outage.sought(key, found=False)
    outage.release(key)


async def begun(*, probes: int | None = PROBES, pause: float = 0.0) -> Outage:
    outage = Outage(probes=probes, pause=pause)
    for number in range(IN_A_ROW):
        await fail(outage, f"first {number}", is_sought=True)
    return outage


async def test_one_at_a_time_is_sent_after_several_without_an_answer():
    outage = await begun()
    await outage.admit("alone")
    outage.check("alone")
    other = asyncio.create_task(outage.admit("other"))
    await asyncio.sleep(0)

    assert not other.done()
    with pytest.raises(WithheldError):
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


async def test_evidence_of_one_of_them_lets_all_go_on():
    outage = await begun(pause=60)
    others = [asyncio.create_task(outage.admit(f"other {number}")) for number in range(5)]
    await asyncio.sleep(0)
    assert not any(other.done() for other in others)

    outage.sought("first 1", found=True)
    outage.sought("of another process", found=True)

    await asyncio.gather(*others)


async def test_it_is_given_up_after_a_few_alone_once_no_evidence_is_looked_for():
    outage = await begun()
    for number in range(PROBES):
        await fail(outage, f"alone {number}")
    ended = asyncio.create_task(outage.admit("next"))
    for number in range(IN_A_ROW):
        await asyncio.sleep(0)
        assert not ended.done()
        outage.sought(f"first {number}", found=False)

    with pytest.raises(UnansweredError, match=f"to {IN_A_ROW + PROBES} submissions in a row"):
        await ended


async def test_without_a_number_of_them_it_is_never_given_up():
    outage = await begun(probes=None)
    for number in range(2000):
        await fail(outage, f"alone {number}")

    await outage.admit("next")
