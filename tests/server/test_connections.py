"""Connections end when their callers are silent, and a crowd of them shuts out only itself."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import socket
import ssl
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from attrs import evolve

from symbl_aio.server import LocalServer
from symbl_aio.server.connections import Connections
from symbl_aio.server.server_limits import BufferBudget, ServerLimits
from symbl_aio.server.thread_pool import ComputingThreads

QUICK = ServerLimits(idle=0.2, head=0.2, silence=0.2)


@asynccontextmanager
async def connected(
    server: LocalServer,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    url = urlsplit(server.base_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=2**20)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def is_ended(reader: asyncio.StreamReader) -> bool:
    """Wait until the server ends the connection; the timeout of the test is the other outcome."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("begun", [b"", b"GET /v1/conv", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "])
async def test_a_head_that_stops_arriving_ends_the_connection(start: Any, begun: bytes) -> None:
    caller = await start(limits=QUICK)
    async with connected(caller.server) as (reader, writer):
        writer.write(begun)

        assert await is_ended(reader)


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_arrives_as_the_server_stops_is_closed(turns: int) -> None:
    """In whatever turn of the event loop that is; the warning of a lost socket is an error."""
    server = LocalServer()
    await server.start()
    url = urlsplit(server.base_url)
    with socket.create_connection((url.hostname, url.port)) as caller:
        for _ in range(turns):
            await asyncio.sleep(0)
        await server.aclose()
        gc.collect()
        caller.settimeout(10)
        with suppress(ConnectionError):
            assert caller.recv(1) == b""


async def test_a_head_that_trickles_ends_the_connection(start: Any) -> None:
    caller = await start(limits=QUICK)
    async with connected(caller.server) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        ended = asyncio.create_task(is_ended(reader))
        while not ended.done():
            writer.write(b"x")
            await asyncio.wait([ended], timeout=0.02)

        assert await ended


async def test_a_second_head_is_timed_as_the_first_one_is(start: Any) -> None:
    caller = await start(limits=QUICK)
    async with connected(caller.server) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/job/1 HT")

        assert b" 200 " in await reader.readuntil(b"}")
        assert await is_ended(reader)


async def test_requests_behind_one_without_a_token_are_not_answered(start: Any) -> None:
    caller = await start()
    async with connected(caller.server) as (reader, writer):
        writer.write(b"GET /v1/job/1 HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
        try:
            answers = await reader.read(2**20)
        except ConnectionError:
            answers = b""

        assert answers.count(b"HTTP/1.1 ") <= 1
        assert await is_ended(reader)
    assert len(caller.server.requests) == 1


async def test_chunks_of_a_byte_leave_turns_to_others(start: Any) -> None:
    """Each of them takes as long as a kilobyte in a large one."""
    caller = await start()
    assert (await caller.get("/v1/conversations")).status == 200  # has a token now
    head = (
        "POST /v1/process/audio HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        f"Authorization: Bearer {caller.token}\r\n\r\n"
    ).encode()
    steps, before = [], 0
    async with connected(caller.server) as (_, writer):
        writer.write(head + b"1\r\nx\r\n" * 100_000)
        await caller.server.until(lambda: bool(caller.server.submissions))
        received = caller.server.submissions[-1]
        while received.size < 100_000:
            await asyncio.sleep(0)
            steps.append(received.size - before)
            before = received.size

    assert max(steps[1:]) < 2000


@pytest.mark.heavy
async def test_a_caller_who_reads_no_response_is_ended(start: Any) -> None:
    caller = await start(limits=QUICK)
    accepted = (await caller.text(*["All is well. " * 1000] * 20)).body
    await caller.server.until(lambda: not caller.server.unfinished)
    request = (
        f"GET /v1/conversations/{accepted['conversationId']}/messages HTTP/1.1\r\n"
        f"Host: x\r\nAuthorization: Bearer {caller.token}\r\n\r\n"
    ).encode()
    url = urlsplit(caller.server.base_url)
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await loop.sock_connect(sock, (url.hostname, url.port))

        with pytest.raises(ConnectionError):
            while True:
                await loop.sock_sendall(sock, request)


async def long_path(caller: Any) -> str:
    """Return the path of an answer of 8 MB, more than the buffers of its sockets take."""
    accepted = (await caller.text(*[f"{'word ' * 999}."] * 60)).body
    await caller.server.until(lambda: not caller.server.unfinished)
    return f"/v1/conversations/{accepted['conversationId']}/messages?verbose=true"


@asynccontextmanager
async def long_answer(caller: Any, path: str | None = None) -> AsyncIterator[socket.socket]:
    """Request a long answer, and yield the socket."""
    path = path or await long_path(caller)
    url = urlsplit(caller.server.base_url)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (url.hostname, url.port))
        head = f"GET {path} HTTP/1.0\r\nAuthorization: Bearer {caller.token}\r\n\r\n"
        await asyncio.get_running_loop().sock_sendall(sock, head.encode())
        yield sock


