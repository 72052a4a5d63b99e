"""A local server, and a shell whose commands use it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from symbl_aio.testing import LocalSymbl
from tests.shell import CREDENTIALS, Shell


@pytest.fixture
async def symbl() -> AsyncIterator[LocalSymbl]:
    async with LocalSymbl() as server:
        yield server


@pytest.fixture
def shell(symbl: LocalSymbl) -> Shell:
    return Shell(SYMBL_BASE_URL=symbl.base_url, **CREDENTIALS)
