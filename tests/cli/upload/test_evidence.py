"""Evidence about recordings whose answers were lost: several of them, of several runs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from symbl_aio import Text, TextOptions, Utterance
from symbl_aio.cli.upload.evidence import Evidence
from symbl_aio.cli.upload.ledger import Item, State
from symbl_aio.testing import LocalSymbl


def sent(name: str, at: datetime) -> Item:
    return Item(
        id=1, source=name, sha256="", meeting=None, name=name, state=State.SENDING,
        since=at.timestamp(),
    )  # fmt: skip


async def test_a_recording_of_an_earlier_run_is_found_beside_one_that_did_not_arrive():
    now = datetime.now(UTC)
    earlier = now - timedelta(days=5)
    async with LocalSymbl() as server, server.client() as client:
        said = Utterance("Hello.", start=earlier, end=earlier + timedelta(seconds=2))
        job = await client.submit(Text([said]), TextOptions(name="arrived #1"))
        await job
        evidence = Evidence(client, patience=0.3)
        # All ask at the same moments: the second list, of the second one, answers the third.
        *lost, arrived = await asyncio.gather(
            evidence.conversation_of(sent("lost #2", now)),
            evidence.conversation_of(sent("lost #3", now)),
            evidence.conversation_of(sent("arrived #1", earlier)),
        )

    assert lost == [None, None]
    assert arrived == job.conversation_id


async def test_of_what_was_sent_days_ago_only_its_own_days_are_listed_and_once():
    now = datetime.now(UTC)
    long_ago = now - timedelta(days=30)
    async with LocalSymbl() as server, server.client() as client:
        said = Utterance("Hello.", start=long_ago, end=long_ago + timedelta(seconds=2))
        job = await client.submit(Text([said]), TextOptions(name="arrived #1"))
        await job
        evidence = Evidence(client, patience=60)

        found = await asyncio.gather(
            *(evidence.conversation_of(sent(f"lost #{number}", long_ago)) for number in range(5)),
            evidence.conversation_of(sent("arrived #1", long_ago)),
        )
        lists = [one for one in server.requests if one.path == "/v1/conversations"]

    assert found == [*[None] * 5, job.conversation_id]
    assert len(lists) == 2  # a page, and the empty one behind it