async def read_slowly(sock: socket.socket, *, seconds: float) -> bytes:
    """Read in pieces, with pauses that add up to ``seconds`` for 8 MB."""
    received = bytearray()
    while piece := await asyncio.get_running_loop().sock_recv(sock, 32 * 1024):
        received += piece
        await asyncio.sleep(seconds * len(piece) / 8_000_000)
    return bytes(received)


@pytest.mark.heavy
async def test_a_reader_who_is_slow_gets_all_of_a_long_answer(start: Any) -> None:
    caller = await start(limits=evolve(QUICK, silence=1.0))
    async with long_answer(caller) as sock:
        received = await read_slowly(sock, seconds=2.5)

        assert len(received) > 8_000_000
        assert received.endswith(b"}]}]}")


@pytest.mark.heavy
async def test_a_reader_below_the_lowest_rate_is_ended(start: Any) -> None:
    caller = await start(limits=evolve(QUICK, min_rate=10**9))
    async with long_answer(caller) as sock:
        try:
            received = await read_slowly(sock, seconds=3.0)
        except ConnectionError:
            received = b""

        assert len(received) < 8_000_000


@pytest.mark.heavy
async def test_a_reader_is_not_ended_while_the_server_makes_the_rest(start: Any) -> None:
    caller = await start(limits=QUICK)
    busy = threading.Event()
    async with long_answer(caller) as sock:
        assert await asyncio.get_running_loop().sock_recv(sock, 1024)
        reading = asyncio.create_task(read_slowly(sock, seconds=0))
        # The server's threads have other work for longer than a caller may be silent.
        others = [asyncio.create_task(ComputingThreads().run(busy.wait)) for _ in range(8)]
        await asyncio.wait([reading], timeout=5 * QUICK.idle)
        busy.set()
        await asyncio.gather(*others)

        assert (await reading).endswith(b"}]}]}")


@pytest.mark.heavy
async def test_answers_that_are_not_read_share_a_limit_and_readers_get_all(start: Any) -> None:
    caller = await start(limits=ServerLimits(unread=2**17))
    path = await long_path(caller)
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(long_answer(caller, path)) for _ in range(10)]
        reader = await stack.enter_async_context(long_answer(caller, path))

        assert (await read_slowly(reader, seconds=0.5)).endswith(b"}]}]}")
        whole = 0
        for other in others:
            with suppress(ConnectionError):
                whole += (await read_slowly(other, seconds=0)).endswith(b"}]}]}")
        assert whole <= 5


@pytest.mark.heavy
async def test_an_idle_connection_holds_no_answer(start: Any) -> None:
    caller = await start()
    accepted = (await caller.text(*[f"{'word ' * 999}." for _ in range(200)])).body
    await caller.server.until(lambda: not caller.server.unfinished)
    url = f"{caller.server.base_url}/v1/conversations/{accepted['conversationId']}/transcript"
    headers = {"Authorization": f"Bearer {caller.token}"}
    size = 0
    async with AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(aiohttp.ClientSession(headers=headers))
            for _ in range(10)
        ]
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        for session in sessions:
            async with session.post(url, json={"contentType": "text/markdown"}) as answer:
                async for piece in answer.content.iter_any():
                    size += len(piece)

        assert size > 8_000_000
        assert tracemalloc.get_traced_memory()[0] < size / 2


async def test_streams_of_one_application_leave_connections_to_others(start: Any) -> None:
    caller = await start(limits=ServerLimits(connections=6))
    assert (await caller.get("/v1/conversations")).status == 200
    async with aiohttp.ClientSession(caller.server.base_url) as session:
        headers = {"Authorization": f"Bearer {caller.token}"}
        streams = [
            await session.ws_connect(f"/v1/streaming/{number}", headers=headers)
            for number in range(3)
        ]
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect("/v1/streaming/3", headers=headers)

        async with aiohttp.ClientSession(caller.server.base_url) as other:
            assert (await other.get("/healthz")).status == 200
        assert not any(stream.closed for stream in streams)


