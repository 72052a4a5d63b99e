"""A stream: audio to the server as it is spoken, and events from it while it is."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from threading import get_ident
from types import TracebackType
from typing import Final, Unpack

from attrs import evolve

import symbl_aio  # for annotations alone: their names are imported when evaluated
from symbl_aio._core.live_audio_account import MAX_FRAME, Audio, AudioFormats, frames
from symbl_aio._core.live_states import Phase
from symbl_aio._error_classes import (
    ConfigurationError,
    StreamLostError,
    StreamTimeoutError,
    TransportError,
)
from symbl_aio._fields import require, require_seconds
from symbl_aio._io.live_backend import LiveBackend
from symbl_aio._io.live_link import Link, Port
from symbl_aio._io.websocket import BINARY, BROKEN
from symbl_aio._protocol import live
from symbl_aio._protocol.calls import check_id, json_text
from symbl_aio.drafts import BookmarkDraft
from symbl_aio.live.events import Gap
from symbl_aio.live.handle import LiveHandle
from symbl_aio.live.settings import Encoding, StreamSettings

__all__ = ["Stream"]

_STOP_WITHIN: Final = 300.0
"""Seconds that the end of an ``async with`` block waits for the last results."""


class Stream(LiveHandle):
    """Audio of one speaker, sent as it is spoken. ``client.stream(...)`` makes one.

    ``async with`` connects and returns once the server listens. Leaving the block stops the
    stream and waits for the last results; after an exception or a cancellation it closes the
    connection at once, and the server completes the conversation by itself.

    A lost connection is replaced within ``no_connection_timeout``, with the same id, and ``send``
    waits meanwhile. Audio that was handed over and may not have been received is never sent
    again, and the events state it as a ``Gap``. After ``stop`` a lost connection is not
    replaced: the server may have completed the conversation, and the same id would open
    another one.

    Memory is bounded in both directions: ``send`` waits while two MiB are on their way, and events
    that are not taken are dropped after a thousand (``Missed``).
    """

    def __init__(
        self, backend: LiveBackend, id: str | None = None, **settings: Unpack[StreamSettings]
    ) -> None:
        self.id: Final = str(uuid.uuid4()) if id is None else check_id("id", id)
        """The id of the connection: other speakers join with it, ``subscribe`` listens to it."""
        self._request = live.start_request(self.id, settings)
        encoding, sample_rate = live.check_encoding(
            settings.get("encoding") or live.ENCODING,
            settings.get("sample_rate") or live.SAMPLE_RATE,
        )
        self._formats = AudioFormats(encoding, sample_rate)
        self._keep(b"")
        self._keeps_open = bool(settings.get("keep_open"))
        window = settings.get("no_connection_timeout")
        self._stopping: asyncio.Lock = asyncio.Lock()
        self._stopped = False
        super().__init__(
            backend,
            live.stream(self.id),
            live.NO_CONNECTION_TIMEOUT if window is None else window,
        )

    def __repr__(self) -> str:
        return f"<Stream {self.id}>"

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        link = self._opened()
        try:
            if kind is None and not link.has_ended and not self._stopped:
                await self.stop()
            elif kind is None and not link.is_error_known:
                link.check_error()  # else the end of the block would pass for that of the stream
        finally:
            await link.aclose()

    @property
    def position(self) -> int:
        """Bytes of audio handed over so far, of ``LINEAR16`` in whole samples."""
        return 0 if self._link is None else self._link.account.handed_over

    async def send(self, audio: Audio) -> None:
        """Hand audio over, in frames of at most 8,192 bytes; of ``OPUS`` in one frame.

        Returns once the connection has taken it. Waits while the connection is lost, or while
        more is on its way than may be. Raises the error that ended the stream, and
        ``ConfigurationError`` after ``stop``. Cancelling it leaves out the frames that were not
        handed over yet, never half a frame. The buffer may be used again afterwards. Half a
        sample of ``LINEAR16`` at the end waits for its other half, in the next ``send``.
        """
        link = self._link
        # A stream has many small frames, and each call on their way would cost as much as this.
        if (
            type(audio) is bytes
            and 0 < (size := len(audio)) <= MAX_FRAME
            and not size & self._unfit
            and link is not None
            and (socket := link.for_audio) is not None
            # As ``get_running_loop() is link.loop``, which is a system call on Python 3.11.
            and get_ident() == link.thread
            and link.loop.is_running()
        ):
            account = link.account
            account.handed_over = position = account.handed_over + size
            try:
                await socket.write(audio, BINARY)
            except BROKEN:
                link.failed_on(socket)
            if position > account.mark:
                await link.confirm(socket)
            return
        await self._send_slowly(audio)

    async def _send_slowly(self, audio: Audio) -> None:
        require("audio", audio, (bytes, bytearray, memoryview), "bytes")
        if self._formats.encoding == "OPUS" and memoryview(audio).nbytes > MAX_FRAME:
            raise ConfigurationError(
                f"audio has {memoryview(audio).nbytes} bytes of OPUS, whose packets cannot be cut; "
                f"send at most {MAX_FRAME} at a time"
            )
        link = self._not_stopped()
        if self._half_sample:
            audio = self._half_sample + bytes(audio)
            self._keep(b"")
        for frame in frames(audio):
            whole = len(frame) - len(frame) % self._formats.width
            if whole:
                await link.listening()  # so that the next line finds a connection
                await self.send(bytes(frame[:whole]))
            self._keep(bytes(frame[whole:]))

    def _keep(self, half_sample: bytes) -> None:
        """Keep half a sample for its other half. On its own it might be lost, and shift all others.

        ``_unfit``: the bits that the size of audio must not have to be sent as it is.
        """
        self._half_sample = half_sample
        self._unfit = -1 if half_sample else self._formats.width - 1

    def _not_stopped(self) -> Link:
        link = self._opened()
        link.check_error()
        if self._stopped:
            raise ConfigurationError("the stream was stopped; make another one, or start it again")
        if self._is_complete():
            raise StreamLostError(
                "the stream has ended: the server has completed the conversation",
                link.states.conversation_id,
            )
        return link

    async def modify(self, *, encoding: Encoding = "LINEAR16", sample_rate: int) -> None:
        """Announce that the audio after this call is of another encoding or rate.

        Raises ``TransportError`` if the connection breaks under it: the next connection
        starts with the new encoding, so that the call need not be repeated. Raises
        ``ConfigurationError`` after ``stop``.
        """
        encoding, sample_rate = live.check_encoding(encoding, sample_rate)
        link = self._not_stopped()
        self._use(encoding, sample_rate)
        await link.request(live.modify_request(encoding, sample_rate))

    def _use(self, encoding: Encoding, sample_rate: int) -> None:
        """Name another encoding in the start requests from now on."""
        self._request = live.with_encoding(self._request, encoding, sample_rate)
        self._formats.change(self.position, encoding, sample_rate)
        self._keep(b"")

    async def bookmark(
        self, draft: BookmarkDraft | None = None, *, bookmark_id: str | None = None
    ) -> None:
        """Create a bookmark; with ``bookmark_id`` replace that one, or delete it without a draft.

        Newer hosts only; the server sends no answer. Raises ``TransportError`` if the
        connection breaks under it: it may have been made, and is not sent again. Raises
        ``ConfigurationError`` after ``stop``.
        """
        request = live.bookmark_request(draft, bookmark_id)
        await self._not_stopped().request(request)

    async def stop(self, *, timeout: float | None = _STOP_WITHIN) -> symbl_aio.Conversation:
        """End the audio, wait for the last results, and return the conversation.

        The stop request is sent once, however often this is called. Raises
        ``StreamTimeoutError`` if the server has not completed the conversation within ``timeout``
        seconds; it may be called again then. Raises ``StreamLostError`` if the connection was
        lost before that: the server completes the conversation by itself, and
        ``error.conversation_id`` names it. Cancelling it leaves the stream stopping.
        """
        require_seconds("timeout", timeout, or_none=True)
        link = self._opened()
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                async with self._stopping:
                    if not self._stopped:
                        await self._request_stop(link)
                await link.until(self._is_complete)
        except TimeoutError:
            if not limit.expired():
                raise
            raise StreamTimeoutError(
                f"the server has not completed the conversation within {timeout:g} s",
                link.states.conversation_id,
            ) from None
        return self.conversation

    async def _request_stop(self, link: Link) -> None:
        try:
            if link.states.phase is not Phase.COMPLETED:
                await link.settle()
                await link.listening()
        except StreamLostError:
            if not self._is_complete():
                raise
        self._stopped = True
        if self._is_complete():  # by the server itself, perhaps meanwhile
            return
        # From here on a lost connection is not replaced.
        link.for_audio = None
        link.states.on_stop_sent()
        with suppress(TransportError):  # the wait for the end raises the loss
            await link.request(live.STOP_REQUEST)

    def _is_complete(self) -> bool:
        link = self._opened()
        return link.states.phase is Phase.COMPLETED or (link.has_ended and link.error is None)

    async def start(self) -> None:
        """Start again on the connection that ``keep_open`` has kept, after ``stop``.

        Returns once the server listens; ``conversation`` is then the one that it names, which
        may be another one. Raises ``StreamLostError`` if the connection has ended meanwhile.
        """
        link = self._opened()
        if link.states.phase is not Phase.COMPLETED or not self._stopped:
            raise ConfigurationError("the stream is not stopped; call stop() first")
        if link.socket is None:
            raise StreamLostError("the stream has ended", link.states.conversation_id)
        self._events.reopen()
        self._stopped = False
        self._keep(b"")
        await link.restart(link.socket, self._hello())
        await link.listening()

    def _port(self) -> Port:
        return evolve(super()._port(), keeps_open=self._keeps_open)

    def _hello(self) -> str:
        return json_text(self._request)

    def _on_gap(self, seconds: float, position: int, bytes_lost: int) -> None:
        self._events.put(
            Gap(
                seconds=seconds,
                bytes_lost=bytes_lost,
                position=position,
                audio_seconds=self._formats.seconds_of(position, bytes_lost),
            )
        )
