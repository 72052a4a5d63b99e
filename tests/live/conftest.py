"""What the tests of live connections share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.live.peer import Peer, open_peer


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with open_peer() as running:
        yield running
