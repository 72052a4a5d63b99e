"""A server that speaks as little HTTP as a test wants, and any amount of nonsense.

Each connection runs the test's script. A test waits for what the script notes, never for
time: ``noticed`` is set by the script, ``held`` is never set.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from attrs import define, field, frozen

from symbl_aio._io.api import Api
from symbl_aio._io.tasks import Tasks
from symbl_aio._io.transport import Transport
from symbl_aio.config import Config, Credentials, CredentialsLike, Polls, Retries, Timeouts


@frozen
class Head:
    """The head of a request as it stood on the wire."""

    method: str
    target: str
    headers: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        """Every value of a header, since one that is sent twice is a fault of its own."""
        return [value for known, value in self.headers if known.lower() == name.lower()]

    @property
    def length(self) -> int:
        return int(self.all("Content-Length")[0]) if self.all("Content-Length") else 0


class Exchange:
    """One connection, in the hands of a script."""

    def __init__(self, server: RawServer, reader: Any, writer: Any) -> None:
        self.server = server
        self.reader: asyncio.StreamReader = reader
        self.writer: asyncio.StreamWriter = writer

    async def head(self) -> Head:
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = text.split("\r\n")[:-2]
        method, target, _ = first.split(" ", 2)
        pairs = [line.split(": ", 1) for line in lines]
        head = Head(method, target, [(name, value) for name, value in pairs])
        self.server.heads.append(head)
        return head

    async def request(self) -> tuple[Head, bytes]:
        """Read a whole request, as long as its head says."""
        head = await self.head()
        body = await self.reader.readexactly(head.length)
        self.server.bodies.append(body)
        return head, body

    async def answer(self, status: int, body: bytes | str = b"{}", *headers: str) -> None:
        body = body.encode() if isinstance(body, str) else body
        lines = [
            f"HTTP/1.1 {status} So",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *headers,
        ]
        await self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def read_no_more(self) -> None:
        """Take nothing from the socket, so that its buffers fill up."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await self.server.held.wait()


Script = Callable[[Exchange], Awaitable[None]]


@define(eq=False)
class RawServer:
    """What came in: ``connections``, ``heads`` in order, and ``bodies`` that were read whole."""

    base_url: str = ""
    connections: int = 0
    heads: list[Head] = field(factory=list)
    bodies: list[bytes] = field(factory=list)
    noticed: asyncio.Event = field(factory=asyncio.Event)
    held: asyncio.Event = field(factory=asyncio.Event)


