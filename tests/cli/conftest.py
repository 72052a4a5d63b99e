"""A local server, and a shell whose commands use it."""

from __future__ import annotations

import pwd
from collections.abc import AsyncIterator
from typing import NoReturn

import pytest

from symbl_aio.testing import LocalSymbl
from tests.shell import CREDENTIALS, Shell


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home directory, as that of a systemd unit with DynamicUser."""

    def unknown(number: int) -> NoReturn:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def symbl() -> AsyncIterator[LocalSymbl]:
    async with LocalSymbl() as server:
        yield server


@pytest.fixture
def shell(symbl: LocalSymbl) -> Shell:
    return Shell(SYMBL_BASE_URL=symbl.base_url, **CREDENTIALS)
