"""A client of the live addresses on a plain WebSocket: the tests of the server do not use ours."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from tests.server.conftest import Caller, Start

PCM_SECOND = bytes(32_000)
"""One second of silence: LINEAR16, 16 kHz."""


class Live:
    """One socket. ``seen`` has every frame that was received, by its kind."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.seen: list[dict[str, Any]] = []

    async def send(self, **frame: Any) -> None:
        await self.ws.send_str(json.dumps(frame))

    async def start(self, **fields: Any) -> str:
        """Start, and return the conversation's id once the server listens."""
        await self.send(type="start_request", **fields)
        created = await self.until("conversation_created")
        await self.until("recognition_started")
        return str(created["data"]["conversationId"])

    async def hear(self, seconds: float, *, frame: int = 8192) -> None:
        """Send silence."""
        audio = bytes(int(seconds * 16_000) * 2)
        for at in range(0, len(audio), frame):
            await self.ws.send_bytes(audio[at : at + frame])

    async def next(self) -> dict[str, Any]:
        message = await self.ws.receive(timeout=30)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        frame: dict[str, Any] = message.json()
        frame = frame["message"] if frame["type"] == "message" else frame
        self.seen.append(frame)
        return frame

    async def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Return the next frame of a kind with these fields."""
        while True:
            frame = await self.next()
            if frame["type"] == kind and fields.items() <= frame.items():
                return frame

    async def stop(self) -> dict[str, Any]:
        await self.send(type="stop_request")
        return await self.until("conversation_completed")

    async def closed(self) -> int | None:
        """Return the code of the close frame, after all other frames."""
        while True:
            message = await self.ws.receive(timeout=30)
            if message.type is aiohttp.WSMsgType.CLOSE:
                return int(message.data)
            if message.type is not aiohttp.WSMsgType.TEXT:
                return self.ws.close_code
            frame = message.json()
            self.seen.append(frame["message"] if frame["type"] == "message" else frame)

    def kinds(self) -> list[str]:
        return [frame["type"] for frame in self.seen]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.seen if frame["type"] == kind]

    def texts(self) -> list[str]:
        """Return the messages that were received."""
        return [
            message["payload"]["content"]
            for frame in self.of("message_response")
            for message in frame["messages"]
        ]


class LiveCaller:
    """Opens sockets to a server, with its token."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.server = caller.server
        self._session = aiohttp.ClientSession()
        self._sockets: list[Live] = []

    async def token(self) -> str:
        if self.caller.token is None:
            await self.caller.get("/v1/conversations")
        assert self.caller.token is not None
        return self.caller.token

    async def connect(self, path: str, **options: Any) -> Live:
        if not options:
            options = {"headers": {"x-api-key": await self.token()}}
        url = self.server.base_url.replace("http", "ws", 1) + path
        self._sockets.append(Live(await self._session.ws_connect(url, **options)))
        return self._sockets[-1]

    async def speak(self, connection_id: str = "meeting") -> Live:
        return await self.connect(f"/v1/streaming/{connection_id}")

    async def subscribe(self, connection_id: str = "meeting") -> Live:
        return await self.connect(f"/v1/subscribe/{connection_id}")

    async def messages(self, conversation_id: str) -> list[dict[str, Any]]:
        answer = await self.caller.get(f"/v1/conversations/{conversation_id}/messages")
        assert answer.status == 200, answer
        found: list[dict[str, Any]] = answer.body["messages"]
        return found

    async def aclose(self) -> None:
        for live in self._sockets:
            # A frozen server does not answer a close frame.
            live.ws._response.close()
        await self._session.close()


StartLive = Callable[..., Any]


@pytest.fixture
async def live_of(start: Start) -> AsyncIterator[StartLive]:
    """Start servers of any settings; each comes with a caller of its live addresses."""
    callers: list[LiveCaller] = []

    async def begin(**settings: Any) -> LiveCaller:
        callers.append(LiveCaller(await start(**settings)))
        return callers[-1]

    yield begin
    for caller in callers:
        await caller.aclose()


@pytest.fixture
async def live(live_of: StartLive) -> LiveCaller:
    found: LiveCaller = await live_of()
    return found
