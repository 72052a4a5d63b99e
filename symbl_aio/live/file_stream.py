"""A stream whose audio is a recording, at the speed of speech or faster."""

from __future__ import annotations

import asyncio
import os
from types import TracebackType
from typing import Final, Self, Unpack

import symbl_aio  # for annotations alone: their names are imported when evaluated
from symbl_aio._error_classes import ConfigurationError, StreamTimeoutError, SymblError
from symbl_aio._fields import is_number, require, require_seconds
from symbl_aio._io.live_backend import LiveBackend
from symbl_aio._io.tasks import cancel_and_wait
from symbl_aio._threads import in_a_thread
from symbl_aio.live.recording_samples import Samples, open_samples
from symbl_aio.live.settings import StreamSettings
from symbl_aio.live.stream import Stream

__all__ = ["FileStream"]

_CHUNK_SECONDS: Final = 0.1
"""Of audio that is sent at a time: a listener's delay by it cannot be noticed."""
_READ_SECONDS: Final = 5.0
"""Of audio that is read at a time."""


class FileStream(Stream):
    """A stream that sends a recording and then stops; ``client.stream_file(...)`` makes one.

    ::

        async with symbl.stream_file("standup.wav") as stream:
            async for event in stream:
                ...

    The events end once all results are there. ``stop`` waits for the end of the recording.
    Leaving the block early sends no more of it.
    """

    def __init__(
        self,
        backend: LiveBackend,
        path: str | os.PathLike[str],
        realtime: bool | float = True,
        id: str | None = None,
        **settings: Unpack[StreamSettings],
    ) -> None:
        require("path", path, (str, os.PathLike), "the path of a recording")
        for name in ("encoding", "sample_rate"):
            if settings.get(name) is not None:
                raise ConfigurationError(f"{name} follows from the recording; leave it out")
        speed = float(realtime) if isinstance(realtime, bool) or is_number(realtime) else -1.0
        if not 0 <= speed < float("inf"):
            raise ConfigurationError(
                f"realtime is {realtime!r}; give True, False, or a number above 0"
            )
        self._source = path
        self._speed = speed
        self._sending: asyncio.Task[None] | None = None
        super().__init__(backend, id, **settings)

    async def __aenter__(self) -> Self:
        """Open the recording and the stream. Raises ``MediaRejectedError`` for the former."""
        samples = await in_a_thread(lambda: open_samples(self._source, _READ_SECONDS))
        try:
            self._use("LINEAR16", samples.sample_rate)
            await super().__aenter__()
        except BaseException:
            await in_a_thread(samples.close)
            raise
        self._sending = self._backend.start(self._send_all(samples), f"recording of {self.id}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._sending is not None and not self._sending.done():
                await cancel_and_wait(self._sending)
        finally:
            await super().__aexit__(kind, error, traceback)

    async def stop(self, *, timeout: float | None = None) -> symbl_aio.Conversation:
        """Wait until all of the recording was sent, then as ``Stream.stop``.

        ``timeout`` is for both; without one only the last results have a limit.
        """
        require_seconds("timeout", timeout, or_none=True)
        sending, loop = self._sending, asyncio.get_running_loop()
        began, limit = loop.time(), asyncio.timeout(timeout)
        if sending is not None and not sending.cancelled():
            try:
                async with limit:
                    await self._backend.result(sending, closed="the client was closed")
            except TimeoutError:
                if not limit.expired():
                    raise
                raise StreamTimeoutError(
                    f"the recording was not sent within {timeout:g} s", self.conversation.id
                ) from None
        if timeout is None:
            return await super().stop()
        return await super().stop(timeout=max(0.0, began + timeout - loop.time()))

    async def _send_all(self, samples: Samples) -> None:
        try:
            await self._send_paced(samples)
            await super().stop()
        except SymblError as error:
            # Of the file, or of the connection, which has ended the events already.
            self._events.end(error)
            raise
        finally:
            await in_a_thread(samples.close)

    async def _send_paced(self, samples: Samples) -> None:
        clock = asyncio.get_running_loop().time
        began, sent = clock(), 0.0
        second = 2 * samples.sample_rate
        step = int(samples.sample_rate * _CHUNK_SECONDS) * 2
        while audio := await in_a_thread(samples.read):
            for start in range(0, len(audio), step):
                chunk = audio[start : start + step]
                await self.send(chunk)
                sent += len(chunk) / second
                if self._speed:
                    await asyncio.sleep(began + sent / self._speed - clock())
