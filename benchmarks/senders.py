"""The senders of the upload benchmarks, each written as its own documentation shows.

A sender is an async context manager that yields an ``upload(path)``. Opening the client and
importing its package are not part of the measurement.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final, TypeAlias

from attrs import frozen

from benchmarks.harness import field_of
from benchmarks.recordings import HEAD, tool
from benchmarks.stub import with_loop

Upload: TypeAlias = Callable[[str], Awaitable[None]]
Opening: TypeAlias = Callable[["Target"], AbstractAsyncContextManager[Upload]]

PATH: Final = "/v1/process/video"
TYPE: Final = {"Content-Type": "video/mp4"}
TICK: Final = 0.001


@frozen
class Target:
    """The sink. ``certificate``: of a server with TLS. ``at_once``: concurrent uploads."""

    port: int
    certificate: str | None = None
    at_once: int = 1

    @property
    def origin(self) -> str:
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    @property
    def context(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=self.certificate) if self.certificate else None


@asynccontextmanager
async def ours(target: Target) -> AsyncIterator[Upload]:
    from symbl_aio import AccessToken, Config, Limits, SymblClient, Video

    # One slot more: the job of the small warm-up file may still run.
    config = Config(base_url=target.origin, limits=Limits(jobs=target.at_once + 1))
    async with SymblClient(AccessToken("t" * 32), config=config) as symbl:

        async def upload(path: str) -> None:
            await symbl.submit(Video(path))

        yield upload


@asynccontextmanager
async def bare_aiohttp(target: Target) -> AsyncIterator[Upload]:
    """The ``file_sender`` of aiohttp's client quick start, which reads 64 KiB at a time."""
    import aiofiles
    import aiohttp

    async def file_sender(path: str) -> AsyncIterator[bytes]:
        async with aiofiles.open(path, "rb") as file:
            while chunk := await file.read(64 * 1024):
                yield chunk

    async with aiohttp.ClientSession(target.origin) as session:

        async def upload(path: str) -> None:
            headers = {**TYPE, "Content-Length": _size(path)}
            async with session.post(PATH, data=file_sender(path), headers=headers) as response:
                await response.json()

        yield upload


@asynccontextmanager
async def aiohttp_file(target: Target) -> AsyncIterator[Upload]:
    """The other way of that page: an open file as the data."""
    import aiohttp

    async with aiohttp.ClientSession(target.origin) as session:

        async def upload(path: str) -> None:
            with open(path, "rb") as file:  # noqa: ASYNC230 - as that page does
                async with session.post(PATH, data=file, headers=TYPE) as response:
                    await response.json()

        yield upload


@asynccontextmanager
async def httpx_client(target: Target) -> AsyncIterator[Upload]:
    """``content=`` an async generator (async support page); an open file is not supported.

    Chunks of 64 KiB, as in httpx's own blocking reads of a file.
    """
    import aiofiles
    import httpx

    async def upload_bytes(path: str) -> AsyncIterator[bytes]:
        async with aiofiles.open(path, "rb") as file:
            while chunk := await file.read(64 * 1024):
                yield chunk

    async with httpx.AsyncClient(
        base_url=target.origin, verify=target.context or True, timeout=None
    ) as client:

        async def upload(path: str) -> None:
            headers = {**TYPE, "Content-Length": _size(path)}
            response = await client.post(PATH, content=upload_bytes(path), headers=headers)
            response.raise_for_status().json()

        yield upload


@asynccontextmanager
async def requests_in_threads(target: Target) -> AsyncIterator[Upload]:
    """An open file as ``data=`` (streaming uploads), in a thread for each upload."""
    import requests

    def send(path: str) -> None:
        with open(path, "rb") as file, requests.Session() as session:
            url = target.origin + PATH
            with session.post(url, data=file, headers=TYPE, verify=target.certificate) as response:
                response.raise_for_status()
                response.json()

    with ThreadPoolExecutor(target.at_once) as threads:
        loop = asyncio.get_running_loop()
        yield lambda path: loop.run_in_executor(threads, send, path)


@asynccontextmanager
async def symbl_rest_client(target: Target) -> AsyncIterator[Upload]:
    """The bytes of the file, as the vendor's own SDK passes them; in a thread for each upload."""
    import symbl_rest

    configuration = symbl_rest.Configuration()
    configuration.host = target.origin
    configuration.ssl_ca_cert = target.certificate
    configuration.connection_pool_maxsize = target.at_once
    api = symbl_rest.AsyncApi(symbl_rest.ApiClient(configuration))

    def send(path: str) -> None:
        with open(path, "rb") as file:
            api.add_video(body=file.read(), content_type="video/mp4")

    with ThreadPoolExecutor(target.at_once) as threads:
        loop = asyncio.get_running_loop()
        yield lambda path: loop.run_in_executor(threads, send, path)


@asynccontextmanager
async def speechmatics(target: Target) -> AsyncIterator[Upload]:
    """``submit_job`` with a path, to a stub of its own API."""
    from speechmatics.batch import AsyncClient

    async with AsyncClient(api_key="k" * 32, url=target.origin + "/v2") as client:

        async def upload(path: str) -> None:
            await client.submit_job(path)

        yield upload