async def test_a_crowd_without_a_token_shuts_out_only_itself(start: Any) -> None:
    caller = await start(limits=ServerLimits(connections=4))
    assert (await caller.get("/v1/conversations")).status == 200
    async with connected(caller.server) as (first, writer):
        writer.write(b"GET / HT")
        url = urlsplit(caller.server.base_url)
        crowd = [await asyncio.open_connection(url.hostname, url.port) for _ in range(20)]

        assert await is_ended(first)
        # The same connection as before: one with a token is not closed for a newer one.
        assert (await caller.get("/v1/conversations")).status == 200
    for _, writer in crowd:
        writer.transport.abort()


async def test_large_heads_on_their_way_share_a_limit_and_small_ones_pass(start: Any) -> None:
    caller = await start(limits=ServerLimits(buffered=256 * 1024))
    line = b"GET /?" + b"x" * 200_000
    async with connected(caller.server) as (_, first), connected(caller.server) as (two, second):
        first.write(line)
        while caller.server._buffered < len(line):  # noqa: ASYNC110 - no event for a half head
            await asyncio.sleep(0)
        second.write(line)

        assert await is_ended(two)
        assert (await caller.get("/v1/conversations")).status == 200


async def test_the_head_of_a_refused_request_counts_until_its_connection_ends(start: Any) -> None:
    """It stays in memory while its body, which does not come, is waited for."""
    caller = await start(limits=ServerLimits(buffered=256 * 1024))
    head = b"POST /v1/process/text?name=" + b"x" * 200_000
    head += b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n"
    async with connected(caller.server) as (one, first), connected(caller.server) as (two, second):
        first.write(head)
        assert b" 401 " in await one.readline()
        second.write(head)
        assert await is_ended(two)
        assert (await caller.get("/v1/conversations")).status == 200
    while caller.server._buffered:  # noqa: ASYNC110 - no event for a lost connection
        await asyncio.sleep(0)
    async with connected(caller.server) as (three, third):
        third.write(head)
        assert b" 401 " in await three.readline()


async def test_nothing_waits_for_the_body_of_a_caller_who_was_refused_and_left(start: Any) -> None:
    def serving() -> int:
        return sum("RequestHandler.start" in repr(task) for task in asyncio.all_tasks())

    caller = await start()
    before = serving()
    async with connected(caller.server) as (reader, writer):
        writer.write(
            b"POST /v1/process/text HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n"
        )
        assert b" 401 " in await reader.readline()
    async with asyncio.timeout(5):  # the library's own patience is ten seconds
        while serving() > before:  # noqa: ASYNC110 - no event for a lost connection
            await asyncio.sleep(0)


async def test_no_handles_are_one_line_in_the_log_and_room_is_made(
    start: Any, caplog: pytest.LogCaptureFixture, few_handles: int
) -> None:
    caller = await start(limits=ServerLimits(connections=10_000))
    await caller.get("/v1/conversations")
    url = urlsplit(caller.server.base_url)
    crowd = []
    try:
        with caplog.at_level(logging.INFO):
            while True:
                crowd.append(await asyncio.open_connection(url.hostname, url.port))
    except OSError:
        pass  # of this process, which is the server's too
    for _, writer in crowd[-5:]:
        writer.transport.abort()

    assert (await caller.get("/v1/conversations")).status == 200
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) <= 5
    for _, writer in crowd:
        writer.transport.abort()


@pytest.fixture
def few_handles() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 256
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    yield few
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_malformed_request_leaves_no_secret_in_the_log(
    start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caller = await start()
    for line in (b"Authorization Bearer s3cret", b"Authorization: Bearer s3cret\x00\x01", b"\xff"):
        async with connected(caller.server) as (reader, writer):
            with caplog.at_level(logging.DEBUG):
                writer.write(b"POST /v1/process/text HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n")

                assert b" 400 " in await reader.readline()
                assert b"s3cret" not in await reader.read()

    assert "s3cret" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_tls_handshake_that_stops_counts_as_a_connection(start: Any) -> None:
    caller = await start(limits=ServerLimits(connections=2))
    server = caller.server._runner.server
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    guarded = Connections(ServerLimits(connections=2), BufferBudget(2**20), tls=context, options={})
    port = await guarded.listen(server, "127.0.0.1", 0)
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]

    for reader, _ in silent[:4]:
        assert await is_ended(reader)
    assert len(guarded) == 2
    await guarded.stop()
    for _, writer in silent:
        writer.transport.abort()


async def test_a_start_needs_no_thread_of_the_program_under_test() -> None:
    loop, release = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    busy = loop.run_in_executor(None, release.wait)
    try:
        async with asyncio.timeout(10), LocalServer() as server:
            assert server.base_url
    finally:
        release.set()
        await busy
