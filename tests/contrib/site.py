"""A small web service on a real socket, with uvicorn or aiohttp.web, and its visitors."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import aiohttp
import uvicorn
from aiohttp import web
from attrs import define, field, frozen
from fastapi import FastAPI, Request
from starlette.types import ASGIApp

from symbl_aio import Config, Credentials, Event, Job, MediaOptions, SymblClient
from symbl_aio.contrib import aiohttp as for_aiohttp
from symbl_aio.contrib import fastapi as for_fastapi
from symbl_aio.contrib.fastapi import Client
from symbl_aio.contrib.service import Embedded
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK

BOUNDARY = "----SomeBoundary"
SECRET = "a secret that all workers share"


def settings(server: LocalSymbl, **config: Any) -> dict[str, Any]:
    """The arguments of ``Symbl`` for a client of this server."""
    return {
        "credentials": Credentials(server.app_id, server.app_secret),
        "config": Config(base_url=server.base_url, **(QUICK | config)),
    }


class _ObservedServer(uvicorn.Server):
    """A server with an event for its startup, and one that stops it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()
        self.stops = asyncio.Event()

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    async def main_loop(self) -> None:
        # Which looks ten times a second whether it should stop.
        looking = asyncio.create_task(super().main_loop())
        stops = asyncio.create_task(self.stops.wait())
        await asyncio.wait((looking, stops), return_when=asyncio.FIRST_COMPLETED)
        looking.cancel()
        stops.cancel()


def listening() -> tuple[socket.socket, str]:
    """Return a listening socket and its URL, before a server uses it."""
    sock = socket.create_server(("127.0.0.1", 0))
    return sock, f"http://127.0.0.1:{sock.getsockname()[1]}"


@asynccontextmanager
async def uvicorn_serving(
    app: ASGIApp,
    sock: socket.socket,
    *,
    http: Literal["h11", "httptools"] = "h11",
    ws: Literal["none", "wsproto"] = "none",
    **options: Any,
) -> AsyncIterator[_ObservedServer]:
    """Serve an application for the block."""
    config = uvicorn.Config(
        app, http=http, ws=ws, lifespan="on", log_config=None, access_log=False, **options
    )
    server = _ObservedServer(config)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    listens = asyncio.create_task(server.listens.wait())
    try:
        await asyncio.wait((serving, listens), return_when=asyncio.FIRST_COMPLETED)
        assert server.listens.is_set(), "the application did not start"
        yield server
    finally:
        listens.cancel()
        server.stops.set()
        await serving


@asynccontextmanager
async def aiohttp_serving(
    app: web.Application, sock: socket.socket, **options: Any
) -> AsyncIterator[None]:
    """Serve an application for the block."""
    runner = web.AppRunner(app, **{"shutdown_timeout": 0.1, **options})
    await runner.setup()
    await web.SockSite(runner, sock).start()
    try:
        yield
    finally:
        await runner.cleanup()


@define
class Heard:
    """An observer of a client, on which a test can wait."""

    events: list[Event] = field(factory=list)
    _pulse: asyncio.Event = field(factory=asyncio.Event)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._pulse.set()

    async def until(self, predicate: Callable[[], object]) -> None:
        """Wait until this is true; it is tried again at each event."""
        while not predicate():
            self._pulse.clear()
            await self._pulse.wait()

    def of(self, *kinds: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]


@frozen
class Address:
    """Where a service is, for visitors who write by hand."""

    url: str

    def head(self, path: str, *headers: str, method: str = "POST") -> bytes:
        """Write the head of a request."""
        host = self.url.removeprefix("http://")
        return "\r\n".join(
            [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]
        ).encode()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.url.removeprefix("http://").split(":")
        return await asyncio.open_connection(host, int(port))


@frozen
class Site(Address):
    """A running service. ``POST /recordings`` passes uploads through, ``/forms`` reads fields."""

    symbl: Embedded
    heard: Heard

    @property
    def client(self) -> SymblClient:
        return self.symbl.client


def told(job: Job) -> dict[str, str | None]:
    return {"job": job.id, "conversation": job.conversation_id}