Serve = Callable[..., Awaitable[RawServer]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start raw servers; each runs its script for every connection, until that returns."""
    listening: list[asyncio.Server] = []
    tasks: set[asyncio.Task[None]] = set()

    async def start(
        script: Script, *, tls: bool = False, certificate: trustme.LeafCert | None = None
    ) -> RawServer:
        server = RawServer()

        async def connected(reader: Any, writer: Any) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            server.connections += 1
            try:
                await script(Exchange(server, reader, writer))
            except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                pass  # the client went away, or the test is over
            finally:
                tasks.discard(task)
                writer.close()

        context = None
        if certificate is not None:
            tls, context = True, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
        elif tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(Path(__file__).parent / "untrusted.pem")
        accepting = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context, limit=2**20)
        listening.append(accepting)
        port = accepting.sockets[0].getsockname()[1]
        server.base_url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
        return server

    yield start
    for accepting in listening:
        accepting.close()
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class RawProxy(RawServer):
    """An HTTP proxy over sockets: ``heads`` are what it was asked, CONNECT or whole URLs.

    Later requests on a connection are passed on unread; ``passed`` has the bytes of all.
    ``refusal``: the status that it answers instead. ``wants``: the credentials it asks for.
    """

    refusal: int | None = None
    wants: str | None = None
    passed: bytes = b""
    serving: Script

    async def script(self, exchange: Exchange) -> None:
        while True:
            head = await exchange.head()
            if self.wants is not None and head.all("Proxy-Authorization") != [self.wants]:
                return await exchange.answer(407, "<html><title>Log in</title></html>")
            if self.refusal is not None:
                return await exchange.answer(self.refusal)
            url = urlsplit(head.target if "://" in head.target else f"//{head.target}")
            reader, writer = await asyncio.open_connection(url.hostname, url.port)
            try:
                if head.method == "CONNECT":
                    await exchange.raw(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    return await both_ways(exchange, reader, writer)
                lines = [f"{name}: {value}" for name, value in head.headers]
                path = head.target.split(url.netloc, 1)[1]
                first = f"{head.method} {path} HTTP/1.1"
                sent = "\r\n".join([first, *lines, "", ""]).encode("latin-1")
                self.passed += sent
                writer.write(sent)
                return await both_ways(exchange, reader, writer)
            finally:
                writer.close()


async def both_ways(exchange: Any, reader: Any, writer: Any) -> None:
    async def copy(source: Any, target: Any) -> None:
        while data := await source.read(65536):
            if source is exchange.reader:
                exchange.server.passed += data
            target.write(data)
            await target.drain()

    copying = [
        asyncio.ensure_future(copy(exchange.reader, writer)),
        asyncio.ensure_future(copy(reader, exchange.writer)),
    ]
    try:
        await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in copying:
            task.cancel()
        await asyncio.gather(*copying, return_exceptions=True)


@pytest.fixture
async def proxy(serve: Serve) -> RawProxy:
    made = RawProxy()

    async def script(exchange: Exchange) -> None:
        made.connections += 1
        exchange.server = made
        await made.script(exchange)

    made.serving = script
    made.base_url = (await serve(script)).base_url
    return made


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "all", "no"):
        for spelt in (f"{name}_proxy", f"{name}_proxy".upper()):
            monkeypatch.delenv(spelt, raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Transport]]:
    """Make transports to a server, with short times where the test says so."""
    made: list[Transport] = []

    def open_(base_url: str, *, session: Any = None, **settings: Any) -> Transport:
        times = {name: settings.pop(name) for name in ("connect", "read", "stall", "answer")
                 if name in settings}  # fmt: skip
        config = Config(base_url=base_url, timeouts=Timeouts(**times), **settings)
        transport = Transport(config, session)
        transport.open()
        made.append(transport)
        return transport

    yield open_
    for transport in made:
        await transport.aclose()


@pytest.fixture
def quick() -> dict[str, Any]:
    """Settings of a client whose pauses are too short to notice."""
    return {
        "polls": Polls(floor=0.01, age_factor=0.01, ceiling=0.05, per_second=1000),
        "retries": Retries(attempts=3, base=0.001, cap=0.001, max_retry_after=0.001),
    }


@pytest.fixture
async def reach(
    connect: Callable[..., Transport], quick: dict[str, Any]
) -> AsyncIterator[Callable[..., Api]]:
    """Make an ``Api`` for a server; its token requests are ended with the test."""
    tasks = Tasks()
    tasks.open()

    def make(
        server: Any,
        credentials: CredentialsLike | None = None,
        *,
        session: Any = None,
        **settings: Any,
    ) -> Api:
        config = Config(base_url=server.base_url, **quick | settings)
        transport = connect(server.base_url, session=session, limits=config.limits)
        credentials = credentials or Credentials("app", "secret")
        return Api(config, credentials, transport, tasks, jitter=lambda: 1.0)

    yield make
    await tasks.cancel_all()


@pytest.fixture
def everything_told() -> Callable[[BaseException], str]:
    """Give all that an error, and whatever hangs on it, could show to somebody."""

    def told(error: BaseException | None) -> str:
        if error is None:
            return ""
        shown = [str(error), repr(error), repr(error.args), repr(vars(error))]
        return "\n".join([*shown, told(error.__cause__), told(error.__context__)])

    return told


@pytest.fixture
def no_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
