"""A file's middle goes from the kernel to the socket, and every rule of a body still holds."""

import asyncio
import errno
import hashlib
import os
import random
import socket
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import psutil
import pytest
import trustme

from symbl_aio._io.sendfile import SendFile
from symbl_aio._io.single_use_body import Body, ReplayRefusedError
from symbl_aio._media.upload_chunks import chunks, file_threads, prepare
from symbl_aio._protocol.encode import Call
from symbl_aio.errors import FileChangedError, TransportError, UploadError, UploadStalledError
from symbl_aio.media import Video

CHUNK = 2**16
MIB = 2**20
SIZE = 24 * MIB
POST = Call("POST", "/v1/process/video")


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.mp4"
    path.write_bytes(b"\0\0\0\x18ftypmp42" + random.Random(3).randbytes(MIB - 5))
    os.truncate(path, SIZE)  # the rest takes no room on the disk
    return path


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Offset and length of each part that the kernel sent."""
    sendfile, parts = os.sendfile, []

    def noting(out: int, file: int, offset: int, count: int) -> int:
        length = sendfile(out, file, offset, count)
        parts.append((offset, length))
        return length

    monkeypatch.setattr(os, "sendfile", noting)
    return parts


async def body_of(path: Path, report: Callable[[int, int], None] = lambda _sent, _size: None):
    prepared = await prepare(Video(path), file_threads(60.0))
    assert prepared.size is not None
    kernel = SendFile()
    return Body(chunks(prepared, CHUNK, kernel.send), prepared.size, report, kernel=kernel)


async def until(condition: Callable[[], Any]) -> None:
    """Wait for what threads and the kernel do, of which no event reports the end."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def answering(exchange: Any) -> None:
    await exchange.request()
    await exchange.answer(201)


async def test_a_file_arrives_whole_and_all_between_the_first_and_the_last_chunk_is_sent_so(
    serve, connect, talk, sent
):
    server = await serve(answering)
    steps: list[int] = []
    body = await body_of(talk, lambda done, _size: steps.append(done))
    assert (await connect(server.base_url).send(POST, {}, body)).status == 201
    whole, arrived = hashlib.sha256(talk.read_bytes()), hashlib.sha256(server.bodies[0])
    assert arrived.digest() == whole.digest()
    assert sent[0][0] == CHUNK
    assert sum(length for _, length in sent) == SIZE - 2 * CHUNK
    assert steps == sorted(steps)
    assert (steps[0], steps[-1]) == (0, SIZE)


async def test_the_connection_is_used_again(serve, connect, talk, sent):
    async def script(exchange):
        while True:
            await answering(exchange)

    server = await serve(script)
    transport = connect(server.base_url)
    # Made before: a connection that is idle for a second is not used for a submission.
    for body in [await body_of(talk) for _ in range(3)]:
        assert (await transport.send(POST, {}, body)).status == 201
    assert server.connections == 1
    assert [len(body) for body in server.bodies] == [SIZE] * 3


async def test_over_tls_the_bytes_are_read(
    serve, connect, talk, sent, authority: trustme.CA, tmp_path
):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = await serve(answering, certificate=authority.issue_cert("127.0.0.1"))
    transport = connect(server.base_url, ca_file=tmp_path / "ca.pem")
    assert (await transport.send(POST, {}, await body_of(talk))).status == 201
    assert (len(server.bodies[0]), sent) == (SIZE, [])


async def test_a_session_that_traces_chunks_sees_all_of_them(serve, connect, talk, sent):
    seen = 0

    async def count(_session: object, _context: object, params: Any) -> None:
        nonlocal seen
        seen += len(params.chunk)

    traces = aiohttp.TraceConfig()
    traces.on_request_chunk_sent.append(count)
    server = await serve(answering)
    async with aiohttp.ClientSession(trace_configs=[traces]) as session:
        transport = connect(server.base_url, session=session)
        assert (await transport.send(POST, {}, await body_of(talk))).status == 201
    assert (seen, sent) == (SIZE, [])


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EAGAIN, errno.EIO])
async def test_what_the_kernel_cannot_send_is_read(serve, connect, talk, monkeypatch, error):
    sendfile, calls = os.sendfile, 0

    def failing(*arguments: int) -> int:
        nonlocal calls
        calls += 1
        if calls >= 3:
            raise OSError(error, os.strerror(error))
        return sendfile(*arguments)

    monkeypatch.setattr(os, "sendfile", failing)
    server = await serve(answering)
    assert (await connect(server.base_url).send(POST, {}, await body_of(talk))).status == 201
    assert hashlib.sha256(server.bodies[0]).digest() == hashlib.sha256(talk.read_bytes()).digest()
    assert 3 <= calls <= 4  # the last one is alone in its thread's turn


async def test_without_a_free_descriptor_the_bytes_are_read(
    serve, connect, talk, sent, monkeypatch
):
    def dup(_descriptor: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "dup", dup)
    server = await serve(answering)
    assert (await connect(server.base_url).send(POST, {}, await body_of(talk))).status == 201
    assert (len(server.bodies[0]), sent) == (SIZE, [])


async def test_a_file_that_becomes_shorter_meanwhile_is_never_completed(
    serve, connect, talk, monkeypatch
):
    sendfile = os.sendfile

    def cutting(out: int, file: int, offset: int, count: int) -> int:
        os.truncate(talk, 2 * MIB)
        return sendfile(out, file, offset, count)

    monkeypatch.setattr(os, "sendfile", cutting)
    server = await serve(answering)
    body = await body_of(talk)
    with pytest.raises(FileChangedError, match=r"ended \d+ bytes early|its size went"):
        await connect(server.base_url).send(POST, {}, body)
    assert not body.complete
    assert server.bodies == []


