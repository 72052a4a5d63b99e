"""Servers on one data directory, one after another, or on a copy as a crash would leave it."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import Caller, Start

Restart = Callable[..., Awaitable[Caller]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def stored(start: Start, data: Path) -> Caller:
    """A caller of a server on ``data``."""
    return await start(data=data, default_transcript="Ann: Hello.")


@pytest.fixture
def restart(start: Start, data: Path) -> Restart:
    """Stop a server and start the next one; the token stays."""

    async def again(before: Caller, **settings: Any) -> Caller:
        await before.server.aclose()
        after = await start(data=data, **{"default_transcript": "Ann: Hello."} | settings)
        after.token = before.token
        return after

    return again


@pytest.fixture
def crash(start: Start, data: Path, tmp_path: Path) -> Restart:
    """Start a server on a copy of the files of a running one: those that a kill leaves behind."""

    async def copy(before: Caller, **settings: Any) -> Caller:
        copied = tmp_path / "copy"
        # A killed server holds no lock.
        shutil.copytree(data, copied, ignore=shutil.ignore_patterns("lock"))
        after = await start(data=copied, **{"default_transcript": "Ann: Hello."} | settings)
        after.token = before.token
        return after

    return copy
