"""Faults of the worker's own machine: an item waits for their end, as for a server that is away."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from symbl_aio import (
    Audio,
    Config,
    ConfigurationError,
    FileUnavailableError,
    MediaRejectedError,
    Retries,
    Text,
)
from symbl_aio._threads import Stalled
from symbl_aio.durable import ItemState, Outbox, Worker
from symbl_aio.durable import content as stored
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import POLL_INTERVAL, Working, said
from tests.support import QUICK, mp4_bytes

pytestmark = [
    pytest.mark.parametrize("database", ["sqlite"], indirect=True),
    pytest.mark.usefixtures("quick_retries"),
]

ONCE = {**QUICK, "retries": Retries(attempts=1)}
"""Settings of a client that tries once, so that all else is the worker's patience."""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "standup.mp4"
    path.write_bytes(mp4_bytes())
    return path


class Failing:
    """A token provider that fails twice."""

    def __init__(self, server: LocalSymbl, error: Exception) -> None:
        self.calls = 0
        self._server, self._error = server, error

    async def __call__(self) -> str:
        self.calls += 1
        if self.calls <= 2:
            raise self._error
        return self._server._tokens.current().value


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ECONNREFUSED, "so"), TimeoutError(), KeyError("x"), ConfigurationError("so")],
    ids=lambda error: type(error).__name__,
)
async def test_an_item_waits_for_a_token_provider_that_fails(
    outbox: Outbox, server: LocalSymbl, database: str, error: Exception
) -> None:
    await outbox.submit(Text("It waits."), key="one")
    provider = Failing(server, error)
    config = Config(base_url=server.base_url, **ONCE)
    async with Worker(database, provider, config=config, poll_interval=POLL_INTERVAL):
        item = await outbox.result("one", timeout=30)
    assert (item.state, item.error) == (ItemState.COMPLETED, None)
    assert provider.calls == 3
    assert said(server) == ["It waits."]


class Faults:
    """Raises ``error`` in the first ``times`` looks at ``path``."""

    def __init__(self, path: Path, error: BaseException, times: int) -> None:
        self.left = times
        self._stat: Callable[..., Any] = os.stat
        self._path, self._error = str(path), error

    def __call__(self, path: Any, *args: Any, **kwargs: Any) -> Any:
        if str(path) == self._path and self.left:
            self.left -= 1
            raise self._error
        return self._stat(path, *args, **kwargs)


@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ESTALE", "EIO", "ENOMEM"])
async def test_an_item_waits_for_a_disk_that_fails(
    outbox: Outbox, server: LocalSymbl, working: Working, recording: Path, monkeypatch, name: str
) -> None:
    await outbox.submit(recording, key="one")
    # One look is for the SHA-256, the others are the client's own.
    faults = Faults(recording, OSError(getattr(errno, name), name), 2)
    monkeypatch.setattr(os, "stat", faults)
    async with working(config=ONCE):
        item = await outbox.result("one", timeout=30)
    assert (item.state, item.error, faults.left) == (ItemState.COMPLETED, None, 0)
    assert len(server.submissions) == 1


async def test_an_item_waits_for_a_thread_that_cannot_start(
    outbox: Outbox, server: LocalSymbl, working: Working, recording: Path, monkeypatch
) -> None:
    await outbox.submit(recording, key="one")
    faults = Faults(recording, RuntimeError("can't start new thread"), 1)
    monkeypatch.setattr(os, "stat", faults)
    async with working(config=ONCE):
        item = await outbox.result("one", timeout=30)
    assert (item.state, item.error, faults.left) == (ItemState.COMPLETED, None, 0)


async def test_handing_in_tries_a_disk_that_fails_again(
    outbox: Outbox, recording: Path, monkeypatch
) -> None:
    faults = Faults(recording, OSError(errno.EMFILE, "Too many open files"), 2)
    monkeypatch.setattr(os, "stat", faults)
    monkeypatch.setattr(stored, "Retries", lambda: Retries(base=0.001))
    await outbox.submit(recording, key="one")
    assert faults.left == 0

    faults.left = 99
    with pytest.raises(FileUnavailableError, match="Too many open files"):
        await outbox.submit(recording, key="two")
    assert faults.left == 99 - Retries().attempts


async def test_a_disk_that_hangs_is_noticed_at_handing_in(
    outbox: Outbox, recording: Path, monkeypatch
) -> None:
    async def stalled(_call: object) -> int:
        raise Stalled("no answer for 60 s")

    monkeypatch.setattr(stored._READERS, "run", stalled)
    monkeypatch.setattr(stored, "Retries", lambda: Retries(attempts=1))
    with pytest.raises(FileUnavailableError, match="no answer for 60 s"):
        await outbox.submit(recording, key="one")


async def test_a_recording_longer_than_one_reading_has_its_whole_sum(
    recording: Path, database: str, monkeypatch
) -> None:
    whole = await stored._digest(str(recording))
    monkeypatch.setattr(stored, "_READ_FOR", 0.0)
    monkeypatch.setattr(stored, "_BLOCK", 1000)
    assert await stored._digest(str(recording)) == whole


async def test_a_share_that_was_away_is_tried_again_by_a_word(
    outbox: Outbox, server: LocalSymbl, working: Working, recording: Path
) -> None:
    await outbox.submit(Audio(recording), key="one")
    away = recording.with_name("away")
    os.rename(recording, away)
    with pytest.raises(MediaRejectedError):
        await outbox.submit(Audio(recording), key="two")
    async with working():
        refused = await outbox.result("one", timeout=30)
        assert refused.state is ItemState.REFUSED
        os.rename(away, recording)
        await outbox.retry("one")
        item = await outbox.result("one", timeout=30)
    assert item.state is ItemState.COMPLETED
    assert len(server.submissions) == 1