@pytest.mark.parametrize("then", ["stays", "goes on reading"])
async def test_an_early_answer_is_seen_while_the_server_has_the_socket_full(
    serve, connect, talk, sent, then
):
    async def script(exchange):
        await exchange.head()
        await exchange.reader.readexactly(MIB)
        await exchange.answer(413, '{"message": "early"}')
        if then == "stays":
            await exchange.read_no_more()
        while await exchange.reader.read(MIB):
            pass

    server = await serve(script)
    body = await body_of(talk)
    answer = await connect(server.base_url).send(POST, {}, body)
    assert (answer.status, answer.json()) == (413, {"message": "early"})
    assert not body.complete
    assert sent


async def test_a_slow_server_has_the_time_of_a_stall_for_each_part(
    serve, connect, talk, sent, monkeypatch
):
    loop = asyncio.get_running_loop()
    real, passed = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: real() + passed)
    sendfile, is_full = os.sendfile, False

    def one_piece(*arguments: int) -> int:
        nonlocal is_full
        is_full = not is_full
        if not is_full:
            raise BlockingIOError(errno.EAGAIN, "full")
        return sendfile(*arguments)

    def report(_sent: int, _size: int) -> None:
        nonlocal passed
        passed += 50

    monkeypatch.setattr(os, "sendfile", one_piece)
    server = await serve(answering)
    transport = connect(server.base_url, connect=60, read=60, stall=60, answer=60)
    assert (await transport.send(POST, {}, await body_of(talk, report))).status == 201
    assert len(sent) > 100


async def test_a_server_that_stops_reading_is_given_up(serve, connect, talk, sent):
    async def script(exchange):
        await exchange.head()
        await exchange.read_no_more()

    server = await serve(script)
    body = await body_of(talk)
    with pytest.raises(UploadStalledError, match=r"the server took no more of it for 0\.2 s"):
        await connect(server.base_url, stall=0.2).send(POST, {}, body)
    assert not body.complete
    assert sent


async def test_a_reset_in_the_middle_leaves_it_provably_incomplete(serve, connect, talk, sent):
    async def script(exchange):
        await exchange.head()
        await exchange.reader.readexactly(3 * MIB)
        exchange.reset()

    server = await serve(script)
    body = await body_of(talk)
    with pytest.raises(TransportError) as raised:
        await connect(server.base_url).send(POST, {}, body)
    assert raised.value.sent == "partial"
    assert not body.complete
    assert server.connections == 1
    assert sent


async def test_a_withdrawn_body_sends_no_more(serve, connect, talk, sent):
    size = 96 * MIB
    os.truncate(talk, size)  # more than the buffers of both sockets, which Linux lets grow
    withdrawn = asyncio.Event()

    async def script(exchange):
        await exchange.head()
        await withdrawn.wait()  # until then the kernel sends what its buffers hold, and no more
        await exchange.reader.read()

    server = await serve(script)

    def withdraw(done: int, _size: int) -> None:
        if done > CHUNK:
            body.revoke()
            withdrawn.set()

    body = await body_of(talk, withdraw)
    with pytest.raises(TransportError) as raised:
        await connect(server.base_url).send(POST, {}, body)
    assert raised.value.sent == "partial"
    assert not body.complete
    assert sum(length for _, length in sent) < size - 2 * CHUNK


async def test_closing_a_body_ends_its_wait_for_a_full_socket(talk):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    with suppress(BlockingIOError):
        while True:
            ours.send(bytes(CHUNK))
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    body = await body_of(talk)
    body.connected(SimpleNamespace(transport=transport))
    await anext(body)
    reading = asyncio.create_task(anext(body))
    kernel = body._kernel
    assert kernel is not None
    await until(lambda: kernel.is_waiting)
    await body.aclose()
    assert reading.done()
    assert isinstance(reading.exception(), ReplayRefusedError)
    transport.abort()
    theirs.close()


async def test_a_disk_that_hangs_is_given_up_and_its_thread_writes_to_no_other_socket(
    serve, connect, talk, monkeypatch
):
    """The thread that returns too late still has descriptors of its own, and closes them."""
    sendfile, go_on = os.sendfile, threading.Event()
    late: list[int] = []

    def hanging(out: int, file: int, offset: int, count: int) -> int:
        assert go_on.wait(60)
        try:
            return sendfile(out, file, offset, count)
        finally:
            late.append(os.fstat(out).st_mode)

    server = await serve(answering)
    transport = connect(server.base_url, stall=0.1)
    prepared = await prepare(Video(talk), file_threads(0.1))
    kernel = SendFile()
    assert prepared.size is not None
    body = Body(chunks(prepared, CHUNK, kernel.send), prepared.size, lambda *_: None, kernel=kernel)
    before = psutil.Process().num_fds()
    monkeypatch.setattr(os, "sendfile", hanging)
    with pytest.raises((UploadStalledError, UploadError)):
        await transport.send(POST, {}, body)
    assert not body.complete
    go_on.set()
    await until(lambda: psutil.Process().num_fds() <= before)
    assert [stat.S_ISSOCK(mode) for mode in late] == [True]


async def test_a_cancelled_attempt_leaves_no_descriptor_open(serve, connect, talk, sent):
    full = asyncio.Event()

    async def script(exchange):
        await exchange.head()
        full.set()
        exchange.writer.transport.pause_reading()
        await over.wait()

    over = asyncio.Event()
    server = await serve(script)
    transport = connect(server.base_url)
    before = psutil.Process().num_fds()
    sending = asyncio.ensure_future(transport.send(POST, {}, await body_of(talk)))
    await full.wait()
    await until(lambda: sent)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    over.set()
    await until(lambda: psutil.Process().num_fds() <= before)
