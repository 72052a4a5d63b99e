"""A live connection that outlives its WebSockets: opened, watched, resumed and ended by one task.

``live_states`` decides which loss is resumed, ``live_audio_account`` counts the audio, and the
retry table decides which refusal of a connection is final.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from threading import get_ident
from typing import Final

import aiohttp
from attrs import evolve, frozen

from symbl_aio._core.live_audio_account import AudioAccount
from symbl_aio._core.live_states import LiveStates, Loss, OtherConversationError, Phase
from symbl_aio._core.retries import Attempts, Verdict, on_status
from symbl_aio._io.live_backend import LiveBackend
from symbl_aio._io.tasks import cancel_and_wait
from symbl_aio._io.websocket import BROKEN, Socket
from symbl_aio._log import Log
from symbl_aio._protocol.decode_live import decode_frame
from symbl_aio.errors import (
    APIError,
    ClientClosedError,
    StreamLostError,
    StreamRefusedError,
    StreamTimeoutError,
    SymblError,
    TransportError,
)
from symbl_aio.live.events import ErrorEvent, LiveEvent, StateEvent

_LOG = Log("symbl_aio")

_PING_EVERY: Final = 0.5
"""Seconds between two pings while audio is on its way: a gap counts half a second too much."""
_SETTLE_WITHIN: Final = 5.0
"""Seconds that a stop request waits at most for the audio before it."""
_RECENT: Final = 1.0
"""Seconds after a frame of the server in which it counts as there."""
_STEP_WITHIN: Final = 5.0
"""Seconds that a handshake or a start may take at least, while a lost connection is replaced."""
_UNLIMITED: Final = 1_000_000


@frozen
class Port:
    """The owner of a link, a stream or a subscription, as the link calls it."""

    hello: Callable[[], str | None]
    """Return the request that each connection begins with; ``None`` without one."""
    on_event: Callable[[LiveEvent], None]
    """Called with each event of the server."""
    on_gap: Callable[[float, int, int], None]
    """Called with seconds, position and bytes of a loss, once the server listens again or never."""
    on_end: Callable[[SymblError | None], None]
    """Called at the end of the link, with the error that ended it early."""
    keeps_open: bool = False
    """Whether the connection stays open once the conversation is complete."""


class Link:
    """One logical connection. ``window``: seconds in which a lost one may be replaced."""

    def __init__(self, backend: LiveBackend, path: str, window: float, port: Port) -> None:
        self._connect = backend.connect
        self._redacted = backend.redacted
        self._tasks = backend.tasks
        self._config = backend.config
        self._jitter = backend.jitter
        self._path = path
        self._port = port
        self.loop = backend.tasks.loop
        self.thread = get_ident()
        self._clock = self.loop.time
        self._window = window
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._lost_at: float | None = None
        self._lost = (0.0, 0, 0)
        """When the server was there last, and the position and bytes of the audio since then."""
        self._has_progressed = False
        self._cause: SymblError | None = None
        self.states = LiveStates(is_resumable=window > 0)
        self.account = AudioAccount()
        self.has_listened = False
        """Whether the server has ever listened."""
        self.has_ended = False
        """Whether the link will not connect any more, and ``error`` is final."""
        self.error: SymblError | None = None
        """The error that ended the link."""
        self.is_error_known = False
        """Whether the error was raised to the owner's caller."""
        self.socket: Socket | None = None
        """The connection on which the server listens; ``None`` while there is none."""
        self.for_audio: Socket | None = None
        """The same, until a stop request is sent."""

    # The owner's side

    def start(self) -> None:
        """Start the task, which ends with the link."""
        self._task = self._tasks.start(self._run(), f"live {self._path}", on_end=self._ended)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until a condition holds. Raises the link's error if it ends before that."""
        while not reached():
            self.check_error()
            if self.has_ended:
                raise StreamLostError("the stream has ended", self.states.conversation_id)
            await self._changed.wait()

    def check_error(self) -> None:
        """Raise the error that ended the link, if there is one."""
        if self.error is not None:
            self.is_error_known = True
            # Without the frames of an earlier caller.
            raise self.error.with_traceback(None)

    async def listening(self) -> Socket:
        """Return the connection on which the server listens, and wait for it while it is lost."""
        while self.socket is None:
            await self.until(lambda: self.socket is not None)
        return self.socket

    async def confirm(self, socket: Socket) -> None:
        """Ask how much of the audio has arrived, and wait if too much is on its way."""
        account = self.account
        account.asked()
        try:
            await socket.ping(account.handed_over)
        except BROKEN:
            self.failed_on(socket)
        if account.handed_over > account.limit:
            await self.until(lambda: account.has_room)

    async def settle(self) -> None:
        """Wait until the server has received all audio, or the loss of it is known.

        So a stop request is not sent on a connection that is lost already. At most a few
        seconds, since some servers answer no pings.
        """
        account = self.account
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_WITHIN):
                while account.expects_pongs:
                    socket = await self.listening()
                    asked_at = self._clock()
                    # A connection may have died unnoticed while there was nothing to send.
                    if not account.open and socket.last_frame_at > asked_at - _RECENT:
                        return
                    try:
                        await socket.ping(account.handed_over)
                    except BROKEN:
                        self.failed_on(socket)
                    await self.until(partial(self._is_settled_or_not, socket, asked_at))

    def _is_settled_or_not(self, asked: Socket, asked_at: float) -> bool:
        is_settled = not self.account.open and asked.last_frame_at >= asked_at
        return is_settled or self.socket is not asked

    async def request(self, text: str) -> None:
        """Send one request on the connection, once. Raises ``TransportError`` if it breaks."""
        socket = await self.listening()
        try:
            await socket.send_text(text)
        except BROKEN:
            self.failed_on(socket)
            raise TransportError("the connection broke under a request", "maybe") from None

    async def restart(self, socket: Socket, hello: str) -> None:
        """Send the start request again on a connection that has stayed open."""
        self.states.restart()
        self.socket = None
        socket.start_sent_at = self._clock()
        with suppress(*BROKEN):  # then the next connection begins with it
            await socket.send_text(hello)

    def failed_on(self, socket: Socket) -> None:
        """Record that a write failed: the next one waits for another connection.

        Whether the server received the last frame is not known, so it counts as open.
        """
        if self.socket is socket:
            self.socket = self.for_audio = None

    async def aclose(self) -> None:
        """End the task and close the connection, within seconds. Safe to cancel and to repeat."""
        if self._task is not None and not self._task.done():
            await cancel_and_wait(self._task)

    def pulse(self) -> None:
        """Wake all waiters, so that they look at their conditions again."""
        self._changed.set()
        self._changed.clear()

    # The task

    async def _run(self) -> None:
        first = self._config.retries
        attempts = Attempts(first)
        while True:
            try:
                connection = await self._connected()
            except (TransportError, APIError) as error:
                await self._pause(attempts, error)
                continue
            loss = await self._serve(Socket(connection, self._on_received))
            if loss is Loss.COMPLETE:
                return
            if loss is Loss.FAIL:
                raise self._failure()
            if self._has_progressed:
                # The server keeps the conversation for as long after each loss.
                self._has_progressed = False
                patience = evolve(
                    first,
                    attempts=_UNLIMITED,
                    max_elapsed=self._window,
                    cap=max(first.base, min(first.cap, self._window / 10)),
                    max_retry_after=min(first.max_retry_after, self._window / 3),
                )
                attempts = Attempts(patience)
            await self._pause(attempts, None)

    async def _connected(self) -> aiohttp.ClientWebSocketResponse:
        limit = asyncio.timeout(None if self._lost_at is None else self._limit(inf))
        try:
            async with limit:
                return await self._connect(self._path)
        except TimeoutError:
            if not limit.expired():
                raise
            raise TransportError("the server did not answer in time", "maybe") from None

    def _limit(self, seconds: float) -> float:
        """Return the seconds for one step to a connection: ``seconds``, less for a lost one.

        A host that accepts and does not answer must not use up the whole window, and after it
        the server would open another conversation.
        """
        if self._lost_at is None:
            return seconds
        rest = self._lost_at + self._window - self._clock()
        return min(seconds, max(self._window / 3, _STEP_WITHIN), max(rest, 0.0))

    async def _serve(self, socket: Socket) -> Loss:
        """Use one connection to its end. Returns what follows from it."""
        self.states.opened()
        self._cause = None
        watch = self._tasks.start(self._watch(socket), "live watch")
        try:
            hello = self._port.hello()
            if hello is None:
                self._on_listening(socket)
            else:
                await socket.send_text(hello)
            while (text := await socket.read()) is not None:
                for event in decode_frame(text):
                    self._take(event, socket)
                if self.states.phase is Phase.COMPLETED and not self._port.keeps_open:
                    break
            self._on_closed(socket)
        except BROKEN:
            pass
        finally:
            self.socket = self.for_audio = None
            if self.states.phase in (Phase.LISTENING, Phase.STOPPING):
                self._lost_at = self._clock()
                last = self._lost_at if socket.dead_since is None else socket.dead_since
                self._lost = (last, *self.account.lose())
            self.pulse()
            try:
                await cancel_and_wait(watch)
            finally:
                await socket.aclose()
        return self.states.on_lost(socket.close_code)

    def _on_closed(self, socket: Socket) -> None:
        if socket.close_code is not None and self._cause is None:
            reason = self._redacted(socket.close_reason)
            why = f"{socket.close_code}: {reason}" if reason else f"{socket.close_code}"
            text = f"the server closed the connection with the code {why}"
            self._cause = TransportError(text, "maybe")

    def _take(self, event: LiveEvent, socket: Socket) -> None:
        match event:
            case StateEvent():
                self._on_state(event, socket)
            case ErrorEvent() if self.states.phase is Phase.OPENING:
                raise StreamRefusedError(
                    f"the server refused the start: {event.message}", self.states.conversation_id
                )
            case _:
                self._has_progressed = True
        self._port.on_event(event)
        self.pulse()

    def _on_state(self, event: StateEvent, socket: Socket) -> None:
        if event.conversation_id is not None:
            try:
                self.states.on_conversation(event.conversation_id)
            except OtherConversationError:
                raise StreamLostError(
                    f"the server resumed with conversation {event.conversation_id}, which is "
                    f"another one; {self.states.conversation_id} has what came before",
                    self.states.conversation_id,
                ) from None
        if event.state == "started_listening":
            self._on_listening(socket)
        elif event.state == "conversation_completed":
            self._on_completed()

    def _on_completed(self) -> None:
        position, lost = self.account.lose()
        self._report_gap()
        # After a stop request the server has received all audio before it.
        if lost and self.states.phase is Phase.LISTENING:
            self._port.on_gap(0.0, position, lost)
        self.for_audio = None
        self.states.on_completed()

    def _on_listening(self, socket: Socket) -> None:
        self.states.on_listening()
        if not self.has_listened:
            # Later ones have to bring more than this: a server may listen and break for ever.
            self.has_listened = self._has_progressed = True
        self.socket = socket
        if self.states.phase is Phase.LISTENING:
            self.for_audio = socket  # not after a stop: it may be for another speaker
        self._report_gap()
        self.pulse()

    def _report_gap(self) -> None:
        if self._lost_at is not None:
            self._lost_at = None
            last, position, lost = self._lost
            self._port.on_gap(self._clock() - last, position, lost)

    def _on_received(self, position: int) -> None:
        self._has_progressed = True
        self.account.received(position)
        self.pulse()

    async def _watch(self, socket: Socket) -> None:
        """Ping the server, and close a connection that is silent, stuck or never listens."""
        stall = self._config.timeouts.stall
        asked_at: float | None = None
        was_overdue = False
        while True:
            await asyncio.sleep(min(_PING_EVERY, stall / 3))
            now, cause = self._clock(), self._overdue(socket)
            # At two looks: if this process was stopped, the frames of that time are still unread.
            if cause is not None and was_overdue:
                self._cause = cause
                break
            was_overdue = cause is not None
            if asked_at is not None and socket.last_frame_at > asked_at + stall / 3:
                self.account.is_not_answered()
                self.pulse()
            # A silent server is asked even if there is nothing to be confirmed.
            if self.account.open or now - socket.last_frame_at > stall / 3:
                asked_at = asked_at or now
                try:
                    async with asyncio.timeout(stall):
                        await socket.ping(self.account.handed_over)
                except BROKEN:  # or it takes no more bytes: a TimeoutError is an OSError
                    break
        socket.dead_since = socket.last_frame_at
        await socket.aclose()

    def _overdue(self, socket: Socket) -> SymblError | None:
        """Return the error of a connection whose server has been silent for too long."""
        now, times = self._clock(), self._config.timeouts
        if now - socket.last_frame_at > times.stall:
            return TransportError("the server was silent for too long", "maybe")
        within = self._limit(times.read)
        if self.states.phase is Phase.OPENING and now - socket.start_sent_at > within:
            return StreamTimeoutError(
                f"the server did not start to listen within {within:.3g} s",
                self.states.conversation_id,
            )
        return None

    async def _pause(self, attempts: Attempts, error: TransportError | APIError | None) -> None:
        """Wait before the next connection, or raise when there is to be none."""
        self._cause = error or self._cause
        refused = (
            isinstance(error, APIError) and on_status(error.status, "read") is not Verdict.RETRY
        )
        if refused or (isinstance(error, TransportError) and error.final):
            raise self._failure()
        wait = attempts.pause(
            self._clock(),
            jitter=self._jitter(),
            retry_after=error.retry_after if isinstance(error, APIError) else None,
        )
        if wait is None:
            raise self._failure()
        _LOG.debug("%s: connecting again in %.2f s", self._path, wait)
        await asyncio.sleep(wait)

    def _failure(self) -> SymblError:
        """Return the error of a link that ends early."""
        states = self.states
        if states.phase is Phase.OPENING and states.conversation_id is None and self._cause:
            return self._cause  # it never began: the refusal itself is more use
        remedy = "; the server completes the conversation with what it received"
        stop = " after the stop request was sent" if states.phase is Phase.STOPPING else ""
        why = f" ({self._cause})" if self._cause else ""
        error = StreamLostError(
            f"the connection was lost{stop}{why}, and not resumed{remedy}", states.conversation_id
        )
        error.__cause__ = self._cause
        return error

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.running.discard(task)
        error: BaseException | None
        if not task.cancelled():
            error = task.exception()
        elif self.states.phase is Phase.COMPLETED:
            error = None  # only the closing of its connection was cut short
        else:
            error = ClientClosedError("the stream was closed")
        if error is not None and not isinstance(error, SymblError):
            _LOG.error("a live connection failed", exc_info=error)
            error = StreamLostError(
                f"the stream failed ({type(error).__name__})", self.states.conversation_id
            )
        self._report_gap()
        self.error, self.has_ended = error, True
        self._port.on_end(error)
        self.pulse()
