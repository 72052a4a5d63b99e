"""A scripted peer of live connections: a real server on a real socket, and a proxy that cuts.

It recognises nothing. A test decides what it answers and when, which no real server offers:
sockets that freeze, a ``conversation_completed`` that never comes, another conversation.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import WSMsgType, web

from symbl_aio import AccessToken, Config, Credentials, Gap, Retries, SymblClient, Timeouts
from symbl_aio.live.handle import LiveHandle
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK

T = TypeVar("T")


def enveloped(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "message": {"type": kind, **fields}}


def recognised(text: str, *, is_final: bool = True) -> dict[str, Any]:
    raw = {"alternatives": [{"transcript": text, "confidence": 0.9, "words": []}]}
    return enveloped(
        "recognition_result",
        isFinal=is_final,
        payload={"raw": raw},
        punctuated={"transcript": text},
        user={},
    )


def wav(path: Path, samples: bytes, *, rate: int = 16_000, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(samples)
    return path


class Session:
    """One WebSocket of the peer, as a test drives and inspects it."""

    def __init__(self, ws: web.WebSocketResponse, request: web.Request, peer: Peer) -> None:
        self.ws = ws
        self.peer = peer
        self.path = request.path
        self.headers = request.headers
        self.token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.requests: list[Any] = []
        self.audio = bytearray()
        self.frames: list[int] = []
        self.pings = 0
        self.pongs: list[bytes] = []
        self.changed = asyncio.Event()
        self.closed = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()

    @property
    def id(self) -> str:
        return self.path.rpartition("/")[2]

    async def send(self, frame: Any) -> None:
        text = frame if isinstance(frame, str) else json.dumps(frame)
        await self.ws.send_str(text)

    async def created(self, conversation_id: str | None = None) -> None:
        found = conversation_id or self.peer.conversations.setdefault(
            self.id, str(4_000_000 + len(self.peer.conversations))
        )
        await self.send(enveloped("conversation_created", data={"conversationId": found}))

    async def listening(self) -> None:
        await self.created()
        await self.send(enveloped("started_listening"))

    async def completed(self) -> None:
        found = self.peer.conversations[self.id]
        await self.send(
            enveloped(
                "conversation_completed", conversationId=found, data={"conversationId": found}
            )
        )

    async def until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self.changed.clear()
            await self.changed.wait()

    def break_off(self) -> None:
        """Cut the connection, without the closing of a WebSocket."""
        transport = None if self.ws._req is None else self.ws._req.transport
        if transport is not None:
            transport.abort()


async def usual(session: Session, request: dict[str, Any]) -> None:
    """Answer as the API does: listen, and complete the conversation on a stop request."""
    if request["type"] == "start_request":
        await session.listening()
    elif request["type"] == "stop_request":
        await session.completed()
        if session.requests[0].get("disconnectOnStopRequest") is not False:
            await session.ws.close()


Answer = Callable[[Session, dict[str, Any]], Awaitable[None]]


class Peer:
    """The server. ``on_request`` answers each request; ``refusals`` refuse the next handshakes.

    ``revoked``: the credentials, and all tokens, are refused.
    """

    def __init__(self) -> None:
        self.on_request: Answer = usual
        self.on_subscribe: Callable[[Session], Awaitable[None]] | None = None
        self.sessions: list[Session] = []
        self.subscribers: list[Session] = []
        self.conversations: dict[str, str] = {}
        self.refusals: list[int] = []
        self.retry_after: str | None = None
        self.refused = 0
        self.tokens: list[str] = []
        self.revoked = False
        self.answers_pings = True
        self.changed = asyncio.Event()
        self.posts: list[tuple[str, Any]] = []
        self.on_post: Callable[[str, Any], Awaitable[web.StreamResponse]] | None = None
        self.port = 0

    async def session(self, index: int = -1, *, at_least: int = 1) -> Session:
        """Wait until so many streams have connected, and return one."""
        await self.until(lambda: len(self.sessions) >= at_least)
        return self.sessions[index]

    async def until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self.changed.clear()
            await self.changed.wait()

    def client(self, port: int | None = None, **config: Any) -> SymblClient:
        settings: dict[str, Any] = {
            "retries": Retries(base=0.001, cap=0.01),
            "timeouts": Timeouts(connect=5, read=5, stall=5),
        }
        credentials = config.pop("credentials", Credentials("app", "a-secret-of-the-app"))
        return SymblClient(
            credentials,
            config=Config(
                base_url=f"http://127.0.0.1:{port or self.port}", **{**settings, **config}
            ),
        )

    async def _token(self, request: web.Request) -> web.Response:
        if self.revoked:
            return web.json_response({"message": "no"}, status=401)
        body = await request.json()
        token = f"token-{body['appId']}-{len(self.tokens)}"
        self.tokens.append(token)
        return web.json_response({"accessToken": token, "expiresIn": 3600})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self.revoked:
            return web.json_response({"message": "no"}, status=401)
        if self.refusals:
            self.refused += 1
            headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
            answer = {"message": "no"}
            return web.json_response(answer, status=self.refusals.pop(0), headers=headers)
        ws = web.WebSocketResponse(autoping=False, timeout=0.5)
        await ws.prepare(request)
        session = Session(ws, request, self)
        is_speaker = "/streaming/" in request.path
        (self.sessions if is_speaker else self.subscribers).append(session)
        self.changed.set()
        try:
            if not is_speaker and self.on_subscribe is not None:
                await self.on_subscribe(session)
            await self._read(session)
        finally:
            session.closed.set()
            session.changed.set()
        return ws

    async def _read(self, session: Session) -> None:
        while True:
            await session.reading.wait()
            message = await session.ws.receive()
            match message.type:
                case WSMsgType.BINARY:
                    session.audio += message.data
                    session.frames.append(len(message.data))
                case WSMsgType.TEXT:
                    request = json.loads(message.data)
                    session.requests.append(request)
                    with suppress(ConnectionError):
                        await self.on_request(session, request)
                case WSMsgType.PING:
                    session.pings += 1
                    if self.answers_pings:
                        with suppress(ConnectionError):
                            await session.ws.pong(message.data)
                case WSMsgType.PONG:
                    session.pongs.append(message.data)
                case _:
                    return
            session.changed.set()

    async def _post(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.posts.append((request.path, body))
        self.changed.set()
        if self.on_post is not None:
            return await self.on_post(request.path, body)
        if request.path.startswith("/v1/event/"):
            return web.json_response({})
        return web.json_response(started("c-1", "51"))


def started(connection_id: str, conversation_id: str) -> dict[str, Any]:
    return {
        "connectionId": connection_id,
        "conversationId": conversation_id,
        "eventUrl": f"https://api.example/v1/event/{connection_id}",
        "resultWebSocketUrl": f"wss://api.example/events/{connection_id}",
    }


@asynccontextmanager
async def open_peer(tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    peer = Peer()
    app = web.Application()
    app.router.add_post("/oauth2/token:generate", peer._token)
    app.router.add_get("/v1/streaming/{id}", peer._stream)
    app.router.add_get("/v1/subscribe/{id}", peer._stream)
    app.router.add_get("/session/subscribe/{id}", peer._stream)
    app.router.add_post("/v1/endpoint:connect", peer._post)
    app.router.add_post("/v1/event/{id}", peer._post)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    peer.port = runner.addresses[0][1]
    try:
        yield peer
    finally:
        for session in (*peer.sessions, *peer.subscribers):
            session.reading.set()
            session.break_off()
        await runner.cleanup()


class Cutter:
    """A TCP proxy that forwards up to a number of bytes of each connection, then cuts it.

    ``cut_after``: bytes of the client that are forwarded on the next connections; without one
    all are. ``cuts_next``: the next bytes of a client cut its connection, which looks alive until
    then. ``running``, cleared: forward nothing, in either direction, but keep the connections,
    until the next one if ``thawed_by_next``.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.cut_after: list[int] = []
        self.connections = 0
        self.thawed_by_next = self.cuts_next = False
        self.forwarded: list[int] = []
        self.running = asyncio.Event()
        self.running.set()
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        index = self.connections
        self.connections += 1
        if self.thawed_by_next:
            self.running.set()
        self.forwarded.append(0)
        limit = self.cut_after.pop(0) if self.cut_after else None
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, up_writer]

        async def pump(source: Any, target: Any, most: int | None, counts: bool) -> None:
            with suppress(OSError):
                while data := await source.read(65536):
                    await self.running.wait()
                    if counts and self.cuts_next:
                        self.cuts_next = False
                        break
                    if most is not None:
                        data, most = data[:most], max(0, most - len(data))
                    target.write(data)
                    if counts:
                        self.forwarded[index] += len(data)
                    await target.drain()
                    if most == 0:
                        break
            for end in (writer, up_writer):
                end.transport.abort()

        both = [
            asyncio.create_task(pump(reader, up_writer, limit, True)),
            asyncio.create_task(pump(up_reader, writer, None, False)),
        ]
        self._tasks.update(both)
        await asyncio.wait(both)
        self._tasks.difference_update(both)

    def cut(self) -> None:
        """Cut all connections now."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


@asynccontextmanager
async def open_cutter(port: int) -> AsyncIterator[Cutter]:
    cutter = Cutter(port)
    server = await asyncio.start_server(cutter.connected, "127.0.0.1", 0)
    cutter.port = server.sockets[0].getsockname()[1]
    try:
        yield cutter
    finally:
        cutter.running.set()
        cutter.cut()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def through_cutter(
    server: LocalSymbl, **config: Any
) -> AsyncIterator[tuple[Cutter, SymblClient]]:
    """Open a client whose connections to a server can be cut."""
    async with (
        open_cutter(int(server.base_url.rpartition(":")[2])) as cutter,
        SymblClient(
            Credentials(server.app_id, server.app_secret),
            config=Config(base_url=f"http://127.0.0.1:{cutter.port}", **{**QUICK, **config}),
        ) as symbl,
    ):
        yield cutter, symbl


async def next_of(handle: LiveHandle, kind: type[T]) -> T:
    """Return the next event of a kind."""
    async for event in handle:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"there was no {kind.__name__}")


TOKEN = AccessToken("a-token-of-its-own")


def speak_until_completed(port: int, stall: float) -> None:
    """Speak on a stream until its conversation is completed. Exits with the number of gaps."""

    async def run() -> int:
        config = Config(
            base_url=f"http://127.0.0.1:{port}", timeouts=Timeouts(connect=5, read=5, stall=stall)
        )
        async with SymblClient(TOKEN, config=config) as symbl, symbl.stream() as stream:
            await stream.send(bytes(32_000))
            return len([event async for event in stream if isinstance(event, Gap)])

    sys.exit(asyncio.run(run()))
