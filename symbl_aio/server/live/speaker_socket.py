"""The socket of one speaker: start and stop requests, and audio in between. API section 10."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from attrs import define, evolve

from symbl_aio.server.http_json import JSON, ApiError
from symbl_aio.server.live import server_frames
from symbl_aio.server.live.audio_clock import AudioFormat
from symbl_aio.server.live.client_frames import (
    BookmarkRequest,
    ModifyRequest,
    Ping,
    StartRequest,
    StopRequest,
    parse_frame,
)
from symbl_aio.server.live.live_faults import SocketFaults
from symbl_aio.server.live.live_socket import LiveSocket, encode_frame, log_break
from symbl_aio.server.live.playback import Playback
from symbl_aio.server.live.session import LiveSession, Turn
from symbl_aio.server.live.sessions import LiveSessions
from symbl_aio.server.live.speech_stream import SpeechError, SpeechStream
from symbl_aio.server.storage.store import StorageError
from symbl_aio.server.transcript_registry import TranscriptRegistry

logger = logging.getLogger("symbl_aio.server")

OpenStream = Callable[[LiveSession, Turn], Awaitable[SpeechStream]]


@define(eq=False)
class _Listening:
    """A turn whose audio arrives. ``published`` ends when all its results were sent."""

    session: LiveSession
    turn: Turn
    stream: SpeechStream
    audio: AudioFormat
    published: asyncio.Task[None]


class SpeakerSocket:
    """Serves one socket. ``summary_url`` returns the link to the page of a conversation."""

    def __init__(
        self,
        connection_id: str,
        socket: LiveSocket,
        *,
        sessions: LiveSessions,
        transcripts: TranscriptRegistry,
        open_stream: OpenStream,
        check: Callable[[StartRequest], None],
        summary_url: Callable[[str], str],
        faults: SocketFaults,
    ) -> None:
        self._connection_id = connection_id
        self._socket = socket
        self._sessions = sessions
        self._transcripts = transcripts
        self._open_stream = open_stream
        self._check = check
        self._summary_url = summary_url
        self._faults = faults
        self._listening: _Listening | None = None
        self._closing_later: asyncio.TimerHandle | None = None
        # Waits for another start on this socket, after a stop that keeps it open.
        self._kept: LiveSession | None = None
        self._kept_for = ""

    async def serve(self) -> None:
        """Handle the frames of the client until it leaves."""
        try:
            if await self._faults.apply(self._socket):
                return
            async for frame in self._socket.frames():
                await self._handle(frame)
                if await self._faults.apply(self._socket, frame):
                    return
        finally:
            self._lost()

    async def _handle(self, frame: str | bytes) -> None:
        try:
            if isinstance(frame, bytes):
                # Without a start request there is no format: as documented, audio is dropped.
                if (listening := self._listening) is not None:
                    await listening.stream.feed(frame)
                    listening.session.record_audio(listening.turn, listening.stream.until)
                return
            match parse_frame(frame):
                case StartRequest() as request:
                    await self._start(request)
                case ModifyRequest() as request:
                    await self._modify(request)
                case BookmarkRequest(fields=fields):
                    await self._started().session.change_bookmark(fields)
                case StopRequest():
                    await self._stop()
                case Ping():
                    if not self._faults.no_pong:
                        self._socket.send("__PONG__")
        except (ApiError, StorageError, SpeechError) as error:
            self._send_error(error)

    async def _start(self, request: StartRequest) -> None:
        if self._listening is not None:
            raise ApiError(400, "The stream has started; stop it before another start_request.")
        self._sessions.unknown_options.name(dict.fromkeys(request.options))
        registered = self._transcripts.by_stream(self._connection_id)
        if registered is None:
            self._check(request)
        self._release()
        playback = None if registered is None else Playback(registered)
        session = await self._sessions.start(self._connection_id, request.title, playback)
        conversation_id = session.conversation_id
        try:
            turn = await session.begin(request)
        except BaseException:
            self._sessions.end(session, self._summary_url(conversation_id))
            raise
        self._sessions.join(self._connection_id, self._socket)
        self._send(server_frames.conversation_created(conversation_id))
        try:
            stream = await self._open_stream(session, turn)
        except BaseException:
            self._sessions.leave(self._connection_id, self._socket)
            session.end(turn)
            self._sessions.end(session, self._summary_url(conversation_id))
            raise
        self._listening = _Listening(
            session,
            turn,
            stream,
            request.audio,
            self._sessions.turns.spawn(
                self._publish(session, turn, stream), name=f"live results of {conversation_id}"
            ),
        )
        # One of them may be this speaker's own, which was lost without a word: until it is closed,
        # its last words are not heard.
        for other in session.speaking:
            self._sessions.tasks.spawn(other.probe(), name="probe of a speaker")
        session.speaking.add(self._socket)
        # Clients drop their audio until this frame.
        self._send(server_frames.envelope("started_listening"))
        self._send(server_frames.recognition_started(conversation_id))
        if self._faults.error is not None:
            self._send(server_frames.error(self._faults.error))

    async def _publish(self, session: LiveSession, turn: Turn, stream: SpeechStream) -> None:
        """Publish the results of a turn until there are no more; the socket may be gone."""
        try:
            async for heard in stream.results():
                await session.publish(turn, heard)
                # With a store in memory nothing else gives the other tasks a turn.
                await asyncio.sleep(0)
        except (ApiError, StorageError, SpeechError) as error:
            logger.warning("conversation %s: %s", session.conversation_id, _reason(error))
            self._send_error(error)
        except Exception as error:
            log_break("a stream", error)
            self._send(server_frames.error("The server has made a mistake."))
        else:
            return
        # No word of what is still to come would be heard. The next connection has another stream.
        if self._listening is not None and self._listening.stream is stream:
            self._socket.close(1011)

    def _started(self) -> _Listening:
        if self._listening is None:
            raise ApiError(400, "The stream has not started.")
        return self._listening

    async def _modify(self, request: ModifyRequest) -> None:
        listening = self._started()
        audio = listening.audio
        audio = evolve(
            audio,
            encoding=request.encoding or audio.encoding,
            sample_rate=request.sample_rate or audio.sample_rate,
        )
        listening.audio = audio
        await listening.stream.change(audio)
        self._send(server_frames.envelope("session_modified"))

    async def _stop(self) -> None:
        listening, self._listening = self._listening, None
        if listening is None:
            # Some clients stop twice, and wait for the end each time.
            return
        session, keep_open = listening.session, listening.turn.request.keep_open
        await self._end(listening, lost=False)
        await self._faults.delay_completed()
        url = self._summary_url(session.conversation_id)
        # Each speaker gets the last frame for its own stop, other listeners for the last one.
        self._sessions.leave(self._connection_id, self._socket)
        self._send(server_frames.conversation_completed(session.conversation_id, url))
        if keep_open is None:
            self._socket.close()
            self._sessions.end(session, url)
            return
        self._kept, self._kept_for = session, listening.turn.speaker_id
        self._sessions.hold(session, self._kept_for, keep_open, url)
        loop = asyncio.get_running_loop()
        self._closing_later = loop.call_later(keep_open, self._socket.close)

    def _release(self) -> LiveSession | None:
        """Wait no longer for a start after a stop; return the session that has waited, or None."""
        if self._closing_later is not None:
            self._closing_later.cancel()
        session, self._kept = self._kept, None
        if session is not None:
            session.awaited.pop(self._kept_for, None)
        return session

    async def _end(self, listening: _Listening, *, lost: bool) -> None:
        """Wait until all results of a turn were published."""
        listening.session.speaking.discard(self._socket)
        try:
            await listening.stream.finish(lost=lost)
            await asyncio.wait({listening.published})
        finally:
            listening.session.end(listening.turn)

    def _lost(self) -> None:
        """Go on without the socket: the audio that arrived is heard to its end."""
        self._sessions.leave(self._connection_id, self._socket)
        kept = self._release()
        if kept is not None:
            self._sessions.end(kept, self._summary_url(kept.conversation_id))
        listening, self._listening = self._listening, None
        if listening is not None:
            self._sessions.turns.spawn(self._finish(listening), name="end of a lost stream")

    async def _finish(self, listening: _Listening) -> None:
        await self._end(listening, lost=True)
        session, turn = listening.session, listening.turn
        url = self._summary_url(session.conversation_id)
        if session.is_resumed(turn):
            self._sessions.end(session, url)
        else:
            seconds = turn.request.no_connection_timeout
            self._sessions.hold(session, turn.speaker_id, seconds, url)

    def _send(self, frame: dict[str, JSON]) -> None:
        self._socket.send(encode_frame(frame))

    def _send_error(self, error: Exception) -> None:
        self._send(server_frames.error(_reason(error)))


def _reason(error: Exception) -> str:
    # The text of a storage error may have a path.
    return "The server cannot store it now." if isinstance(error, StorageError) else str(error)