def fastapi_app(symbl: for_fastapi.Symbl) -> FastAPI:
    app = FastAPI(lifespan=symbl.lifespan)
    app.include_router(symbl.router, prefix="/symbl")
    symbl.handle_errors(app)

    @app.post("/recordings")
    async def recordings(
        request: Request, to: str | None = None, key: str | None = None
    ) -> dict[str, str | None]:
        return told(await for_fastapi.upload_through(request, to=to, key=key))

    @app.post("/forms")
    async def forms(request: Request, client: Client) -> dict[str, str | None]:
        incoming = await for_fastapi.read_upload(request)
        return told(await incoming.pass_on(client, MediaOptions(name=incoming.fields["name"])))

    return app


def aiohttp_app(symbl: for_aiohttp.Symbl) -> web.Application:
    app = web.Application()
    symbl.setup(app)

    async def recordings(request: web.Request) -> web.Response:
        to, key = request.query.get("to"), request.query.get("key")
        return web.json_response(told(await for_aiohttp.upload_through(request, to=to, key=key)))

    async def forms(request: web.Request) -> web.Response:
        incoming = await for_aiohttp.read_upload(request)
        client = request.config_dict[for_aiohttp.CLIENT]
        name = MediaOptions(name=incoming.fields["name"])
        return web.json_response(told(await incoming.pass_on(client, name)))

    app.router.add_post("/recordings", recordings)
    app.router.add_post("/forms", forms)
    return app


@asynccontextmanager
async def site_of(
    kind: str,
    server: LocalSymbl,
    *,
    webhooks: bool = False,
    embedded: dict[str, Any] | None = None,
    serving: dict[str, Any] | None = None,
    **config: Any,
) -> AsyncIterator[Site]:
    """Run the service for the block: ``kind`` is ``h11``, ``httptools`` or ``aiohttp``.

    ``webhooks``: it is called at its own address. ``config`` are fields of ``Config``,
    ``embedded`` further arguments of ``Symbl``, ``serving`` those of what serves it.
    """
    heard = Heard()
    sock, url = listening()
    if webhooks:
        config["webhook_base_url"] = f"{url}/symbl/webhooks"
        config["webhook_secret"] = SECRET
    given = settings(server, **config) | {"observers": [heard], **(embedded or {})}
    if kind == "aiohttp":
        symbl = for_aiohttp.Symbl(**given)
        async with aiohttp_serving(aiohttp_app(symbl), sock, **(serving or {})):
            yield Site(url, symbl, heard)
    else:
        other = for_fastapi.Symbl(**given)
        async with uvicorn_serving(fastapi_app(other), sock, http=kind, **(serving or {})):  # type: ignore[arg-type]
            yield Site(url, other, heard)


def form(
    data: bytes,
    *,
    boundary: str = BOUNDARY,
    fields: dict[str, str] | None = None,
    filename: str = '"talk.mp4"',
    preamble: bytes = b"",
    end: bytes = b"\r\n",
    after: dict[str, str] | None = None,
) -> bytes:
    """Write a form by hand: ``fields``, the file, and what should not be ``after`` it."""

    def parts(of: dict[str, str] | None) -> str:
        return "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in (of or {}).items()
        )

    file = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename={filename}\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    last = f"\r\n{parts(after)}--{boundary}--".encode()
    return preamble + parts(fields).encode() + file.encode() + data + last + end


def as_form(boundary: str = BOUNDARY) -> dict[str, str]:
    return {"Content-Type": f'multipart/form-data; boundary="{boundary}"'}


async def post(
    url: str, data: Any, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any], Any]:
    """Post a body; give status, JSON and headers of the answer."""
    skip = [] if isinstance(data, aiohttp.FormData) else ["Content-Type"]
    data = io.BytesIO(data) if isinstance(data, bytes) else data  # aiohttp warns of large bytes
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=data, headers=headers, skip_auto_headers=skip) as answer,
    ):
        return answer.status, json.loads(await answer.read()), answer.headers


async def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers=headers) as answer,
    ):
        text = await answer.text()
        return answer.status, json.loads(text) if "json" in answer.content_type else text
