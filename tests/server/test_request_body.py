"""Bodies are limited in size, time and memory, and are never inflated."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from symbl_aio.server.server_limits import ServerLimits

TOKEN = "/oauth2/token:generate"
JSON_TYPE = {"Content-Type": "application/json"}

QUICK = ServerLimits(silence=0.2, exclusive=0.2)


@asynccontextmanager
async def opened(caller: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    url = urlsplit(caller.server.base_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def head_of(caller: Any, head: str) -> bytes:
    lines = [*head.splitlines(), "Host: x", f"Authorization: Bearer {caller.token}", "", ""]
    return "\r\n".join(lines).encode()


async def send(caller: Any, head: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send a request as it is, and return the status and the body of its response."""
    await caller.get("/v1/conversations")
    async with opened(caller) as (reader, writer):
        writer.write(head_of(caller, head) + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        return int(answer.split()[1]), await reader.read(1000)


@pytest.mark.parametrize(
    "path", [TOKEN, "/oauth2/token:refresh", "/v1/process/text", "/v1/manage/group"]
)
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "x-unknown", "identity, gzip"])
async def test_a_compressed_body_is_refused_unread(caller: Any, path: str, coding: str) -> None:
    data = gzip.compress(b"[" * 2**20)
    headers = {**JSON_TYPE, "Content-Encoding": coding}

    assert (await caller.request("POST", path, data=data, headers=headers)).status == 415


@pytest.mark.parametrize("path", ["/v1/process/audio", "/v1/process/video"])
async def test_a_compressed_recording_is_refused(caller: Any, path: str) -> None:
    headers = {"Content-Encoding": "gzip"}

    answer = await caller.request("POST", path, data=gzip.compress(b"x"), headers=headers)

    assert answer.status == 415


@pytest.mark.parametrize(
    "path,size,status",
    [
        (TOKEN, 16 * 1024 + 1, 413),
        ("/v1/manage/group", 2**20 + 1, 413),
        ("/v1/process/audio/url", 2**20 + 1, 413),
        ("/v1/process/text", 2**20 + 1, 201),
        ("/v1/process/text", 8 * 2**20 + 1, 413),
    ],
)
@pytest.mark.parametrize("announced", [True, False])
async def test_each_call_has_a_largest_body(
    start: Any, path: str, size: int, status: int, announced: bool
) -> None:
    caller = await start()
    body = json.dumps({"messages": [{"payload": {"content": "Yes."}}], "x": "y" * size}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    data = body if announced else pieces()

    answer = await caller.request("POST", path, data=data, headers=JSON_TYPE)

    assert answer.status == status


@pytest.mark.parametrize(
    "head",
    [
        f"POST {TOKEN} HTTP/1.1\nContent-Length: 100",
        "POST /v1/process/text HTTP/1.1\nContent-Type: application/json\nContent-Length: 100",
        "POST /v1/process/video HTTP/1.1\nContent-Type: video/mp4\nContent-Length: 100",
        "POST /v1/manage/group HTTP/1.1\nContent-Length: 100",
        "PATCH /v1/manage/settings HTTP/1.1\nTransfer-Encoding: chunked",
    ],
)
async def test_a_body_that_stops_arriving_is_given_up_and_frees_what_it_held(
    start: Any, head: str
) -> None:
    caller = await start(limits=QUICK, job_limit=1, default_transcript="Hello.")

    assert (await send(caller, head))[0] == 408

    # Its slot, and the lock of the management calls, are free again.
    assert (await caller.video()).status == 201
    group = {"name": "a", "criteria": "conversation.name==a"}
    assert (await caller.request("POST", "/v1/manage/group", json=group)).status == 201
    assert caller.server._buffered == 0


async def test_a_body_that_trickles_is_given_up(start: Any) -> None:
    caller = await start(limits=ServerLimits(silence=0.3, min_rate=10_000))
    gone = asyncio.Event()

    async def trickle() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b" "
            await asyncio.wait([asyncio.create_task(gone.wait())], timeout=0.01)

    answer = await caller.request("POST", TOKEN, data=trickle(), headers=JSON_TYPE)
    gone.set()

    assert answer.status == 408


async def test_large_bodies_on_their_way_share_a_limit_and_small_ones_pass(start: Any) -> None:
    caller = await start(limits=ServerLimits(buffered=100_000), job_limit=50)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield b" " * 90_000
        begun.set()
        await go_on.wait()
        yield b"{}"

    first = asyncio.create_task(
        caller.request("POST", "/v1/manage/group", data=half(), headers=JSON_TYPE)
    )
    await begun.wait()
    while caller.server._buffered < 90_000:  # noqa: ASYNC110 - no event for a half body
        await asyncio.sleep(0)
    refused = await caller.text("x" * 50_000)
    assert refused.status == 503
    assert refused.headers["Retry-After"] == "1"
    assert (await caller.text("Yes.")).status == 201
    go_on.set()
    assert (await first).status == 400
    assert caller.server._buffered == 0


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b'{"type": "application", "appId": "\\ud800", "appSecret": "secret"}',
        b'{"type": "application", "appId": "\xed\xa0\x80", "appSecret": "secret"}',
        '{"type": "application"}'.encode("utf-16"),
        b'{"n": NaN}',
        b'{"n": 1e999}',
        b'{"n": 123456789012345678901234567890}',
        b"[" + b"[]," * 450_000 + b"[]]",
    ],
    ids=["deep", "objects", "surrogate", "raw surrogate", "utf-16", "NaN", "inf", "int", "many"],
)
@pytest.mark.parametrize("path", [TOKEN, "/v1/process/text", "/v1/manage/group"])
async def test_json_that_no_response_could_carry_is_refused(
    caller: Any, path: str, body: bytes
) -> None:
    answer = await caller.request("POST", path, data=body, headers=JSON_TYPE)

    assert answer.status in (400, 413)
    assert list(answer.body) == ["message"]


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "nonsense", "rot13"])
async def test_another_charset_is_refused(caller: Any, charset: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}

    assert (await caller.request("POST", TOKEN, data=b"{}", headers=headers)).status == 415


