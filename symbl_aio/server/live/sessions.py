"""The live sessions of an application, by connection id: find, start and end them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from symbl_aio.server.background_tasks import BackgroundTasks
from symbl_aio.server.conversations.registry import Conversations, new_conversation
from symbl_aio.server.http_json import ApiError
from symbl_aio.server.live import server_frames
from symbl_aio.server.live.ended_sessions import EndedSessions
from symbl_aio.server.live.live_socket import LiveSocket, encode_frame
from symbl_aio.server.live.session import SESSION, Audience, LiveSession
from symbl_aio.server.management.handlers import ManagementHandlers
from symbl_aio.server.option_support import STREAMS, UnknownOptions
from symbl_aio.server.storage.changes import RecordDeleted
from symbl_aio.server.storage.store import StorageError, Store, StoredState

if TYPE_CHECKING:  # given by the handlers, which come with the first live request
    from symbl_aio.server.live.playback import Playback

logger = logging.getLogger("symbl_aio.server")

# How long the close frames of a closing server may take.
_CLOSE_SECONDS = 0.2
# How long a closing server waits for the words in the audio that it has received.
_LAST_WORDS_SECONDS = 5.0
# Sessions that wait for a speaker; one more ends the one that has waited for longest.
_MOST_WAITING = 10_000
# Seconds until another server may have replaced one that stops.
_RETRY_AFTER = 5


class LiveSessions:
    """All sessions of one application.

    ``most_sockets``: WebSockets open at one time. ``changed`` is called after each change.
    """

    def __init__(
        self,
        conversations: Conversations,
        management: ManagementHandlers,
        store: Store,
        *,
        most_sockets: int,
        changed: Callable[[], None],
    ) -> None:
        self.tasks = BackgroundTasks()
        # Those that end with a speaker's audio.
        self.turns = BackgroundTasks()
        self._conversations = conversations
        self._management = management
        self._store = store
        self._most_sockets = most_sockets
        self._changed = changed
        self._sessions: dict[str, LiveSession] = {}
        # Those without a speaker, in the order of their waits.
        self._waiting: dict[LiveSession, None] = {}
        self._audiences: dict[str, Audience] = {}
        self._ended = EndedSessions(time.monotonic)
        self.unknown_options = UnknownOptions(STREAMS)
        self.sockets: set[LiveSocket] = set()
        self._opening = asyncio.Lock()
        self._draining = self._closing = False

    def restore(self, state: StoredState) -> None:
        """Wait for the speakers whose sockets were lost when the last server stopped.

        A session without a speaker to wait for ends now, and its listeners get the last frame when
        they connect again.
        """
        for connection_id, record in state.records.get(SESSION, {}).items():
            session = self._new_session(connection_id, str(record["conversation"]))
            session.restore(record)
            for speaker_id, seconds in session.waits.items():
                self.hold(session, speaker_id, seconds, "")
            if not session.waits:
                self.complete(session, "")

    def __len__(self) -> int:
        return len(self._sessions)

    def drain(self) -> None:
        """Refuse new sockets with 503; those that are open stay open."""
        self._draining = True

    def check_room(self) -> None:
        """Raise a 429 ``ApiError`` for a socket too many, a 503 one while the server stops."""
        if self._draining:
            raise ApiError(503, "The server is stopping.", retry_after=_RETRY_AFTER)
        if len(self.sockets) >= self._most_sockets:
            raise ApiError(429, f"The application may have {self._most_sockets} sockets open.")

    def opened(self, socket: LiveSocket) -> None:
        """Count a socket until ``closed()``."""
        self.sockets.add(socket)
        self._changed()

    def closed(self, socket: LiveSocket) -> None:
        self.sockets.discard(socket)
        self._changed()

    def find(self, connection_id: str) -> LiveSession | None:
        """Return the session of a connection id, or None."""
        return self._sessions.get(connection_id)

    def join(self, connection_id: str, socket: LiveSocket) -> None:
        """Send the frames of a connection id to a socket from now on, before a session too.

        A socket that comes just after the end of a session gets its last frame, and is closed.
        """
        # A listener whose connection was lost at the end would wait for it without end.
        if (last := self._ended.last_frame(connection_id)) is not None:
            socket.send(last)
            socket.close()
            return
        audience = self._audiences.setdefault(connection_id, Audience())
        audience.sockets[socket] = None
        audience.joined.set()

    def leave(self, connection_id: str, socket: LiveSocket) -> None:
        """Send no more frames to a socket. A second call is harmless."""
        audience = self._audiences.get(connection_id)
        if audience is not None:
            audience.sockets.pop(socket, None)
            if not audience.sockets and connection_id not in self._sessions:
                del self._audiences[connection_id]

    async def start(
        self,
        connection_id: str,
        title: str | None,
        playback: Playback | None,
        *,
        is_call: bool = False,
        intents: bool = False,
    ) -> LiveSession:
        """Return the session of a connection id, or start one with a new conversation."""
        # Two speakers of one id may start at the same moment.
        async with self._opening:
            session = self._sessions.get(connection_id)
            if session is not None and session.ends_at is not None:
                # Before the next await: the wait could end during it.
                session.ends_at.cancel()
                session.ends_at = None
                self._waiting.pop(session, None)
            if session is not None and not session.turns and not await self._exists(session):
                # Deleted, while it waited for its speaker.
                self.complete(session, "")
                session = None
            if session is None:
                conversation = new_conversation(title)
                await self._conversations.create(conversation)
                session = self._new_session(
                    connection_id,
                    conversation.id,
                    playback=playback,
                    is_call=is_call,
                    intents=intents,
                )
        return session

    async def _exists(self, session: LiveSession) -> bool:
        # As a turn: the end of another speaker's wait must not complete the session meanwhile.
        session.turns += 1
        try:
            exists = await session.exists()
        except BaseException:
            session.turns -= 1
            self.end(session, "")  # its wait goes on
            raise
        session.turns -= 1
        return exists

    def _new_session(
        self,
        connection_id: str,
        conversation_id: str,
        *,
        playback: Playback | None = None,
        is_call: bool = False,
        intents: bool = False,
    ) -> LiveSession:
        self._ended.discard(connection_id)
        session = self._sessions[connection_id] = LiveSession(
            connection_id,
            conversation_id,
            self._audiences.setdefault(connection_id, Audience()),
            conversations=self._conversations,
            management=self._management,
            changed=self._changed,
            playback=playback,
            is_call=is_call,
            intents=intents,
        )
        return session

    def hold(self, session: LiveSession, speaker_id: str, seconds: float, summary_url: str) -> None:
        """Wait some seconds for a speaker to come back; see ``end()``."""
        session.awaited[speaker_id] = asyncio.get_running_loop().time() + seconds
        self.end(session, summary_url)

    def end(self, session: LiveSession, summary_url: str) -> None:
        """Complete a session once no speaker is there or awaited: now, or when the wait ends."""
        if session.turns:
            return
        if session.ends_at is not None:
            session.ends_at.cancel()
        loop = asyncio.get_running_loop()
        until = max(session.awaited.values(), default=0.0)
        if until <= loop.time():
            self.complete(session, summary_url)
        else:
            session.ends_at = loop.call_at(until, self.complete, session, summary_url)
            self._waiting[session] = None
            if len(self._waiting) > _MOST_WAITING:
                self.complete(next(iter(self._waiting)), "")

    def complete(self, session: LiveSession, summary_url: str) -> None:
        """End a session: its sockets get the last frame, and are closed."""
        if self._sessions.get(session.connection_id) is not session:
            return
        if session.ends_at is not None:
            session.ends_at.cancel()
        self._waiting.pop(session, None)
        del self._sessions[session.connection_id]
        del self._audiences[session.connection_id]
        last = encode_frame(
            server_frames.conversation_completed(session.conversation_id, summary_url)
        )
        self._ended.add(session.connection_id, last)
        for socket in session.audience.sockets:
            socket.send(last)
        session.audience.close()
        # A listener whose socket the server has closed asks the next server for the end.
        if session.is_stored and not self._closing:
            self.tasks.spawn(self._forget(session.connection_id), name="end of a stored session")
        self._changed()

    async def _forget(self, connection_id: str) -> None:
        if connection_id in self._sessions:
            return  # the next session of the id replaces it
        try:
            await self._store.commit(RecordDeleted(SESSION, connection_id))
        except StorageError as error:
            logger.warning("a session that has ended stays stored: %s", error)

    async def close_sockets(self) -> None:
        """Close every socket, since the server goes away; wait shortly for the clients."""
        self._closing = True
        for socket in self.sockets:
            socket.close(1001)
        if self.sockets:
            closed = [asyncio.ensure_future(socket.closed.wait()) for socket in self.sockets]
            _, waiting = await asyncio.wait(closed, timeout=_CLOSE_SECONDS)
            for future in waiting:
                future.cancel()

    async def finish(self) -> None:
        """Wait, for some seconds at most, until the words of the last audio are stored.

        To be called once the sockets are closed.
        """
        await self.turns.wait(_LAST_WORDS_SECONDS)

    async def aclose(self) -> None:
        """End every session at once. What was published stays stored."""
        for session in list(self._sessions.values()):
            if session.ends_at is not None:
                session.ends_at.cancel()
        await self.turns.aclose()
        await self.tasks.aclose()