@asynccontextmanager
async def sendfile(target: Target) -> AsyncIterator[Upload]:
    """``socket.sendfile``: the kernel moves the bytes from the page cache to the socket."""

    def send(path: str) -> None:
        with open(path, "rb") as file, _request(target, os.path.getsize(path)) as link:
            link.sendfile(file)
            _answered(link)

    yield lambda path: asyncio.to_thread(send, path)


@asynccontextmanager
async def ceiling(target: Target) -> AsyncIterator[Upload]:
    """One small buffer again and again: the limit of the sink."""

    def send(path: str) -> None:
        left, piece = os.path.getsize(path), bytes(256 * 1024)
        with _request(target, left) as link:
            while left:
                link.sendall(piece[:left])
                left -= min(left, len(piece))
            _answered(link)

    yield lambda path: asyncio.to_thread(send, path)


def _size(path: str) -> str:
    return str(os.path.getsize(path))


def _request(target: Target, size: int) -> socket.socket:
    link = socket.create_connection(("127.0.0.1", target.port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    if context := target.context:
        link = context.wrap_socket(link, server_hostname="127.0.0.1")
    link.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
    return link


def _answered(link: socket.socket) -> None:
    if not link.recv(65536).startswith(b"HTTP/1.1 201"):
        raise ConnectionError("the sink did not take all")


SENDERS: Final[Mapping[str, tuple[str, Opening]]] = {
    "symbl-aio": ("symbl-aio", ours),
    "aiohttp, open file": ("aiohttp", aiohttp_file),
    "aiohttp + aiofiles, 64 KiB": ("aiohttp", bare_aiohttp),
    "httpx": ("httpx", httpx_client),
    "requests in a thread": ("requests", requests_in_threads),
    "symbl-rest": ("symbl-rest", symbl_rest_client),
    "speechmatics-batch": ("speechmatics-batch", speechmatics),
}
"""The senders, each with its package."""

REFERENCES: Final[Mapping[str, Opening]] = {"sendfile": sendfile, "ceiling": ceiling}


def senders_found() -> tuple[dict[str, str], dict[str, str]]:
    """Return the senders that can run, with versions, and the others, with the reason."""
    found, skipped = field_of({name: package for name, (package, _) in SENDERS.items()})
    if (version := tool("curl")) is not None:
        found["curl -T"] = version
    else:
        skipped["curl -T"] = "there is no curl on PATH"
    if "uvloop" in field_of({"uvloop": "uvloop"})[0]:
        found["symbl-aio on uvloop"] = found["symbl-aio"]
    else:
        skipped["symbl-aio on uvloop"] = "uvloop is not installed"
    return found, skipped


async def send(
    sender: str,
    port: int,
    paths: list[str],
    certificate: str | None = None,
    watch: bool = False,
) -> dict[str, Any]:
    """Upload all paths at once, and return the cost; for a process of its own.

    ``seconds`` and ``cpu`` are those of the uploads alone; ``extra`` is the peak of resident
    memory, less the resident memory before, in bytes. ``watch``: return also the ``delays``
    of a timer of the event loop, in seconds.
    """
    if sender == "curl -T":
        return await asyncio.to_thread(_curl, port, paths[0], certificate)
    if certificate is not None:
        # OpenSSL reads its authorities from here; aiohttp loads them at import.
        os.environ["SSL_CERT_FILE"] = certificate
    opening = REFERENCES.get(sender) or SENDERS[sender][1]
    return await cost(opening, Target(port, certificate, len(paths)), paths, watch)


async def cost(opening: Opening, target: Target, paths: list[str], watch: bool) -> dict[str, Any]:
    async with opening(target) as upload:
        await _warm_up(upload)
        delays: list[float] = []
        watching = asyncio.create_task(late(delays)) if watch else None
        gc.collect()
        before = resident("VmRSS", forget_peak=True)
        began, cpu = perf_counter(), process_time()
        await asyncio.gather(*map(upload, paths))
        seconds, cpu = perf_counter() - began, process_time() - cpu
        extra = resident("VmHWM") - before
        if watching is not None:
            watching.cancel()
    return {"seconds": seconds, "cpu": cpu, "extra": extra, "delays": delays}


def send_on_uvloop(**arguments: Any) -> dict[str, Any]:
    result: dict[str, Any] = with_loop("uvloop", send("symbl-aio", **arguments))
    return result


async def late(delays: list[float]) -> None:
    """Record, for ever, the delay of each tick of a millisecond."""
    while True:
        began = perf_counter()
        await asyncio.sleep(TICK)
        delays.append(perf_counter() - began - TICK)


async def _warm_up(upload: Upload) -> None:
    """Send a small file first, which loads imports and codecs and starts threads."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="symbl-bench-") as folder:
        small = Path(folder) / "small.mp4"
        small.write_bytes(HEAD.ljust(1024, b"\0"))
        await upload(str(small))


def resident(name: str, *, forget_peak: bool = False) -> int:
    """Return ``VmRSS`` or its peak, ``VmHWM``, of this process, in bytes (Linux)."""
    if forget_peak:
        Path("/proc/self/clear_refs").write_text("5")
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def _curl(port: int, path: str, certificate: str | None) -> dict[str, Any]:
    target = Target(port, certificate)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = subprocess.run(
        ["curl", "-sS", "-f", "-o", os.devnull, "-w", "%{time_total}", "-X", "POST",
         "-H", "Content-Type: video/mp4", "-T", path,
         *(["--cacert", certificate] if certificate else []), target.origin + PATH],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": float(printed),
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "extra": 0,
        "delays": [],
    }
