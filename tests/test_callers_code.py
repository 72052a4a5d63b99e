"""Code of callers that the client awaits: it cancels itself, fails as it closes, or goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from symbl_aio import (
    Audio,
    Config,
    Credentials,
    Retries,
    SymblClient,
    Text,
    Timeouts,
    TransportError,
    UploadError,
    UploadStalledError,
)
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK

WAV = b"RIFF" + bytes(4) + b"WAVE" + bytes(1988)
SETTINGS: dict[str, Any] = QUICK | {
    "timeouts": Timeouts(connect=0.05, read=0.05, stall=0.1),
    "retries": Retries(attempts=2, base=0.001, cap=0.001),
}


class Gate:
    """What waits in a thread, and goes on waiting although its task is cancelled.

    So does ``UploadFile.read`` of Starlette, and everything that anyio runs in a thread.
    """

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.ended = asyncio.Event()

    async def wait(self) -> None:
        waiting = asyncio.get_running_loop().run_in_executor(None, self.opened.wait)
        while not waiting.done():
            try:
                await asyncio.wait([waiting])
            except asyncio.CancelledError:
                continue
        self.ended.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


class Stream:
    """A stream of a wav in one piece, as ``aiohttp`` and others write them: with an ``aclose``."""

    def __init__(self, closing: BaseException | None = None) -> None:
        self.closed = asyncio.Event()
        self._left = [WAV]
        self._closing = closing

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._left:
            return self._left.pop()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed.set()
        if self._closing is not None:
            raise self._closing


def client_of(server: LocalSymbl, credentials: Any = None) -> SymblClient:
    config = Config(base_url=server.base_url, **SETTINGS)
    return SymblClient(credentials or Credentials("app", "secret"), config=config)


# Code that does not end when it is cancelled


async def test_a_source_that_does_not_end_is_a_stalled_upload(server: LocalSymbl, gate: Gate):
    closed = asyncio.Event()

    async def stream() -> AsyncIterator[bytes]:
        try:
            yield WAV[:1000]
            await gate.wait()
            yield WAV[1000:]
        finally:
            closed.set()

    async with asyncio.timeout(30), client_of(server) as client:
        with pytest.raises(UploadStalledError, match="source gave no more"):
            await client.submit(Audio(stream(), size=len(WAV)))
        assert not closed.is_set()
        gate.opened.set()  # what it gives now is not sent, and it is closed
        await closed.wait()
    assert not [one for one in server.submissions if one.complete]


async def test_a_step_before_the_last_byte_that_does_not_end_is_a_stalled_upload(
    server: LocalSymbl, gate: Gate
):
    async with asyncio.timeout(30), client_of(server) as client:
        with pytest.raises(UploadStalledError):
            await client.submit(Text("Hello."), before_last_byte=gate.wait)
        gate.opened.set()
        await gate.ended.wait()
        await client.process(Text("Later."))
    (accepted,) = [one for one in server.submissions if one.complete]
    assert accepted.accepted


async def test_a_token_provider_that_does_not_end_is_given_up(server: LocalSymbl, gate: Gate):
    async def provider() -> str:
        await gate.wait()
        return "a token"

    async with asyncio.timeout(30):
        async with client_of(server, provider) as client:
            with pytest.raises(TransportError, match="the credential provider raised TimeoutError"):
                await client.submit(Text("Hello."))


async def test_closing_does_not_wait_for_a_token_provider_that_does_not_end(
    server: LocalSymbl, gate: Gate
):
    called = asyncio.Event()

    async def provider() -> str:
        called.set()
        await gate.wait()
        return "a token"

    config = Config(base_url=server.base_url, **QUICK)
    client = SymblClient(provider, config=config)
    await client.start()
    submission = client.submit(Text("Hello."))
    await called.wait()
    async with asyncio.timeout(30):
        await client.aclose(drain="none")
    assert submission.done()


# Code that cancels itself


async def test_a_source_that_is_cancelled_itself_is_named(server: LocalSymbl):
    async def stream() -> AsyncIterator[bytes]:
        yield WAV[:1000]
        raise asyncio.CancelledError

    class Unusable(Stream):
        def __aiter__(self) -> AsyncIterator[bytes]:
            raise asyncio.CancelledError

    class NoIterator(Stream):
        def __aiter__(self) -> Any:
            return 5

    async with client_of(server) as client:
        for source, why in (
            (stream(), "CancelledError"),
            (Unusable(), "CancelledError"),
            (NoIterator(), "TypeError"),
        ):
            with pytest.raises(UploadError, match=f"broke: {why}"):
                await client.submit(Audio(source, size=len(WAV)))


async def test_a_step_before_the_last_byte_that_is_cancelled_itself_is_named(server: LocalSymbl):
    async def cancelled() -> None:
        raise asyncio.CancelledError

    async with client_of(server) as client:
        with pytest.raises(UploadError, match="before_last_byte raised CancelledError"):
            await client.submit(Text("Hello."), before_last_byte=cancelled)
    assert not [one for one in server.submissions if one.complete]


# Code that fails as it closes


@pytest.mark.parametrize("error", [None, OSError("gone"), asyncio.CancelledError()])
async def test_a_source_that_fails_as_it_closes_was_sent(
    server: LocalSymbl, error: BaseException | None
):
    stream = Stream(error)
    async with client_of(server) as client:
        await client.process(Audio(stream, size=len(WAV)))
    assert stream.closed.is_set()


async def test_a_source_whose_closing_is_not_async_was_sent(server: LocalSymbl):
    class Plain(Stream):
        def aclose(self) -> None:  # type: ignore[override]
            self.closed.set()

    stream = Plain()
    async with client_of(server) as client:
        await client.process(Audio(stream, size=len(WAV)))
    assert stream.closed.is_set()
