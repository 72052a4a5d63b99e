"""A caller on plain HTTP: the tests of the server do not use the client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import pytest
from attrs import define

from symbl_aio.server import LocalServer

MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(64)


@define
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


class Caller:
    """One account's caller; the token is fetched with the first request."""

    def __init__(self, server: LocalServer) -> None:
        self.server = server
        self.token: str | None = None
        self._session = aiohttp.ClientSession()

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        if self.token is None:
            got = await self.anonymous(
                "POST",
                "/oauth2/token:generate",
                json={"type": "application", "appId": "app", "appSecret": "secret"},
            )
            self.token = got.body["accessToken"]
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return await self.anonymous(method, path, headers=headers, **options)

    async def anonymous(self, method: str, path: str, **options: Any) -> Answer:
        headers = options.pop("headers", {})
        if "json" in options:
            headers = {"Content-Type": "application/json", **headers}
            options["data"] = json.dumps(options.pop("json")).encode()
        # A one-shot body: aiohttp would retry some requests by itself.
        if isinstance(data := options.get("data"), bytes):
            headers = {"Content-Length": str(len(data)), **headers}
            options["data"] = OneShotBody(data)
        async with self._session.request(
            method,
            self.server.base_url + path,
            allow_redirects=False,
            headers=headers,
            skip_auto_headers=("Content-Type",),
            **options,
        ) as response:
            text = await response.text()
            is_json = response.content_type == "application/json" and text
            try:
                body = await response.json() if is_json else text
            except ValueError:
                body = text
            return Answer(response.status, response.headers, body)

    async def get(self, path: str, **query: str) -> Answer:
        return await self.request("GET", path, params=query)

    async def put(self, path: str, body: Any) -> Answer:
        return await self.request("PUT", path, json=body)

    async def text(self, *lines: str, into: str | None = None, **fields: Any) -> Answer:
        """Submit text; ``Name: `` before a message is its speaker."""
        messages = []
        for line in lines:
            name, _, content = line.rpartition(": ")
            messages.append(
                {"payload": {"content": content}} | ({"from": {"name": name}} if name else {})
            )
        path = "/v1/process/text" + (f"/{into}" if into else "")
        body = {"messages": messages, **fields}
        return await self.request("PUT" if into else "POST", path, json=body)

    async def video(self, data: bytes = MP4, into: str | None = None, **query: str) -> Answer:
        path = "/v1/process/video" + (f"/{into}" if into else "")
        headers = {"Content-Type": "video/mp4"}
        return await self.request(
            "PUT" if into else "POST", path, data=data, params=query, headers=headers
        )

    async def audio(self, data: bytes, content_type: str | None = None, **query: str) -> Answer:
        headers = {"Content-Type": content_type} if content_type else {}
        return await self.request(
            "POST", "/v1/process/audio", data=data, params=query, headers=headers
        )

    async def aclose(self) -> None:
        await self._session.close()


class OneShotBody:
    """A one-shot body: some versions of aiohttp send other bodies again, or send them empty."""

    def __init__(self, data: bytes) -> None:
        self._pieces = [data]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if not self._pieces:
            raise OSError("the body was sent before")
        yield self._pieces.pop()


Start = Callable[..., Awaitable[Caller]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start servers of any settings; each comes with its caller."""
    callers: list[Caller] = []

    async def begin(**settings: Any) -> Caller:
        caller = Caller(await LocalServer(**settings).start())
        callers.append(caller)
        return caller

    yield begin
    for caller in callers:
        await caller.aclose()
        await caller.server.aclose()


@pytest.fixture
async def caller(start: Start) -> Caller:
    """A caller of a server that transcribes each recording as "Ann: Hello"."""
    return await start(default_transcript="Ann: Hello.")


@pytest.fixture
def server(caller: Caller) -> LocalServer:
    return caller.server
