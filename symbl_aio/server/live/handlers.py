"""The handlers of the live addresses: the sockets of speakers and of listeners."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from symbl_aio.server.http_json import ApiError, parse_json, require_object
from symbl_aio.server.live import server_frames
from symbl_aio.server.live.client_frames import StartRequest
from symbl_aio.server.live.live_faults import SocketFaults
from symbl_aio.server.live.live_recognizer import LiveRecognizer
from symbl_aio.server.live.live_socket import LiveSocket, encode_frame, log_break
from symbl_aio.server.live.paths import EVENTS_PATH
from symbl_aio.server.live.playback import PlaybackStream
from symbl_aio.server.live.session import LiveSession, Turn
from symbl_aio.server.live.sessions import LiveSessions
from symbl_aio.server.live.speaker_socket import SpeakerSocket
from symbl_aio.server.live.speech_stream import SpeechStream, UntranscribedStream
from symbl_aio.server.live.telephony import CallHandlers
from symbl_aio.server.recognition_parameters import check_recognition
from symbl_aio.server.transcript_registry import TranscriptRegistry


class LiveHandlers:
    """Handles the sockets of one application. ``recognizer`` None: no speech is recognised.

    ``page_url`` returns the link to the page of a conversation. ``take_faults`` returns the
    faults of the next socket. ``closing`` is set when the server closes.
    """

    def __init__(
        self,
        sessions: LiveSessions,
        transcripts: TranscriptRegistry,
        recognizer: LiveRecognizer | None,
        calls: CallHandlers,
        *,
        page_url: Callable[[web.Request, str], str],
        take_faults: Callable[[web.Request], Mapping[str, str]],
        closing: asyncio.Event,
    ) -> None:
        self._sessions = sessions
        self._transcripts = transcripts
        self._recognizer = recognizer
        self.calls = calls
        self._page_url = page_url
        self._take_faults = take_faults
        self._closing = closing

    async def speak(self, request: web.Request) -> web.StreamResponse:
        """Serve a speaker's socket (section 10)."""
        connection_id = request.match_info["connection_id"]
        faults = SocketFaults(self._take_faults(request), self._closing)
        async with self._opened(request) as socket:
            await SpeakerSocket(
                connection_id,
                socket,
                sessions=self._sessions,
                transcripts=self._transcripts,
                open_stream=self._open_stream,
                check=self._check,
                summary_url=functools.partial(self._page_url, request),
                faults=faults,
            ).serve()
        return socket.response

    async def listen(self, request: web.Request) -> web.StreamResponse:
        """Serve a listener's socket (section 11)."""
        connection_id = request.match_info["connection_id"]
        faults = SocketFaults(self._take_faults(request), self._closing)
        async with self._opened(request, listens=True) as socket:
            self._sessions.join(connection_id, socket)
            try:
                if not await faults.apply(socket):
                    async for frame in socket.frames():
                        await self._take(request, socket, frame, faults)
            finally:
                self._sessions.leave(connection_id, socket)
        return socket.response

    async def _take(
        self, request: web.Request, socket: LiveSocket, frame: str | bytes, faults: SocketFaults
    ) -> None:
        """Handle what a listener sends: a ping, or a speaker event of a call."""
        if frame == "__PING__":
            if not faults.no_pong:
                socket.send("__PONG__")
            return
        if not request.path.startswith(EVENTS_PATH):
            return
        try:
            event = require_object(parse_json(frame), "The frame")
            await self.calls.handle_event(request.match_info["connection_id"], event)
        except ApiError as error:
            socket.send(encode_frame(server_frames.error(str(error))))

    @asynccontextmanager
    async def _opened(
        self, request: web.Request, *, listens: bool = False
    ) -> AsyncIterator[LiveSocket]:
        """Open a socket; write its frames until the block ends and they are written."""
        self._sessions.check_room()
        socket = await LiveSocket.open(request, listens=listens)
        self._sessions.opened(socket)
        writer = asyncio.create_task(socket.run(), name="live socket")
        try:
            try:
                yield socket
                socket.close()
            except Exception as error:
                # No response can follow the handshake: an error must not make one.
                log_break("a socket", error)
                socket.close(1011)
            await writer
        finally:
            self._sessions.closed(socket)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer

    def _check(self, request: StartRequest) -> None:
        """Raise a 400 ``ApiError`` for a language that the model of this server does not know."""
        if self._recognizer is not None:
            language = {"languageCode": request.parameters.get("languageCode")}
            check_recognition(language, english_only=self._recognizer.english_only)

    async def _open_stream(self, session: LiveSession, turn: Turn) -> SpeechStream:
        audio = turn.request.audio
        if session.playback is not None:
            return PlaybackStream(session.playback, audio, turn.offset)
        if self._recognizer is not None:
            language = turn.request.parameters.get("languageCode")
            return await self._recognizer.open(
                audio,
                language=language if isinstance(language, str) else None,
                offset=turn.offset,
            )
        return UntranscribedStream(audio, turn.offset)
