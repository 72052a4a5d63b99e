from __future__ import annotations

from collections.abc import Iterator

import pytest

from symbl_aio.sync.portal import Portal


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal()
    portal.start()
    yield portal
    portal.stop()