async def test_a_body_that_is_no_http_is_answered_so(caller: Any) -> None:
    status, _ = await send(
        caller,
        "PUT /v1/conversations/experiences HTTP/1.1\nTransfer-Encoding: chunked",
        b"zzz\r\n{}\r\n0\r\n\r\n",
    )

    assert status in (400, 404)
    status, _ = await send(
        caller, f"POST {TOKEN} HTTP/1.1\nTransfer-Encoding: chunked", b"zzz\r\n{}\r\n0\r\n\r\n"
    )
    assert status == 400


EXPECT = "Expect: 100-continue\nContent-Length: 2"


@pytest.mark.parametrize(
    "head,token,status",
    [
        ("POST /v1/process/video", "none", 401),
        ("POST /v1/unknown", "none", 401),
        ("POST /v1/unknown", None, 404),
        ("PUT /v1/job/1", None, 405),
        ("PUT /v1/process/video/1", None, 404),
        ("POST /v1/process/text", None, 400),
        ("POST /v1/process/video?enableMagic=x&confidenceThreshold=9", None, 400),
    ],
)
async def test_no_body_is_asked_for_that_is_refused_already(
    caller: Any, head: str, token: str | None, status: int
) -> None:
    await caller.get("/v1/conversations")
    caller.token = token or caller.token
    async with opened(caller) as (reader, writer):
        writer.write(head_of(caller, f"{head} HTTP/1.1\n{EXPECT}"))
        answer = await reader.readuntil(b"\r\n\r\n")

        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        # The caller may send the body or not, so no other request can follow on the connection.
        assert b"Connection: close" in answer


@pytest.mark.parametrize("fault", [None, "status:500"])
@pytest.mark.parametrize("path", ["/v1/process/text", "/oauth2/token:generate"])
async def test_a_body_is_asked_for_when_it_is_read(
    caller: Any, path: str, fault: str | None
) -> None:
    if fault is not None:
        caller.server.inject(fault)
    await caller.get("/v1/conversations")
    async with opened(caller) as (reader, writer):
        for _ in range(2):
            writer.write(
                head_of(caller, f"POST {path} HTTP/1.1\nContent-Type: application/json\n{EXPECT}")
            )
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"{}")
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 400 ")
            size = next(line for line in answer.split(b"\r\n") if b"ontent-Length" in line)
            await reader.readexactly(int(size.split()[1]))


async def test_an_expectation_that_does_not_exist_is_ignored(caller: Any) -> None:
    await caller.get("/v1/conversations")
    status, _ = await send(caller, "GET /v1/conversations HTTP/1.1\nExpect: magic")

    assert status == 200
