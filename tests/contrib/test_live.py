"""A browser's audio through a service to a stream, with both frameworks and on real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from fastapi import FastAPI, WebSocket

from symbl_aio import Config, ConfigurationError, Credentials, Retries, Timeouts
from symbl_aio.contrib import aiohttp as for_aiohttp
from symbl_aio.contrib import fastapi as for_fastapi
from symbl_aio.contrib.live import is_allowed, is_end
from tests.contrib.site import aiohttp_serving, listening, uvicorn_serving
from tests.live.peer import Peer, open_peer, recognised, usual
from tests.tables import table


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with open_peer() as running:
        yield running


def settings(peer: Peer, stall: float = 5) -> dict[str, Any]:
    return {
        "credentials": Credentials("app", "a-secret-of-the-app"),
        "config": Config(
            base_url=f"http://127.0.0.1:{peer.port}",
            retries=Retries(base=0.001, cap=0.01),
            timeouts=Timeouts(connect=5, read=5, stall=stall),
        ),
    }


@asynccontextmanager
async def by_fastapi(
    peer: Peer, stall: float = 5, ended: asyncio.Event | None = None
) -> AsyncIterator[str]:
    symbl = for_fastapi.Symbl(**settings(peer, stall))
    app = FastAPI(lifespan=symbl.lifespan)
    symbl.handle_errors(app)

    @app.websocket("/speak")
    async def speak(websocket: WebSocket, rate: int = 16_000) -> None:
        await for_fastapi.stream_through(websocket, "pier-4", sample_rate=rate)

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        finally:
            if ended is not None and scope["type"] == "websocket":
                ended.set()

    sock, url = listening()
    async with uvicorn_serving(counted, sock, ws="wsproto"):
        yield url


@asynccontextmanager
async def by_aiohttp(
    peer: Peer, stall: float = 5, ended: asyncio.Event | None = None
) -> AsyncIterator[str]:
    symbl = for_aiohttp.Symbl(**settings(peer, stall))
    app = web.Application()
    symbl.setup(app)

    async def speak(request: web.Request) -> web.WebSocketResponse:
        rate = int(request.query.get("rate", 16_000))
        try:
            return await for_aiohttp.stream_through(request, "pier-4", sample_rate=rate)
        finally:
            if ended is not None:
                ended.set()

    app.router.add_get("/speak", speak)
    sock, url = listening()
    async with aiohttp_serving(app, sock):
        yield url


@pytest.fixture(params=[by_fastapi, by_aiohttp])
async def url(request: pytest.FixtureRequest, peer: Peer) -> AsyncIterator[str]:
    async with request.param(peer) as running:
        yield running


async def received(websocket: aiohttp.ClientWebSocketResponse) -> list[dict[str, Any]]:
    return [
        json.loads(message.data) async for message in websocket if message.type is WSMsgType.TEXT
    ]


async def test_audio_goes_through_and_the_words_come_back(peer: Peer, url: str):
    async def answer(session, request):
        if request["type"] == "stop_request":
            await session.send(recognised("Good morning."))
        await usual(session, request)

    peer.on_request = answer
    audio = bytes(range(256)) * 100
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{url}/speak?rate=48000", origin=url) as websocket,
    ):
        for start in range(0, len(audio), 4096):
            await websocket.send_bytes(audio[start : start + 4096])
        await websocket.send_str("not a request")
        await websocket.send_json({"type": "stop_request"})
        events = await received(websocket)
        assert websocket.close_code == 1000
    assert [event["kind"] for event in events] == ["state", "state", "recognition", "state"]
    assert events[0]["conversation_id"] == peer.conversations["pier-4"]
    assert events[2]["text"] == "Good morning."
    assert "raw" not in events[2]
    session = await peer.session()
    assert bytes(session.audio) == audio
    assert session.requests[0]["config"]["speechRecognition"]["sampleRateHertz"] == 48000


async def test_a_visitor_who_leaves_ends_the_audio_and_the_conversation_is_completed(
    peer: Peer, url: str
):
    async with aiohttp.ClientSession() as http:
        websocket = await http.ws_connect(f"{url}/speak")
        await websocket.send_bytes(b"12" * 100)
        session = await peer.session()
        await session.until(lambda: len(session.audio) == 200)
        await websocket.close()
    await session.until(lambda: len(session.requests) == 2)
    assert session.requests[1] == {"type": "stop_request"}
    await session.closed.wait()


@pytest.mark.parametrize("serving", [by_fastapi, by_aiohttp])
async def test_a_service_that_stops_ends_the_audio_and_loses_none(peer: Peer, serving: Any):
    async with aiohttp.ClientSession() as http:
        async with serving(peer) as url:
            websocket = await http.ws_connect(f"{url}/speak", origin=url)
            await websocket.send_bytes(bytes(32_000))
            session = await peer.session()
            await session.until(lambda: len(session.audio) == 32_000)
            reading = asyncio.create_task(received(websocket))
        events = await reading

    assert [request["type"] for request in session.requests] == ["start_request", "stop_request"]
    assert websocket.close_code == 1012  # the service is back soon
    assert {"gap", "problem"}.isdisjoint(event["kind"] for event in events)


async def test_a_stream_that_is_refused_is_a_problem_and_a_close(
    peer: Peer, url: str, caplog: pytest.LogCaptureFixture
):
    peer.refusals = [403]
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/speak") as websocket:
        (problem,) = await received(websocket)
        assert websocket.close_code == 1011
    assert problem["kind"] == "problem"
    assert problem["status"] == 502
    assert peer.sessions == []
    # Once, and no traceback of the framework.
    assert [record.name for record in caplog.records] == ["symbl_aio.contrib"]


async def test_a_socket_of_another_route_gets_the_problem_too(
    peer: Peer, caplog: pytest.LogCaptureFixture
):
    symbl = for_fastapi.Symbl(**settings(peer))
    app = FastAPI(lifespan=symbl.lifespan)
    symbl.handle_errors(app)

    @app.websocket("/topics")
    async def topics(websocket: WebSocket, accept: bool) -> None:
        if accept:
            await websocket.accept()
        raise ConfigurationError("the rate is wrong")

    sock, url = listening()
    async with uvicorn_serving(app, sock, ws="wsproto"), aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{url}/topics?accept=1") as websocket:
            (problem,) = await received(websocket)
            assert websocket.close_code == 1011
        assert (problem["kind"], problem["error"]) == ("problem", "ConfigurationError")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{url}/topics?accept=0")
        assert refused.value.status == 400
    assert [record for record in caplog.records if record.name.startswith("uvicorn.error")] == []


async def test_a_conversation_that_the_server_completes_is_no_problem_for_one_who_speaks(
    peer: Peer, url: str
):
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/speak") as websocket:

        async def speak() -> None:
            while True:
                await websocket.send_bytes(bytes(320))
                await asyncio.sleep(0)

        speaking = asyncio.create_task(speak())
        session = await peer.session()
        await session.until(lambda: bool(session.audio))
        await session.completed()
        events = await received(websocket)
        speaking.cancel()
        await asyncio.wait([speaking])
        assert websocket.close_code == 1000
    assert events[-1]["state"] == "conversation_completed"


async def test_a_silent_visitor_learns_that_the_stream_is_lost(peer: Peer, url: str):
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/speak") as websocket:
        session = await peer.session()
        await session.until(lambda: bool(session.requests))
        await session.ws.close(code=1008)
        events = await received(websocket)
        assert websocket.close_code == 1011
    assert events[-1]["error"] == "StreamLostError"
    assert events[-1]["conversation_id"] == peer.conversations["pier-4"]


@pytest.mark.parametrize("serving", [by_fastapi, by_aiohttp])
@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_visitor_who_takes_no_more_does_not_hold_the_route(
    peer: Peer, serving: Any, is_lost: bool
):
    async def answer(session, request):
        if request["type"] == "stop_request":
            for _ in range(600):
                await session.send(recognised("word " * 10_000))
            if is_lost:
                await session.ws.close(code=1008)
                return
        await usual(session, request)

    peer.on_request = answer
    ended = asyncio.Event()
    async with serving(peer, stall=0.5, ended=ended) as url, aiohttp.ClientSession() as http:
        websocket = await http.ws_connect(f"{url}/speak", origin=url)
        await websocket.send_json({"type": "stop_request"})
        async with asyncio.timeout(20):  # it reads nothing
            await ended.wait()
        websocket._response.close()


async def test_a_visitor_is_read_no_faster_than_the_api_receives(peer: Peer, url: str):
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/speak") as websocket:
        await websocket.receive()
        session = await peer.session()
        session.reading.clear()
        sent = 0

        async def speak() -> None:
            nonlocal sent
            while sent < 60_000_000:
                await websocket.send_bytes(bytes(60_000))
                sent += 60_000

        speaking = asyncio.create_task(speak())
        before = -1
        while before != sent:  # until it waits, with all buffers on the way full
            before = sent
            await asyncio.sleep(0.2)
        assert not speaking.done()
        session.reading.set()
        await speaking
        await websocket.send_json({"type": "stop_request"})
        await received(websocket)
    assert len(session.audio) == 60_000_000


async def test_a_wrong_setting_is_a_problem_for_the_visitor_and_no_crash_of_the_server(
    url: str, caplog: pytest.LogCaptureFixture
):
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{url}/speak?rate=4000", origin=url) as websocket,
    ):
        (event,) = await received(websocket)
        assert websocket.close_code == 1011
    assert (event["kind"], event["status"]) == ("problem", 400)
    assert "8000 to 48000" in event["detail"]
    async with aiohttp.ClientSession() as http:  # answered after the log of the first one
        await (await http.get(url)).read()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(("extensions", "status"), [(True, 503), (False, 403)])
async def test_an_error_before_the_handshake_is_a_response_of_the_service(
    extensions: bool, status: int
):
    symbl = for_fastapi.Symbl(credentials=Credentials("app", "a-secret-of-the-app"))
    app = FastAPI()
    symbl.handle_errors(app)

    @app.websocket("/speak")
    async def speak(websocket: WebSocket) -> None:
        symbl.client.stream()

    async def serving(scope: Any, receive: Any, send: Any) -> None:
        # As in a server that knows no response to a handshake but a refusal.
        await app(scope if extensions else {**scope, "extensions": {}}, receive, send)

    sock, url = listening()
    async with uvicorn_serving(serving, sock, ws="wsproto"), aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await http.ws_connect(f"{url}/speak")
    assert caught.value.status == status


async def test_a_page_of_another_origin_is_refused(
    peer: Peer, url: str, caplog: pytest.LogCaptureFixture
):
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await http.ws_connect(f"{url}/speak", origin="https://elsewhere.example")
    assert caught.value.status == 403
    assert peer.sessions == []
    assert "https://elsewhere.example" in caplog.text
    assert "origins=" in caplog.text


@table(
    "origin,host,allowed,expected",
    [
        (None, "a.example", None, True),
        ("https://a.example", "a.example", None, True),
        ("https://a.example:8443", "a.example:8443", None, True),
        ("https://a.example.evil", "a.example", None, False),
        ("null", "a.example", None, False),
        ("https://b.example", "a.example", ["https://b.example"], True),
        ("https://a.example", "a.example", ["https://b.example"], False),
        ("https://c.example", "a.example", ["*"], True),
        ("http://[", "[", None, False),
    ],
)
def test_pages_of_the_own_host_or_of_named_origins_are_allowed(origin, host, allowed, expected):
    assert is_allowed(origin, host, allowed) is expected


@pytest.mark.parametrize("origin", [None, "https://b.example", "https://b.ex"])
def test_a_single_text_names_no_origins(origin):
    with pytest.raises(ConfigurationError, match=r"list of origins, such as \['https") as caught:
        is_allowed(origin, "a.example", "https://b.example")
    assert caught.value.is_misuse


def test_only_a_stop_request_ends_the_audio():
    assert is_end('{"type": "stop_request"}')
    for text in ("", "stop_request", "[]", '{"type": "start_request"}', "{", "[" * 100_000):
        assert not is_end(text)
