"""Streams whose connection is cut after random bytes: each sample arrives once or lies in a gap."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from symbl_aio import Gap, StreamError
from tests.live.peer import open_cutter, open_peer
from tests.live.test_lost_connections import assert_accounted, numbered

CUTS = st.lists(st.integers(1, 60_000), max_size=4)
SIZES = st.lists(st.integers(1, 5000), min_size=1, max_size=25)


@given(cuts=CUTS, sizes=SIZES)
@settings(max_examples=30)
def test_each_sample_arrives_once_or_lies_in_a_gap(cuts: list[int], sizes: list[int]):
    asyncio.run(_speak(cuts, sizes))


async def _speak(cuts: list[int], sizes: list[int]) -> None:
    async with open_peer() as peer, open_cutter(peer.port) as cutter:
        async with peer.client(cutter.port) as symbl:
            stream = symbl.stream("pier-4")
            sent = 0
            gaps: list[Gap] = []
            # It ends with its conversation, or with an error; it never hangs.
            async with asyncio.timeout(20):
                with suppress(StreamError):
                    async with stream:
                        cutter.cut_after = list(cuts)
                        cutter.cut()  # so that the first connection is replaced by those
                        for size in sizes:
                            await stream.send(numbered(sent, size))
                            sent += size
                            await asyncio.sleep(0)
                        await stream.stop()
                with suppress(StreamError):
                    async for event in stream:
                        gaps += [event] if isinstance(event, Gap) else []
        assert_accounted(peer, gaps, sent)
        assert len(peer.conversations) == 1
